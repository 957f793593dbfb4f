// dlq list, show, replay, drop: the records that a consumer group could not read.

import { GROUPS, type DeadLetter, type DeadLetters } from '../eventlog/eventlog.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { CliError, type Exit } from './exit.ts'
import type { Column } from './output.ts'
import { printable } from './printable.ts'
import { countText } from './quantity.ts'
import { idsFromInput } from './replay.ts'
import type { Call } from './tree.ts'

interface Chosen {
  group?: string
  topic?: string
  limit: number
}

type Changing = Chosen & { all?: boolean; dryRun?: boolean; yes?: boolean }

/** The dead letters of one group and topic. */
interface Pile {
  group: string
  topic: string
  count: number
}

/** Rows of one piece of a list, and letters between two times that they are forgotten. */
const PIECE = 100
/** Ids that are named when something is in their way. */
const NAMED_MAX = 20

const COLUMNS: readonly Column<DeadLetter>[] = [
  { head: 'KEPT (UTC)', of: ({ deadAt }) => timeText(deadAt).slice(0, 19).replace('T', ' '), paint: () => 'grey' },
  { head: 'ID', of: ({ id }) => id },
  { head: 'REASON', of: ({ reason }) => reason, paint: () => 'red' },
  { head: 'TYPE', of: (letter) => headersOf(letter)['ce_type'] ?? '' },
  { head: 'ERROR', of: ({ error }) => error },
]

const timeText = (ms: number): string => new Date(ms).toISOString()

export async function list(call: Call<Chosen & { ids?: boolean }>): Promise<void> {
  const deadLetters = await deadLettersOf(call.context, 'read')
  const piles = await pilesOf(deadLetters, call.options)
  const pages = pieces(lettersOf(deadLetters, piles, call.options.limit, call.context.signal))
  if (call.options.ids === true) return await call.output.bare(pages, ({ id }) => id)
  await call.output.pages(pages, COLUMNS, letterJson)
  if (call.output.format === 'people') call.output.note(pilesText(piles))
}

function pilesText(piles: readonly Pile[]): string {
  const texts = piles.map(({ group, topic, count }) => `${count.toLocaleString('en-US')} of ${group} on ${topic}`)
  return texts.length === 0 ? 'there are no dead letters' : `in all: ${texts.join(', ')}`
}

export async function show(call: Call): Promise<void> {
  const id = call.args[0] ?? ''
  const [letter] = await named(await deadLettersOf(call.context, 'read'), [id], call.context, () => undefined)
  if (letter === undefined) throw new CliError('missing', `no dead letter ${printable(id)}`)
  const { group, topic, partition, offset, reason, error, attempts, appendedAt, deadAt, stack } = letter
  const headers = headersOf(letter)
  const { value } = letter.record
  const json = { ...letterJson(letter), stack, headers, ...valueJson(value) }
  await call.output.facts(json, [
    ['id', letter.id],
    ['group', group],
    ['position', `${topic}/${partition}/${offset}`],
    ['appended', timeText(appendedAt)],
    ['kept', `${timeText(deadAt)} at the ${attempts === 1 ? 'first try' : `try ${attempts}`}`],
    ['reason', reason],
    ['error', error],
    ['key', keyText(letter) ?? '(none)'],
    ...Object.entries(headers).map(([name, text]): [string, string] => [`header ${name}`, text]),
    ['value', value === null ? '(null)' : value.toString('utf8')],
    ['stack', stack],
  ])
}

/** Puts records back on their topics; a record that several groups could not read goes back once. */
export async function replay(call: Call<Changing>): Promise<Exit | void> {
  const seen = new Set<string>()
  await changed(call, { verb: 'put back', question: 'Put back' }, async (deadLetters, letter) => {
    const place = letter.id.slice(letter.group.length)
    if (!seen.has(place)) await deadLetters.replay(letter)
    seen.add(place)
  })
}

export async function drop(call: Call<Changing>): Promise<Exit | void> {
  await changed(call, { verb: 'dropped', question: 'Drop for good' }, async () => undefined)
}

