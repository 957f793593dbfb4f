// Events on their way to the log: written with the rows they tell of, taken out once the log has them.

import type { Queries, Tx } from './database.ts'
import type { Row } from './dialect.ts'
import { run } from './run.ts'

export interface OutboxRow {
  seq: number
  /** The whole event. */
  payload: Record<string, unknown>
  createdAt: number
}

/** What an event must have to be sent. */
export interface Sendable {
  id: string
  type: string
  subject: string
}

/** Adds events in their order; there must be one at least. */
export async function enqueue(tx: Tx, events: readonly Sendable[], now: number): Promise<void> {
  await tx.dialect.add(tx, 'outbox', outboxRows(events, now))
}

/** Events as rows, in their order. */
export const outboxRows = (events: readonly Sendable[], now: number): Row[] =>
  events.map((event) => ({
    id: event.id,
    type: event.type,
    aggregatetype: 'message',
    aggregateid: event.subject,
    payload: JSON.stringify(event),
    createdAt: now,
  }))

/** The oldest rows that the log may take, in the order they were written. */
export async function nextOutbox(on: Queries, limit: number): Promise<OutboxRow[]> {
  const rows = await run<{ seq: number; payload: string; createdAt: number }>(
    on,
    'select seq, payload, created_at from outbox where refused is null order by seq limit $1',
    [limit],
  )
  return rows.map((row) => ({ ...row, payload: JSON.parse(row.payload) as Record<string, unknown> }))
}

/** Forgets rows that the log has acknowledged. */
export async function deliveredOutbox(on: Queries, seqs: readonly number[]): Promise<void> {
  if (seqs.length === 0) return
  const { dialect } = on
  await run(on, `delete from outbox where seq ${dialect.inList('$1', 'bigint')}`, [dialect.listOf(seqs)])
}

/** Sets a row aside that the log will never take; it stays, and `reason` with it, until a person decides. */
export async function refuseOutbox(on: Queries, seq: number, reason: string): Promise<void> {
  await on.kysely.updateTable('outbox').set({ refused: reason }).where('seq', '=', seq).execute()
}

/** How many rows wait for the log, when the oldest of them was written, and how many are set aside. */
export async function outboxState(on: Queries): Promise<{ pending: number; oldestAt: number | null; refused: number }> {
  const row = await on.kysely
    .selectFrom('outbox')
    .select(({ fn }) => [
      fn.countAll<number>().as('all'),
      fn.count<number>('refused').as('refused'),
      fn.min('createdAt').filterWhere('refused', 'is', null).as('oldestAt'),
    ])
    .executeTakeFirstOrThrow()
  return { pending: row.all - row.refused, oldestAt: row.oldestAt, refused: row.refused }
}
