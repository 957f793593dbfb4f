// The log as a table that can be asked; the log itself is the truth.

import type { Selectable } from 'kysely'
import type { Queries, Tx } from './database.ts'
import { checkedLimit } from './cursor.ts'
import { StoreError } from './errors.ts'
import type { EventRow, Page, PageWant } from './rows.ts'
import type { Schema } from './schema.ts'

/** All that are given must hold. Times are milliseconds. */
export interface EventFilter {
  types?: readonly string[]
  tenant?: string
  messageId?: string
  entryId?: string
  traceId?: string
  eventId?: string
  /** Told at this time or later. */
  from?: number
  /** Told before this time. */
  until?: number
  topic?: string
  partition?: number
  /** This offset or later; with `topic` and `partition`. */
  offsetFrom?: number
}

const DAY_MS = 86_400_000

/** Adds events of the log, but those of tenants that were erased; those that are there stay as they are. */
export async function projectEvents(tx: Tx, events: readonly EventRow[]): Promise<void> {
  if (events.length === 0) return
  const days = new Set(events.map(({ appendedAt }) => Math.floor(appendedAt / DAY_MS)))
  for (const day of days) await tx.dialect.makeRoom('events', day * DAY_MS)
  const rows = events.map(({ offset, data, ...rest }) => ({ ...rest, logOffset: offset, data: JSON.stringify(data) }))
  await tx.dialect.addEvents(tx, rows)
}

/** Events by time, the oldest first unless `newestFirst`. */
export async function listEvents(
  on: Queries,
  filter: EventFilter,
  want: PageWant & { newestFirst?: boolean },
): Promise<Page<EventRow>> {
  const limit = checkedLimit(want.limit)
  const order = want.newestFirst === true ? 'desc' : 'asc'
  const { types, tenant, messageId, entryId, traceId, eventId, from, until } = filter
  let query = on.kysely
    .selectFrom('events')
    .selectAll()
    .orderBy('time', order)
    .orderBy('topic', order)
    .orderBy('partition', order)
    .orderBy('logOffset', order)
    .limit(limit + 1)
  if (types !== undefined) query = query.where('type', 'in', [...types])
  if (tenant !== undefined) query = query.where('tenant', '=', tenant)
  if (messageId !== undefined) query = query.where('subject', '=', messageId)
  if (entryId !== undefined) query = query.where('entryId', '=', entryId)
  if (traceId !== undefined) query = query.where('traceId', '=', traceId)
  if (eventId !== undefined) query = query.where('id', '=', eventId)
  if (from !== undefined) query = query.where('time', '>=', from)
  if (until !== undefined) query = query.where('time', '<', until)
  if (filter.topic !== undefined) query = query.where('topic', '=', filter.topic)
  if (filter.partition !== undefined) query = query.where('partition', '=', filter.partition)
  if (filter.offsetFrom !== undefined) query = query.where('logOffset', '>=', filter.offsetFrom)
  if (want.cursor !== undefined) {
    const [time, topic, partition, offset] = fromEventCursor(want.cursor)
    query = query.where((where) =>
      where(
        where.refTuple('time', 'topic', 'partition', 'logOffset'),
        order === 'asc' ? '>' : '<',
        where.tuple(time, topic, partition, offset),
      ),
    )
  }
  const rows = (await query.execute()).map(fromEventRow)
  const last = rows[limit - 1]
  if (rows.length <= limit || last === undefined) return { rows }
  return { rows: rows.slice(0, limit), next: toEventCursor(last) }
}

/** Events of one partition in the order of their offsets, from `from` on and below `until`. */
export async function eventsAt(
  on: Queries,
  place: { topic: string; partition: number; from: number; until: number },
  limit: number,
): Promise<EventRow[]> {
  const { topic, partition, from, until } = place
  const rows = await on.kysely
    .selectFrom('events')
    .selectAll()
    .where('topic', '=', topic)
    .where('partition', '=', partition)
    .where('logOffset', '>=', from)
    .where('logOffset', '<', until)
    .orderBy('logOffset')
    .limit(limit)
    .execute()
  return rows.map(fromEventRow)
}

/** A message that an event told of and that has no row. */
export interface Unaccounted {
  messageId: string
  partition: number
  offset: number
}

/** The messages that `ingest.received` events of these offsets, `until` not among them, tell of and that have no row. */
export async function unaccounted(
  on: Queries,
  { topic, partition, from, until }: { topic: string; partition: number; from: number; until: number },
): Promise<Unaccounted[]> {
  return on.kysely
    .selectFrom('events')
    .select(['subject as messageId', 'partition', 'logOffset as offset'])
    .where('topic', '=', topic)
    .where('partition', '=', partition)
    .where('logOffset', '>=', from)
    .where('logOffset', '<', until)
    .where('type', '=', 'ingest.received')
    .where((where) =>
      where.not(
        where.exists(
          where.selectFrom(on.dialect.placeTable).select('id').whereRef('id', '=', where.ref('events.subject')),
        ),
      ),
    )
    .orderBy('logOffset')
    .execute()
}

/**
 * Removes events that were appended before `until`, milliseconds: whole months that were over by then in PostgreSQL, rows in SQLite,
 * 1000 at most. Resolves with how many months or rows went; 0 when there are no more.
 */
export const dropEvents = (on: Queries, until: number): Promise<number> => on.dialect.dropEvents(on, until)

function fromEventRow({ logOffset, data, ...rest }: Selectable<Schema['events']>): EventRow {
  return { ...rest, offset: logOffset, data: JSON.parse(data) as Record<string, unknown> }
}

const toEventCursor = (row: EventRow): string =>
  Buffer.from(JSON.stringify([row.time, row.topic, row.partition, row.offset])).toString('base64url')

function fromEventCursor(cursor: string): [number, string, number, number] {
  const text = Buffer.from(cursor, 'base64url').toString()
  if (!/^\[\d{1,15},"[\w.-]{1,200}",\d{1,9},\d{1,15}\]$/.test(text)) {
    throw new StoreError('invalid', 'not a cursor of this list')
  }
  return JSON.parse(text) as [number, string, number, number]
}