/** States the count, asks, deals with each letter and then forgets it. */
async function changed(
  call: Call<Changing>,
  { verb, question }: { verb: string; question: string },
  deal: (deadLetters: DeadLetters, letter: DeadLetter) => Promise<void>,
): Promise<void> {
  const { context, output, options } = call
  const deadLetters = await deadLettersOf(context, options.dryRun === true ? 'read' : 'write')
  const { letters, count, what } = await chosen(call, deadLetters)
  if (options.dryRun === true || count === 0) {
    return await output.facts({ dryRun: options.dryRun === true, count }, [
      ['would be', `${verb}: ${countText(count, 'dead letter')} ${what}`],
    ])
  }
  output.note(`${countText(count, 'dead letter')} ${what}`)
  await confirm(call, `${question} ${countText(count, 'dead letter')}?`)
  let done = 0
  for await (const piece of pieces(letters)) {
    const last = new Map<string, DeadLetter>()
    for (const letter of piece) {
      if (context.signal.aborted) break
      await deal(deadLetters, letter)
      last.set(partitionOf(letter), letter)
      done += 1
    }
    for (const letter of last.values()) await deadLetters.dropThrough(letter)
  }
  await output.facts({ count: done }, [[verb, countText(done, 'dead letter')]])
  if (context.signal.aborted) throw new CliError('interrupted', 'interrupted; the same command goes on with the rest')
}

const partitionOf = ({ group, topic, partition }: Pick<DeadLetter, 'group' | 'topic' | 'partition'>): string =>
  `${group}/${topic}/${partition}`

/** What the command line says: ids, or everything of a group or topic. */
async function chosen(
  call: Call<Changing>,
  deadLetters: DeadLetters,
): Promise<{ letters: AsyncIterable<DeadLetter> | DeadLetter[]; count: number; what: string }> {
  const { context, args, options } = call
  const { group, topic, limit } = options
  const filtered = group !== undefined || topic !== undefined || options.all === true
  if (filtered === args.length > 0) {
    throw new CliError('usage', 'say which dead letters: ids, or --group, --topic or --all')
  }
  if (args.length > 0) {
    const given = args.filter((id) => id !== '-')
    const ids = args.includes('-') ? [...given, ...(await idsFromInput(context))] : given
    const letters = await named(deadLetters, ids, context, (older) => {
      const list = older.map((id) => `  ${id}`).join('\n')
      throw new CliError(
        'conflict',
        `a log forgets from the oldest on; these have to go too, nothing was done:\n${list}`,
      )
    })
    return { letters, count: letters.length, what: 'given by id' }
  }
  const piles = await pilesOf(deadLetters, options)
  const matching = piles.reduce((sum, { count }) => sum + count, 0)
  const cut = matching > limit ? `; --limit ends after ${limit.toLocaleString('en-US')} of them` : ''
  const of = [group && ` of ${group}`, topic && ` on ${topic}`].filter(Boolean).join('')
  const letters = lettersOf(deadLetters, piles, limit, context.signal)
  return { letters, count: Math.min(matching, limit), what: `${of || 'in all'}${cut}`.trim() }
}

/** The letters of these ids, each once. `blocked` is told of those before them in their partitions that were not named. */
async function named(
  deadLetters: DeadLetters,
  ids: readonly string[],
  { signal }: Pick<Context, 'signal'>,
  blocked: (older: readonly string[]) => void,
): Promise<DeadLetter[]> {
  const found: DeadLetter[] = []
  const missing: string[] = []
  const older: string[] = []
  for (const [partition, of] of Map.groupBy(new Set(ids), (id) => id.slice(0, id.lastIndexOf('/')))) {
    const wanted = new Set(of)
    let passed: string[] = []
    for await (const letter of deadLetters.read({ ...placeOf(partition, of[0]), signal })) {
      if (wanted.delete(letter.id)) {
        found.push(letter)
        older.push(...passed)
        passed = []
      } else if (!of.includes(letter.id) && passed.length < NAMED_MAX) passed.push(letter.id)
      if (wanted.size === 0) break
    }
    missing.push(...wanted)
  }
  if (missing.length > 0) {
    const list = missing.slice(0, NAMED_MAX).map(printable).join(', ')
    throw new CliError('missing', `not among the dead letters, nothing was done: ${list}`)
  }
  if (older.length > 0) blocked(older.slice(0, NAMED_MAX))
  return found
}

