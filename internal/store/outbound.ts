// Mail on its way out: written with the rows that it follows from, tried until a server takes it or its time is over. The moves are
// those of states.ts; a move that does not fit the state changes nothing.

import type { Selectable } from 'kysely'
import { checkedLimit, fromCursor, pageOf, toCursor } from './cursor.ts'
import type { Queries, Tx } from './database.ts'
import { StoreError } from './errors.ts'
import type { Outbound, Page, PageWant } from './rows.ts'
import type { Schema } from './schema.ts'
import { OUTBOUND_NEXT, OUTBOUND_STATES, type OutboundMove, type OutboundState } from './states.ts'

const fromRow = (row: Selectable<Schema['outbound']>): Outbound => ({
  ...row,
  mail: JSON.parse(row.mail) as Outbound['mail'],
})

/** Adds a mail, once: of an id that is there nothing changes. */
export async function queueOutbound(
  tx: Tx,
  given: Pick<Outbound, 'id' | 'tenant' | 'purpose' | 'aboutMessageId' | 'headerMessageId' | 'mail'> & { now: number },
): Promise<void> {
  const { now, mail, ...rest } = given
  const row = {
    ...rest,
    mail: JSON.stringify(mail),
    state: 'pending' as const,
    attempts: 0,
    nextAt: now,
    lastResult: null,
    createdAt: now,
    updatedAt: now,
  }
  await tx.kysely
    .insertInto('outbound')
    .values(row)
    .onConflict((found) => found.doNothing())
    .execute()
}

/** Takes mails whose time has come, the longest due first. Each is `sending` from then on, and a try is counted. */
export async function claimOutbound(on: Queries, want: { now: number; limit: number }): Promise<Outbound[]> {
  const { now, limit } = want
  const { from, to } = OUTBOUND_NEXT.claimed
  const due = on.kysely
    .selectFrom('outbound')
    .select('id')
    .where('state', '=', from)
    .where('nextAt', '<=', now)
    .orderBy('nextAt')
    .orderBy('id')
    .limit(limit)
  const rows = await on.kysely
    .updateTable('outbound')
    .set((column) => ({ state: to, attempts: column('attempts', '+', 1), updatedAt: now }))
    .where('id', 'in', due)
    .where('state', '=', from)
    .returningAll()
    .execute()
  return rows.map(fromRow)
}

/** It was taken, or it never will be. */
export async function settleOutbound(
  on: Queries,
  id: string,
  outcome: { move: 'accepted' | 'refused'; result: string; now: number },
): Promise<void> {
  const { move, result, now } = outcome
  await moved(on, { move, id, set: { lastResult: result, updatedAt: now } })
}

/** It is tried again at `nextAt`. */
export async function deferOutbound(
  on: Queries,
  id: string,
  outcome: { result: string; nextAt: number; now: number },
): Promise<void> {
  const { result, nextAt, now } = outcome
  await moved(on, { move: 'deferred', id, set: { lastResult: result, nextAt, updatedAt: now } })
}

/** Gives back what a process had that is gone; how many. Call it only while nobody else sends. */
export async function recoverOutbound(on: Queries, now: number): Promise<number> {
  return moved(on, { move: 'lost', set: { nextAt: now, updatedAt: now } })
}

/** Tries a failed one again, from the beginning. `not_found`; `conflict` where it has not failed. */
export async function retryOutbound(on: Queries, id: string, now: number): Promise<Outbound> {
  const set = { nextAt: now, updatedAt: now, createdAt: now, attempts: 0 }
  if ((await moved(on, { move: 'retried', id, set })) === 0) {
    const { state } = await getOutbound(on, id)
    throw new StoreError('conflict', `mail ${id} is ${state}; only failed mail is tried again`)
  }
  return getOutbound(on, id)
}

async function moved(
  on: Queries,
  change: { move: OutboundMove; id?: string; set: Partial<Selectable<Schema['outbound']>> },
): Promise<number> {
  const { from, to } = OUTBOUND_NEXT[change.move]
  let query = on.kysely
    .updateTable('outbound')
    .set({ ...change.set, state: to })
    .where('state', '=', from)
  if (change.id !== undefined) query = query.where('id', '=', change.id)
  const { numUpdatedRows } = await query.executeTakeFirst()
  return Number(numUpdatedRows)
}

