// Which messages an operator means, one after the other, each with where to go on after it.

import type { BlobStore } from '../blob/blob.ts'
import type { MessageMeta } from '../envelope/envelope.ts'
import type { EventLog } from '../eventlog/eventlog.ts'
import {
  countMessages,
  cursorOf,
  eventsAt,
  findMessage,
  listMessages,
  StoreError,
  type MessageFilter,
  type Store,
} from '../store/store.ts'
import type { Received } from './facts.ts'
import { metaFrom, readAll } from './objects.ts'
import { receivedEvent, receivedFromMeta } from './received.ts'
import { Fault } from './trouble.ts'

/** Which messages. Times in a filter are milliseconds since 1970. */
export type ReplaySelector =
  | { by: 'messages'; ids: readonly string[] }
  | { by: 'filter'; filter: MessageFilter }
  /** What was told at these offsets of `mail.ingest.v1`; `until` is exclusive. */
  | { by: 'offsets'; partition: number; from: number; until?: number }
  /** Every message with an envelope object whose key begins with this. */
  | { by: 'objects'; prefix: string }

export interface SelectionParts {
  store: Store
  blobs: Pick<BlobStore, 'get' | 'list'>
  log: Pick<EventLog, 'consume' | 'ends' | 'offsetsAt'>
  /** `source` of the events, `/ingest/<deployment>/<stage>`. */
  source: string
}

/** One message to tell of, where to go on after it, or why it cannot be told: there is no event. */
export interface Found {
  messageId: string
  cursor: string
  event: Received | undefined
}

const TOPIC = 'mail.ingest.v1'
const PAGE = 200
/** Ids of one selector. */
const IDS_MAX = 100_000

/** The messages, after the one that gave the cursor `after`. `invalid` for a selector that is none. */
export function select(parts: SelectionParts, selector: ReplaySelector, after?: string): AsyncGenerator<Found> {
  switch (selector.by) {
    case 'messages':
      return byIds(parts, selector.ids, after)
    case 'filter':
      return byFilter(parts, selector.filter, after)
    case 'offsets':
      return byOffsets(parts, selector, after)
    case 'objects':
      return byObjects(parts, selector.prefix, after)
  }
}

/** How many there are, where that can be told without reading each of them. */
export async function countSelected(parts: SelectionParts, selector: ReplaySelector): Promise<number | undefined> {
  if (selector.by === 'filter') return countMessages(parts.store, selector.filter)
  if (selector.by !== 'objects') return undefined
  let count = 0
  for await (const { key } of parts.blobs.list(selector.prefix)) if (isEnvelope(key)) count += 1
  return count
}

/** The same messages later as now: without an end, a selection would run after the mail that comes meanwhile, or after itself. */
export async function frozen(
  { log }: Pick<SelectionParts, 'log'>,
  selector: ReplaySelector,
  now: number,
): Promise<ReplaySelector> {
  if (selector.by === 'filter' && selector.filter.until === undefined) {
    return { by: 'filter', filter: { ...selector.filter, until: now + 1 } }
  }
  if (selector.by !== 'offsets') return selector
  const end = offsetIn(await log.ends(TOPIC), selector.partition)
  return { ...selector, until: Math.min(end, selector.until ?? end) }
}

async function* byIds({ store, source }: SelectionParts, ids: readonly string[], after?: string) {
  if (ids.length > IDS_MAX) throw new StoreError('invalid', `at most ${IDS_MAX} ids at one time`)
  for (let at = after === undefined ? 0 : Number(after) + 1; at < ids.length; at++) {
    const messageId = ids[at] ?? ''
    const row = await findMessage(store, messageId)
    yield { messageId, cursor: String(at), event: row && receivedEvent(row, { source }) }
  }
}

