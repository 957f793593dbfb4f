// What a try came to, and when the next one is. Pure.

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Pauses after the first tries; the last one is that of all others. RFC 5321 4.5.4.1 asks for half an hour once the first have failed. */
export const PAUSES_MS = [1, 5, 15, 30, 60, 120, 240].map((minutes) => minutes * MINUTE_MS)
/** RFC 5321 4.5.4.1: four to five days. */
export const GIVE_UP_MS = 5 * 24 * HOUR_MS

export interface Try {
  id: string
  /** Tries so far. */
  attempts: number
  createdAt: number
  now: number
}

/** When the next try is, spread by id over a tenth of the pause; undefined once time is over. */
export function nextTry({ id, attempts, createdAt, now }: Try): number | undefined {
  if (now - createdAt >= GIVE_UP_MS) return undefined
  const pause = PAUSES_MS[Math.min(Math.max(attempts, 1), PAUSES_MS.length) - 1] ?? HOUR_MS
  const spread = (Number.parseInt(id.slice(-8), 16) || 0) / 0xffff_ffff
  return now + Math.round(pause * (0.9 + spread / 10))
}

/** `refused`: the relay says that this mail never goes. `deferred`: not now. `unreachable`: no talk with the relay came that far. */
export interface Outcome {
  result: 'sent' | 'refused' | 'deferred' | 'unreachable'
  /** What the relay said, or what is wrong; bounded, on one line. */
  reply: string
}

/** Steps of a session that are about the mail. At all others a 5xx is about us: our address, name or password. */
const ABOUT_THE_MAIL = new Set(['MAIL FROM', 'RCPT TO', 'DATA'])
/** RFC 4954 6, RFC 3207 4: the relay wants a login or TLS first, which an operator has to mend. */
const ABOUT_US = new Set([523, 530, 534, 535, 538])
const REPLY_MAX = 500

/** What an error of a try means. Errors of nodemailer name the step and carry the reply. */
export function outcomeOf(error: unknown): Outcome {
  const { message, response, responseCode = 0, command = '' } = factsOf(error)
  const reply = (response ?? message)
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, REPLY_MAX)
  if (!ABOUT_THE_MAIL.has(command) || responseCode === 0 || ABOUT_US.has(responseCode))
    return { result: 'unreachable', reply }
  return { result: responseCode >= 500 ? 'refused' : 'deferred', reply }
}

interface SmtpFacts {
  message: string
  response?: string
  responseCode?: number
  command?: string
}

function factsOf(error: unknown): SmtpFacts {
  if (!(error instanceof Error)) return { message: String(error) }
  const { message } = error
  const facts: SmtpFacts = { message }
  if ('response' in error && typeof error.response === 'string') facts.response = error.response
  if ('responseCode' in error && typeof error.responseCode === 'number') facts.responseCode = error.responseCode
  if ('command' in error && typeof error.command === 'string') facts.command = error.command
  return facts
}