/** The beginning of an id: `group/topic/partition`. */
function placeOf(text: string, id = ''): { group: string; topic: string; partition: number } {
  const [, group = '', topic = '', partition] = /^([\w-]+)\/([\w.-]+)\/(\d{1,9})$/.exec(text) ?? []
  if (topicsOf(group)?.includes(topic)) return { group, topic, partition: Number(partition) }
  throw new CliError(
    'usage',
    `not the id of a dead letter: ${JSON.stringify(id)}; it is like indexer/mail.ingest.v1/3/1204`,
  )
}

const topicsOf = (group: string): readonly string[] | undefined =>
  Object.entries(GROUPS).find(([name]) => name === group)?.[1]

/** What there is of a group, a topic, or all. */
async function pilesOf(deadLetters: DeadLetters, { group, topic }: Partial<Chosen>): Promise<Pile[]> {
  if (group !== undefined && topicsOf(group) === undefined) {
    throw new CliError(
      'usage',
      `--group must be one of ${Object.keys(GROUPS).join(', ')}, not ${JSON.stringify(group)}`,
    )
  }
  const piles = await deadLetters.counts()
  if (topic !== undefined && !piles.some((pile) => pile.topic === topic)) {
    throw new CliError('usage', `no group reads a topic ${JSON.stringify(topic)}`)
  }
  return piles.filter(
    (pile) =>
      pile.count > 0 && (group === undefined || pile.group === group) && (topic === undefined || pile.topic === topic),
  )
}

async function* lettersOf(
  deadLetters: DeadLetters,
  piles: readonly Pile[],
  limit: number,
  signal: AbortSignal,
): AsyncGenerator<DeadLetter> {
  let left = limit
  for (const { group, topic, count } of piles) {
    // No more than were counted: what is put back meanwhile may come back.
    let most = Math.min(count, left)
    left -= most
    if (most === 0) return
    for await (const letter of deadLetters.read({ group, topic, signal })) {
      yield letter
      most -= 1
      if (most === 0) break
    }
  }
}

async function* pieces(letters: AsyncIterable<DeadLetter> | Iterable<DeadLetter>): AsyncGenerator<DeadLetter[]> {
  let piece: DeadLetter[] = []
  for await (const letter of letters) {
    piece.push(letter)
    if (piece.length < PIECE) continue
    yield piece
    piece = []
  }
  if (piece.length > 0) yield piece
}

const deadLettersOf = async ({ engines }: Context, access: 'read' | 'write'): Promise<DeadLetters> =>
  (await engines.log(access)).deadLetters

/** Headers as texts; of one that is there more than once the first. */
function headersOf({ record }: DeadLetter): Record<string, string> {
  const firsts = Object.entries(record.headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value])
  return Object.fromEntries(firsts.map(([name, value]) => [name, value?.toString() ?? '']) as [string, string][])
}

const keyText = ({ record }: DeadLetter): string | null => record.key?.toString('utf8') ?? null

function letterJson(letter: DeadLetter) {
  const { id, group, topic, partition, offset, reason, error, attempts, appendedAt, deadAt, record } = letter
  const { ce_type: type = null, ce_id: eventId = null } = headersOf(letter)
  const times = { appendedAt: timeText(appendedAt), deadAt: timeText(deadAt) }
  const about = { type, eventId, key: keyText(letter), sizeBytes: record.value?.length ?? 0 }
  return { id, group, topic, partition, offset, reason, error, attempts, ...times, ...about }
}

/** UTF-8 as text, other bytes in base64. */
function valueJson(value: Buffer | null): { value: string | null } | { valueBase64: string } {
  const text = value?.toString('utf8') ?? null
  return value === null || Buffer.from(text ?? '').equals(value)
    ? { value: text }
    : { valueBase64: value.toString('base64') }
}