/** Pages by key: rows whose status changes meanwhile, because of this replay, make no row be left out. */
async function* byFilter({ store, source }: SelectionParts, filter: MessageFilter, after?: string) {
  let cursor = after
  for (;;) {
    const page = await listMessages(store, filter, { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) })
    for (const row of page.rows) {
      yield { messageId: row.id, cursor: cursorOf(row), event: receivedEvent(row, { source }) }
    }
    if (page.next === undefined) return
    cursor = page.next
  }
}

/** The log itself, and for what its retention took, the store's copy of it. Neither needs a row of the message. */
async function* byOffsets(
  parts: SelectionParts,
  { partition, from, until }: Extract<ReplaySelector, { by: 'offsets' }>,
  after?: string,
): AsyncGenerator<Found> {
  const { log, source } = parts
  const kept = offsetIn(await log.offsetsAt(TOPIC, 0), partition)
  const end = offsetIn(await log.ends(TOPIC), partition)
  const first = after === undefined ? from : Number(after) + 1
  const last = Math.min(until ?? end, end)
  for await (const { offset, event } of within(parts, { partition, first, last, kept })) {
    yield { messageId: event.data.messageId, cursor: String(offset), event: { ...event, source } }
  }
}

interface Stretch {
  partition: number
  first: number
  /** Exclusive. */
  last: number
  /** The first offset that the log still has. */
  kept: number
}

async function* within(parts: SelectionParts, stretch: Stretch): AsyncGenerator<{ offset: number; event: Received }> {
  const { partition, first, last, kept } = stretch
  yield* copied(parts, { ...stretch, last: Math.min(last, kept) })
  const begin = Math.max(first, kept)
  if (begin >= last) return
  const ends = await parts.log.ends(TOPIC)
  const startAt = async (_topic: string, each: number) => (each === partition ? begin : offsetIn(ends, each))
  const stop = new AbortController()
  const want = { topics: [TOPIC], startAt, batchMax: PAGE, untilEnd: true, signal: stop.signal }
  for await (const batch of parts.log.consume(want)) {
    for (const logged of batch) {
      if (logged.partition !== partition) continue
      if (logged.offset >= last) return
      if (logged.event.type === 'ingest.received') yield { offset: logged.offset, event: logged.event }
    }
  }
}

async function* copied({ store }: SelectionParts, { partition, first, last }: Stretch) {
  // From one that is there to the next: the copy may begin millions of offsets later.
  for (let from = first; from < last;) {
    const rows = await eventsAt(store, { topic: TOPIC, partition, from, until: last }, PAGE)
    from = (rows.at(-1)?.offset ?? last) + 1
    for (const row of rows) {
      if (row.type !== 'ingest.received') continue
      const { id, source, subject, tenant, traceparent } = row
      const time = new Date(row.time).toISOString()
      const data = row.data as Received['data']
      const event: Received = { id, type: 'ingest.received', source, subject, time, tenant, traceparent, data }
      yield { offset: row.offset, event }
    }
  }
}

function offsetIn(positions: readonly { partition: number; offset: number }[], partition: number): number {
  const found = positions.find((each) => each.partition === partition)
  if (found === undefined) throw new StoreError('invalid', `${TOPIC} has no partition ${partition}`)
  return found.offset
}

const isEnvelope = (key: string): boolean => key.endsWith('.json')

async function* byObjects({ blobs, source }: SelectionParts, prefix: string, after?: string): AsyncGenerator<Found> {
  for await (const { key } of blobs.list(prefix)) {
    if (!isEnvelope(key) || (after !== undefined && key <= after)) continue
    const meta = await envelopeAt(blobs, key)
    yield { messageId: meta?.messageId ?? key, cursor: key, event: meta && receivedFromMeta(meta, { source }) }
  }
}

/** Undefined where there is none that can be read: the others are told all the same. */
async function envelopeAt(blobs: SelectionParts['blobs'], key: string): Promise<MessageMeta | undefined> {
  const found = await blobs.get(key)
  try {
    return found === undefined ? undefined : metaFrom(await readAll(found.body))
  } catch (error) {
    if (error instanceof Fault) return undefined
    throw error
  }
}
