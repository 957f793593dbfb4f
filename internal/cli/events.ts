// events query, tail: the event log as people and scripts read it. Scripts get CloudEvents in structured mode.

import { EVENT_TYPES, TOPICS, isEventType, toStructured } from '../eventlog/eventlog.ts'
import type {
  EventLog,
  EventQuery,
  EventType,
  LoggedEvent,
  Position,
  Queryable,
  Unreadable,
} from '../eventlog/eventlog.ts'
import { CliError } from './exit.ts'
import type { Column } from './output.ts'
import { timesOf, type Call } from './tree.ts'

export interface EventOptions {
  type?: string
  tenant?: string
  id?: string
  from?: string
  to?: string
  topic?: string
  offset?: number
  last?: number
  limit?: number
  follow?: boolean
}

type Log = EventLog & Queryable

/** Which events are wanted. Every field that is given must match; `id` is an event, message, entry or trace id. */
interface Wanted {
  types: readonly EventType[]
  tenant?: string
  id?: string
  from?: number
  until?: number
  topic?: string
  offset?: number
}

export const EVENT_COLUMNS: readonly Column<LoggedEvent>[] = [
  { head: 'TIME (UTC)', of: ({ event }) => event.time.slice(0, 23).replace('T', ' '), paint: () => 'grey' },
  { head: 'POSITION', of: ({ topic, partition, offset }) => `${topic}/${partition}/${offset}` },
  { head: 'TYPE', of: ({ event }) => event.type, paint: ({ event }) => PAINTS[event.type] },
  { head: 'TENANT', of: ({ event }) => event.tenant },
  { head: 'MESSAGE', of: ({ event }) => event.subject },
  { head: 'WHAT', of: whatOf },
]

const PAINTS: Partial<Record<EventType, 'green' | 'red'>> = {
  'indexer.indexed': 'green',
  'message.quarantined': 'red',
  'message.failed': 'red',
  'ingest.refused': 'red',
}

function whatOf({ event }: LoggedEvent): string {
  const replayed = event.replay === undefined ? '' : ` replay=${event.replay.id}`
  const data = event.data as Record<string, unknown>
  const shown = ['status', 'reason', 'sizeBytes', 'etag', 'duplicateOf'].filter((name) => data[name] !== undefined)
  return `${shown.map((name) => `${name}=${String(data[name])}`).join(' ')}${replayed}`
}

/** Position first, then the event as CloudEvents has it: what `tail --json` prints on each line. */
export const eventJson = ({ topic, partition, offset, appendedAt, event }: LoggedEvent) => ({
  ...toStructured(event),
  position: { topic, partition, offset, appendedAt: new Date(appendedAt).toISOString() },
})

function wantedOf(call: Call<EventOptions>): Wanted {
  const { type, tenant, topic, offset } = call.options
  const id = call.options.id ?? call.args[0]
  if (offset !== undefined && topic === undefined) throw new CliError('usage', '--offset needs --topic')
  if (topic !== undefined && !TOPICS.some((each) => each === topic)) {
    throw new CliError('usage', `--topic must be one of ${TOPICS.join(', ')}, not ${JSON.stringify(topic)}`)
  }
  return {
    types: type === undefined ? [] : type.split(',').map(typeOf),
    ...timesOf(call),
    ...(tenant === undefined ? {} : { tenant }),
    ...(id === undefined ? {} : { id }),
    ...(topic === undefined ? {} : { topic }),
    ...(offset === undefined ? {} : { offset }),
  }
}

function typeOf(text: string): EventType {
  if (isEventType(text)) return text
  throw new CliError('usage', `--type must be of ${EVENT_TYPES.join(', ')}, not ${JSON.stringify(text)}`)
}

const DEFAULT_LIMIT = 100
const DEFAULT_LAST = 10
const BATCH_MAX = 500

export async function query(call: Call<EventOptions>): Promise<void> {
  if (call.options.follow === true) return await tail(call)
  const { limit = DEFAULT_LIMIT, last } = call.options
  const wanted = wantedOf(call)
  const log = await call.context.engines.log('read')
  const found = await search(log, wanted, last === undefined ? { limit } : { limit: last, newest: true })
  await call.output.rows(found, EVENT_COLUMNS, eventJson)
}

