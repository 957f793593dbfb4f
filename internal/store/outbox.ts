// Events on their way to the log: written with the rows they tell of, taken out once the log has them.

import type { Queries, Tx } from './database.ts'

export interface OutboxRow {
  seq: number
  /** The whole event. */
  payload: Record<string, unknown>
  createdAt: number
}

/** What an event must have to be sent. */
interface Sendable {
  id: string
  type: string
  subject: string
}

export async function enqueue(tx: Tx, events: readonly Sendable[], now: number): Promise<void> {
  for (const event of events) {
    const { id, type, subject } = event
    const row = {
      id,
      type,
      aggregatetype: 'message',
      aggregateid: subject,
      payload: JSON.stringify(event),
      createdAt: now,
    }
    await tx.kysely.insertInto('outbox').values(row).execute()
  }
}

/** The oldest rows, in the order they were written. */
export async function nextOutbox(on: Queries, limit: number): Promise<OutboxRow[]> {
  const rows = await on.kysely
    .selectFrom('outbox')
    .select(['seq', 'payload', 'createdAt'])
    .orderBy('seq')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ ...row, payload: JSON.parse(row.payload) as Record<string, unknown> }))
}

/** Forgets rows that the log has acknowledged. */
export async function deliveredOutbox(on: Queries, seqs: readonly number[]): Promise<void> {
  if (seqs.length === 0) return
  await on.kysely
    .deleteFrom('outbox')
    .where('seq', 'in', [...seqs])
    .execute()
}

export async function outboxState(on: Queries): Promise<{ pending: number; oldestAt: number | null }> {
  return on.kysely
    .selectFrom('outbox')
    .select((of) => [of.fn.countAll<number>().as('pending'), of.fn.min('createdAt').as('oldestAt')])
    .executeTakeFirstOrThrow()
}