/** Takes a mail out that is not being sent. `not_found`; `conflict` while it is. */
export async function dropOutbound(on: Queries, id: string): Promise<void> {
  const gone = await on.kysely
    .deleteFrom('outbound')
    .where('id', '=', id)
    .where('state', '!=', 'sending')
    .executeTakeFirst()
  if (Number(gone.numDeletedRows) > 0) return
  const { state } = await getOutbound(on, id)
  throw new StoreError('conflict', `mail ${id} is ${state}`)
}

/** Rows deleted at one time. */
const FORGOTTEN_MAX = 1000

/** Forgets what was sent or has failed before a time, some at a time; how many. */
export async function forgetOutbound(on: Queries, until: number): Promise<number> {
  const old = on.kysely
    .selectFrom('outbound')
    .select('id')
    .where('state', 'in', ['sent', 'failed'])
    .where('updatedAt', '<', until)
    .where('createdAt', '<', until)
    .limit(FORGOTTEN_MAX)
  const { numDeletedRows } = await on.kysely.deleteFrom('outbound').where('id', 'in', old).executeTakeFirst()
  return Number(numDeletedRows)
}

/** `not_found` if there is none. */
export async function getOutbound(on: Queries, id: string): Promise<Outbound> {
  const row = await on.kysely.selectFrom('outbound').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no outbound mail ${JSON.stringify(id)}`)
  return fromRow(row)
}

/** Mails shown of one message; a message has a reply of each mailbox at most. */
const FOUND_MAX = 100

/** A tenant's mails that answer a message, or that have a Message-ID. */
export async function findOutbound(
  on: Queries,
  about: { tenant: string } & ({ messageId: string } | { headerMessageId: string }),
): Promise<Outbound[]> {
  const query = on.kysely.selectFrom('outbound').selectAll().where('tenant', '=', about.tenant)
  const narrowed =
    'messageId' in about
      ? query.where('aboutMessageId', '=', about.messageId)
      : query.where('headerMessageId', '=', about.headerMessageId)
  return (await narrowed.orderBy('id').limit(FOUND_MAX).execute()).map(fromRow)
}

export interface OutboundFilter {
  tenant?: string
  state?: OutboundState
}

/** The newest first. `invalid` limit or cursor. */
export async function listOutbound(on: Queries, filter: OutboundFilter, want: PageWant): Promise<Page<Outbound>> {
  const limit = checkedLimit(want.limit)
  let query = on.kysely
    .selectFrom('outbound')
    .selectAll()
    .orderBy('createdAt', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1)
  if (filter.tenant !== undefined) query = query.where('tenant', '=', filter.tenant)
  if (filter.state !== undefined) query = query.where('state', '=', filter.state)
  if (want.cursor !== undefined) {
    const { time, id } = fromCursor(want.cursor)
    query = query.where((where) => where(where.refTuple('createdAt', 'id'), '<', where.tuple(time, id)))
  }
  return pageOf((await query.execute()).map(fromRow), limit, (row) => toCursor(row.createdAt, row.id))
}

/** How many mails are in each state that is not over or is for people to look at, and since when the oldest waits. */
export async function outboundState(
  on: Queries,
): Promise<{ pending: number; oldestAt: number | null; failed: number }> {
  const rows = await on.kysely
    .selectFrom('outbound')
    .select(({ fn }) => ['state', fn.countAll<number>().as('count'), fn.min('createdAt').as('oldestAt')])
    .where(
      'state',
      'in',
      OUTBOUND_STATES.filter((state) => state !== 'sent'),
    )
    .groupBy('state')
    .execute()
  const waiting = rows.filter(({ state }) => state !== 'failed')
  const times = waiting.map(({ oldestAt }) => oldestAt)
  return {
    pending: waiting.reduce((sum, { count }) => sum + count, 0),
    oldestAt: times.length === 0 ? null : Math.min(...times),
    failed: rows.find(({ state }) => state === 'failed')?.count ?? 0,
  }
}