/** The last events, then each new one as it is appended, until interrupted. */
export async function tail(call: Call<EventOptions>): Promise<void> {
  const { last = DEFAULT_LAST, from, offset } = call.options
  const wanted = wantedOf(call)
  const log = await call.context.engines.log('read')
  const topics = wanted.topic === undefined ? TOPICS : [wanted.topic]
  const starts = new Map<string, number>()
  for (const topic of topics)
    for (const { partition, offset } of await startsOf(log, topic, wanted))
      starts.set(placeOf(topic, partition), offset)

  if (from === undefined && offset === undefined && last > 0) {
    // The ends were read first: what is appended from here on is followed, and nothing is shown twice.
    for (const each of await search(log, wanted, { limit: last, newest: true }))
      if (each.offset < (starts.get(placeOf(each.topic, each.partition)) ?? 0))
        await call.output.streamed(each, EVENT_COLUMNS, eventJson)
  }
  const untilEnd = call.options.follow === false
  const unreadable = ({ topic, partition, offset, reason, error }: Unreadable) =>
    call.output.note(`${placeOf(topic, partition)}/${offset} cannot be read and is passed over (${reason}: ${error})`)
  const startAt = async (topic: string, partition: number) => starts.get(placeOf(topic, partition)) ?? 0
  const { signal } = call.context
  for await (const batch of log.consume({ topics, startAt, batchMax: BATCH_MAX, signal, untilEnd, unreadable }))
    for (const each of batch) if (matches(each, wanted)) await call.output.streamed(each, EVENT_COLUMNS, eventJson)
  if (signal.aborted) throw new CliError('interrupted', '')
}

const placeOf = (topic: string, partition: number): string => `${topic}/${partition}`

/** Where each partition of a topic is read from. */
async function startsOf(log: Log, topic: string, wanted: Wanted): Promise<Position[]> {
  const { from, offset } = wanted
  if (offset !== undefined) return (await log.ends(topic)).map((end) => ({ ...end, offset }))
  return from === undefined ? await log.ends(topic) : await log.offsetsAt(topic, from)
}

function matches({ event, topic, offset }: LoggedEvent, wanted: Wanted): boolean {
  const { types, tenant, id } = wanted
  const { entryId } = event.data
  const time = new Date(event.time).getTime()
  return (
    (types.length === 0 || types.includes(event.type)) &&
    (tenant === undefined || event.tenant === tenant) &&
    (id === undefined || [event.id, event.subject, entryId].includes(id) || event.traceparent.includes(id)) &&
    (wanted.from === undefined || time >= wanted.from) &&
    (wanted.until === undefined || time < wanted.until) &&
    (wanted.topic === undefined || topic === wanted.topic) &&
    (wanted.offset === undefined || offset >= wanted.offset)
  )
}

/** Events of the log that match, in the order of appending. One look for each type and each meaning of the id. */
export async function search(
  log: Queryable,
  wanted: Wanted,
  want: { limit: number; newest?: boolean },
): Promise<LoggedEvent[]> {
  const { types, id, tenant, topic, from, until, offset } = wanted
  const base: EventQuery = {
    ...want,
    ...(tenant === undefined ? {} : { tenant }),
    ...(topic === undefined ? {} : { topic }),
    ...(from === undefined ? {} : { fromMs: from }),
    ...(until === undefined ? {} : { toMs: until }),
    ...(offset === undefined ? {} : { fromOffset: offset }),
  }
  const byId = id === undefined ? [base] : meaningsOf(id).map((meaning) => ({ ...base, ...meaning }))
  const looks = types.length === 0 ? byId : byId.flatMap((each) => types.map((type) => ({ ...each, type })))
  const found = new Map<string, LoggedEvent>()
  for (const look of looks)
    for (const each of await log.query(look)) found.set(`${each.topic}/${each.partition}/${each.offset}`, each)
  const ordered = [...found.values()].sort(
    (one, other) =>
      one.appendedAt - other.appendedAt || one.topic.localeCompare(other.topic) || one.offset - other.offset,
  )
  return want.newest === true ? ordered.slice(-want.limit) : ordered.slice(0, want.limit)
}

/** What an id may be, by its form: 32 hex digits are a trace, a UUID is any of the others. */
function meaningsOf(id: string): Partial<EventQuery>[] {
  if (/^[0-9a-f]{32}$/.test(id)) return [{ traceId: id }]
  return [{ subject: id }, { entryId: id }, { id }]
}
