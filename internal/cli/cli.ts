// Package cli is the operator's command line: what can be said (the tree of commands), and what is done about it.
//
// Contract: data goes to stdout, everything else to stderr; every command ends with a status of the table in exit.ts; commands
// that only read create nothing, take no lock, and work beside running daemons.

import { Command, CommanderError, Option } from 'commander'
import { EventLogError } from '../eventlog/eventlog.ts'
import { AUTOREPLIES, OUTBOUND } from './commands/automatic.ts'
import { CREDENTIALS, DOMAINS, MAILBOXES, TENANTS } from './commands/directory.ts'
import { DLQ, EVENTS, QUARANTINE, REFUSALS, REPLAY, SPOOL, TOPICS } from './commands/flow.ts'
import { DOCUMENTS, MESSAGES, SEARCH, TRACE } from './commands/messages.ts'
import { CONFIG, DOCTOR, HEALTH, SEND, STATUS, DB } from './commands/operate.ts'
import { POLICY, SENDERS } from './commands/senders.ts'
import { completion, SHELLS } from './completion.ts'
import type { Context } from './context.ts'
import { inTime } from './deadline.ts'
import { EXITS, exitFor, sentenceFor, type Exit } from './exit.ts'
import { Closed } from './output.ts'
import { addNoun, addVerb, examplesText, type Call, type Noun, type Result, type Verb } from './tree.ts'

export type { Access, Context, Engines, StoreSchema, Topics } from './context.ts'
export { CliError, EXITS, type Exit } from './exit.ts'
export { completionScript, SHELLS } from './completion.ts'
export { cliReferenceMarkdown } from './reference.ts'

/** The order of the help. */
const NOUNS: readonly Noun[] = [
  MESSAGES,
  DOCUMENTS,
  EVENTS,
  SPOOL,
  QUARANTINE,
  REFUSALS,
  DLQ,
  TENANTS,
  DOMAINS,
  MAILBOXES,
  POLICY,
  SENDERS,
  CREDENTIALS,
  AUTOREPLIES,
  OUTBOUND,
  TOPICS,
  DB,
  CONFIG,
]
const VERBS: readonly Verb[] = [SEARCH, TRACE, REPLAY, SEND, STATUS, HEALTH, DOCTOR]

const EXAMPLES = [
  ['send --demo', 'send five sample mails'],
  ['messages list', 'see what became of them'],
  ['trace ID', "one message's whole life, by the id that its 250 quoted"],
] as const

const globalOptions = (): Option[] => [
  new Option('--json', 'JSON on stdout: an array for lists, an object for one thing'),
  new Option('--ndjson', 'JSON, one object a line'),
  new Option('--plain', 'tab-separated values without headings'),
  new Option('--no-color', 'no colour; so do NO_COLOR and TERM=dumb'),
  new Option('--no-input', 'never ask; fail where a question would be'),
  new Option('--local', 'open the engines directly (the default)'),
]

/** The whole tree of commands. `result` takes the exit of the command that ran. */
export function buildProgram(context: Context, result: Result = { exit: 'ok' }): Command {
  const { out, err } = context.streams
  const program = new Command('ingestctl')
  program.description('The command line of mail-ingest: look into the mail that came in, and look after the service')
  program.configureOutput({
    writeOut: (text) => void out.write(text),
    writeErr: (text) => void err.write(text),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
    getOutHelpWidth: () => out.columns ?? 100,
  })
  program.exitOverride().configureHelp({ showGlobalOptions: true, sortSubcommands: false })
  program.version(`ingestctl ${context.version}`, '-V, --version', 'print the version')
  for (const each of globalOptions()) program.addOption(each)
  for (const noun of NOUNS) addNoun(program, noun, context, result)
  for (const verb of [...VERBS, versionVerb, completionVerb(program)]) addVerb(program, verb, context, result)
  program.addHelpText('after', `\n${examplesText(EXAMPLES)}\n\nReference: docs/cli.md`)
  return program
}

const versionVerb: Verb = {
  usage: 'version',
  about: 'Prints the version',
  examples: [['version', 'what this is']],
  run: async ({ context, output }: Call) => {
    const { version } = context
    if (output.forScripts) await output.facts({ version, node: process.versions.node }, [['version', version]])
    else await output.line(`ingestctl ${version}`)
  },
}

const completionVerb = (program: Command): Verb => ({
  usage: `completion <shell>`,
  about: `Prints a completion script for ${SHELLS.join(', ')}`,
  examples: [['completion bash > ~/.ingestctl.bash', 'then: source ~/.ingestctl.bash']],
  run: completion(program),
})

/** What a command did is done before its engines are closed: one that does not answer keeps nobody longer than this. */
const CLOSE_MAX_MS = 2000

/** Runs one command line (without program names) and resolves with its exit status. Never rejects, and closes the engines. */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  const result: Result = { exit: 'ok' }
  const program = buildProgram(context, result)
  let status: number
  try {
    if (argv.length === 0) program.outputHelp()
    else await program.parseAsync([...argv], { from: 'user' })
    status = EXITS[result.exit].status
  } catch (error) {
    status = EXITS[reported(error, context)].status
  }
  try {
    await inTime(context.clock, CLOSE_MAX_MS, context.engines.close())
  } catch (error) {
    return status === 0 ? EXITS[reported(error, context)].status : status
  }
  return status
}

/** Says on stderr what went wrong, unless it was said or needs no saying. */
function reported(error: unknown, context: Context): Exit {
  const { streams, signal } = context
  if (error instanceof Closed) return 'ok' // `| head` has seen enough
  if (error instanceof CommanderError) return error.exitCode === 0 ? 'ok' : 'usage'
  const exit = signal.aborted ? 'interrupted' : exitFor(error)
  // Kafka's errors do not say who did not answer.
  const place = error instanceof EventLogError ? ` (EVENT_LOG_URL ${context.config().eventLogUrl})` : ''
  const sentence = sentenceFor(error) + place
  if (sentence !== '' && !(error instanceof Error && error.name === 'AbortError'))
    streams.err.write(`ingestctl: ${sentence}\n`)
  return exit
}
