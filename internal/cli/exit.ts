// Exit statuses of ingestctl: one table, printed in every reference, so that scripts can tell what to do next.

export const EXITS = {
  ok: { status: 0, meaning: 'done' },
  failure: { status: 1, meaning: 'it failed; the reason is on stderr. `status`: something needs attention' },
  usage: { status: 2, meaning: 'the command line or a setting is wrong. `status`: critical' },
  missing: { status: 3, meaning: 'not found' },
  denied: { status: 4, meaning: 'the operating system or the server refused access' },
  conflict: { status: 5, meaning: 'conflict, or some items of several failed' },
  unavailable: { status: 6, meaning: 'an engine or server cannot be reached; try again later' },
  interrupted: { status: 130, meaning: 'interrupted by Ctrl-C; what was done stays done' },
} as const satisfies Record<string, { status: number; meaning: string }>

export type Exit = keyof typeof EXITS

/** Ends a verb: the message goes to stderr in one piece, the status is the table's. */
export class CliError extends Error {
  readonly exit: Exit

  constructor(exit: Exit, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CliError'
    this.exit = exit
  }
}

/** Words by which engines and the system say what went wrong: StoreError's reasons, other errors' faults, errno(3) codes. */
const WORDS: Record<string, Exit> = {
  conflict: 'conflict',
  not_found: 'missing',
  invalid: 'usage',
  unavailable: 'unavailable',
  locked: 'unavailable',
  busy: 'unavailable',
  server: 'unavailable',
  timeout: 'unavailable',
  readonly: 'denied',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ENETUNREACH: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  ETIMEDOUT: 'unavailable',
}

/** What an error's causes say more exactly than who passed it on: names and codes of PostgreSQL (appendix A), S3 and kafkajs. */
const CAUSES: Record<string, Exit> = {
  '28000': 'denied',
  '28P01': 'denied',
  '42501': 'denied',
  '3D000': 'usage',
  AccessDenied: 'denied',
  InvalidAccessKeyId: 'denied',
  SignatureDoesNotMatch: 'denied',
  CredentialsProviderError: 'denied',
  NoSuchBucket: 'usage',
  KafkaJSSASLAuthenticationError: 'denied',
}

function exitOfCause(thrown: Error): Exit | undefined {
  const { name, cause } = thrown
  const code = (thrown as { code?: unknown }).code
  const exit = [code, name].map((word) => CAUSES[String(word)]).find((each) => each !== undefined)
  return exit ?? (cause instanceof Error ? exitOfCause(cause) : undefined)
}

const NAMES: Record<string, Exit> = { ConfigError: 'usage', AbortError: 'interrupted' }

/** The word of an error that its thrower foresaw. */
function wordOf(thrown: Error): string | undefined {
  const { reason, fault, code } = thrown as { reason?: unknown; fault?: unknown; code?: unknown }
  return [reason, fault, code].find((word): word is string => typeof word === 'string')
}

/** The row for anything thrown. What is not foreseen is a failure. */
export function exitFor(thrown: unknown): Exit {
  if (thrown instanceof CliError) return thrown.exit
  if (!(thrown instanceof Error)) return 'failure'
  return exitOfCause(thrown) ?? NAMES[thrown.name] ?? WORDS[wordOf(thrown) ?? ''] ?? 'failure'
}

/** What a person reads: a sentence, and the stack only of what nobody foresaw. */
export function sentenceFor(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const foreseen = thrown instanceof CliError || NAMES[thrown.name] !== undefined || wordOf(thrown) !== undefined
  return foreseen ? thrown.message : (thrown.stack ?? thrown.message)
}
