// How commands are declared: a noun has verbs, a verb has a purpose, examples and a deed. The help, the reference and the
// completion are made from these declarations; the deeds are imported when they run, so that help and version start quickly.

import { Command, Option } from 'commander'
import type { Context } from './context.ts'
import type { Exit } from './exit.ts'
import { CliError } from './exit.ts'
import { Output, type Format } from './output.ts'
import { instant, whole } from './quantity.ts'

/** What a deed gets. `options` are commander's, by their camelCase names. */
export interface Call<T = unknown> {
  context: Context
  output: Output
  args: readonly string[]
  options: T & GlobalOptions
}

export interface GlobalOptions {
  json?: boolean
  ndjson?: boolean
  plain?: boolean
  color: boolean
  input: boolean
}

export interface Verb {
  /** Name and arguments as commander reads them: `show <id>`. */
  usage: string
  about: string
  options?: readonly Option[]
  /** Command lines without the program's name, each with what it does. */
  examples: readonly (readonly [line: string, meaning: string])[]
  /** Gets the options that the verb declares. Resolves with an exit only where it is not `ok` and nothing went wrong. */
  run(call: Call<never>): Promise<Exit | void>
}

export interface Noun {
  name: string
  alias?: string
  about: string
  verbs: readonly Verb[]
}

/** Where a command's outcome goes. */
export interface Result {
  exit: Exit
}

export const option = (flags: string, meaning: string, fallback?: string | number): Option =>
  fallback === undefined ? new Option(flags, meaning) : new Option(flags, meaning).default(fallback)

const LIMIT_MAX = 10_000_000

export const limitOption = (fallback: number, what = 'rows'): Option =>
  option('--limit <n>', `at most so many ${what}`, fallback).argParser(whole('--limit', 1, LIMIT_MAX))

export const tenantOption = (): Option => option('--tenant <slug>', 'only this tenant')

/** `--from`, `--to`: their texts; `timesOf` reads them. */
export const timeOptions = (what: string): Option[] => [
  option('--from <time>', `${what} at this time or later: 1h (ago) or 2026-02-28T12:00:00Z`),
  option('--to <time>', `${what} before this time`),
]

/** Milliseconds of `--from` and `--to`, where given. */
export function timesOf(call: Call<{ from?: string; to?: string }>): { from?: number; until?: number } {
  const ms = (text: string) => new Date(instant(text, call.context.clock.now())).getTime()
  const { from, to } = call.options
  const times = { ...(from === undefined ? {} : { from: ms(from) }), ...(to === undefined ? {} : { until: ms(to) }) }
  if (times.from !== undefined && times.until !== undefined && times.from >= times.until) {
    throw new CliError('usage', '--from must be earlier than --to')
  }
  return times
}

/** Adds a verb to its noun, or to the program. */
export function addVerb(parent: Command, verb: Verb, context: Context, result: Result): Command {
  const command = parent.command(verb.usage).description(verb.about)
  for (const each of verb.options ?? []) command.addOption(each)
  command.addHelpText('after', `\n${examplesText(verb.examples)}`)
  examplesOf.set(command, verb.examples)
  command.action(async (...given: unknown[]) => {
    const options = command.optsWithGlobals<GlobalOptions>()
    const args = command.args
    void given
    const exit = await verb.run({ context, output: outputFor(context, options), args, options: options as never })
    if (exit !== undefined) result.exit = exit
  })
  return command
}

/** The declared examples of a command, for the reference. */
export const examplesOf = new WeakMap<Command, Verb['examples']>()

/** A noun: alone on the command line it prints what it can do, with two examples. */
export function addNoun(program: Command, noun: Noun, context: Context, result: Result): Command {
  const command = program.command(noun.name).description(noun.about)
  if (noun.alias !== undefined) command.alias(noun.alias)
  for (const verb of noun.verbs) addVerb(command, verb, context, result)
  const examples = noun.verbs.flatMap((verb) => verb.examples.slice(0, 1)).slice(0, 2)
  examplesOf.set(command, examples)
  command.addHelpText('after', `\n${examplesText(examples)}`)
  command.argument('[verb]').usage('<verb> [options]')
  command.allowExcessArguments()
  command.action((verb: string | undefined) => {
    if (verb === undefined) return command.outputHelp()
    const near = nearest(
      verb,
      noun.verbs.map((each) => each.usage.split(' ')[0] ?? ''),
    )
    const hint = near === undefined ? '' : `\n(Did you mean ${near}?)`
    throw new CliError(
      'usage',
      `${noun.name} has no verb ${JSON.stringify(verb)}${hint}\nSee: ingestctl ${noun.name} --help`,
    )
  })
  return command
}

export const examplesText = (examples: Verb['examples']): string => {
  const width = Math.max(0, ...examples.map(([line]) => line.length))
  const lines = examples.map(([line, meaning]) => `  ingestctl ${line.padEnd(width)}  # ${meaning}`)
  return ['Examples:', ...lines].join('\n')
}

/** Most single-character edits between a slip and what was meant. */
const SLIP_MAX = 3

/** The name that is the fewest edits away, if few are enough. */
export function nearest(text: string, names: readonly string[]): string | undefined {
  const scored = names.map((name) => ({ name, edits: name.startsWith(text) ? 0 : editsBetween(text, name) }))
  const [best] = scored.sort((one, other) => one.edits - other.edits)
  return best !== undefined && best.edits <= Math.min(SLIP_MAX, Math.ceil(text.length / 2)) ? best.name : undefined
}

function editsBetween(one: string, other: string): number {
  let row = [...Array(other.length + 1).keys()]
  for (let at = 1; at <= one.length; at += 1) {
    const next = [at]
    for (let to = 1; to <= other.length; to += 1) {
      const swap = (row[to - 1] ?? 0) + (one[at - 1] === other[to - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}

function outputFor(context: Context, options: GlobalOptions): Output {
  const formats = (['json', 'ndjson', 'plain'] as const).filter((name) => options[name] === true)
  if (formats.length > 1) throw new CliError('usage', `--${formats.join(' and --')} exclude each other`)
  const format: Format = formats[0] ?? 'people'
  const { out, err } = context.streams
  return new Output({ out, err, format, colour: coloured(context, options) })
}

/** Colour only on a terminal that wants it (no-color.org). */
function coloured({ environment, streams }: Context, { color }: GlobalOptions): boolean {
  return streams.out.isTTY === true && color && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb'
}
