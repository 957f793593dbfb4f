// Erasing a tenant: first a mark that stays, with which nothing of it is written again, then its rows, a batch at a time.

import type { Queries, Store, Tx } from './database.ts'
import { directoryChanged } from './directory-version.ts'
import { StoreError } from './errors.ts'
import { run } from './run.ts'
import { findTenant, isSlug } from './tenants.ts'

/** What a tenant has in the store, by what people call it. */
export interface Holdings {
  messages: number
  documents: number
  events: number
  mailboxes: number
  domains: number
  credentials: number
}

const COUNTED = [
  'messages',
  'documents',
  'events',
  'mailboxes',
  'domains',
  'credentials',
] as const satisfies readonly (keyof Holdings)[]

/** Written by people, small: gone with the mark, so that no more mail is taken. */
const DIRECTORY = ['credentials', 'senders', 'senderPolicies', 'mailboxes', 'domains'] as const

/** What has the tenant's name and no message, and is little once its messages are gone. */
const REST = ['deliveryReports', 'outbound', 'usageDays', 'usageStored'] as const

/** Rows of one transaction. */
const BATCH = 500

/** Counts what there is; an erasure that was begun counts what is left. */
export async function holdingsOf(on: Queries, tenant: string): Promise<Holdings> {
  const counted = { messages: 0, documents: 0, events: 0, mailboxes: 0, domains: 0, credentials: 0 }
  for (const table of COUNTED) {
    const row = await on.kysely
      .selectFrom(table)
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('tenant', '=', tenant)
      .executeTakeFirstOrThrow()
    counted[table] = row.count
  }
  return counted
}

/** Whether a tenant was erased or is being erased: nothing of it may be written. */
export async function isErased(on: Queries, tenant: string): Promise<boolean> {
  return (await run(on, 'select tenant from erasures where tenant = $1', [tenant])).length > 0
}

/**
 * Marks the tenant and takes it out of the directory. Again for one that is marked: does nothing. `invalid` for what is no slug;
 * `conflict` for the only tenant, whose directory the nodes would keep, since one that is empty is taken for a mistake.
 */
export async function beginErasure(tx: Tx, tenant: string, now: number): Promise<void> {
  if (!isSlug(tenant)) throw new StoreError('invalid', `not a tenant's slug: ${JSON.stringify(tenant)}`)
  const others = await tx.kysely.selectFrom('tenants').select('slug').where('slug', '!=', tenant).limit(1).execute()
  if ((await findTenant(tx, tenant)) !== undefined && others.length === 0) {
    throw new StoreError(
      'conflict',
      `${tenant} is the only tenant: nodes keep its directory until there is another one`,
    )
  }
  const mark = { tenant, beganAt: now, endedAt: null }
  await tx.kysely
    .insertInto('erasures')
    .values(mark)
    .onConflict((found) => found.doNothing())
    .execute()
  const owned = tx.kysely.selectFrom('mailboxes').select('address').where('tenant', '=', tenant)
  await tx.kysely.updateTable('domains').set({ catchAll: null }).where('catchAll', 'in', owned).execute()
  for (const table of ['autoReplies', 'autoReplied'] as const)
    await tx.kysely.deleteFrom(table).where('address', 'in', owned).execute()
  for (const table of DIRECTORY) await tx.kysely.deleteFrom(table).where('tenant', '=', tenant).execute()
  await tx.kysely.deleteFrom('tenants').where('slug', '=', tenant).execute()
  await directoryChanged(tx)
}

/** Removes some of its rows; resolves with how many, 0 when there are no more. Call it until then. */
export async function eraseSome(store: Store, tenant: string): Promise<number> {
  return store.transaction(
    async (tx) =>
      (await eraseEvents(tx, tenant)) || (await eraseMessages(tx, tenant)) || (await eraseOthers(tx, tenant)),
  )
}

/** Messages with what hangs on each of them. */
async function eraseMessages(tx: Tx, tenant: string): Promise<number> {
  const rows = await tx.kysely
    .selectFrom('messages')
    .select(['id', 'seq', 'receivedAt', 'recipients', 'mailbox'])
    .where('tenant', '=', tenant)
    .limit(BATCH)
    .execute()
  if (rows.length === 0) return 0
  const ids = rows.map(({ id }) => id)
  for (const row of rows) await tx.dialect.dropText(tx, row)
  await tx.kysely.deleteFrom('outbox').where('aggregateid', 'in', ids).execute()
  await tx.kysely.deleteFrom('documents').where('messageId', 'in', ids).execute()
  await tx.kysely.deleteFrom('deliveryReports').where('messageId', 'in', ids).execute()
  await tx.kysely
    .deleteFrom('messageMailboxes')
    .where('mailbox', 'in', [...new Set(rows.flatMap(mailboxesOf))])
    .where('messageId', 'in', ids)
    .execute()
  const times = rows.map(({ receivedAt }) => receivedAt)
  await tx.kysely.deleteFrom('messages').where('id', 'in', ids).where('receivedAt', 'in', times).execute()
  return rows.length
}

function mailboxesOf({ recipients, mailbox }: { recipients: string; mailbox: string }): string[] {
  const all = JSON.parse(recipients) as readonly { mailbox: string }[]
  return [mailbox, ...all.map((each) => each.mailbox.toLowerCase())]
}

/** Before the messages: an event without its message looks like mail that was lost. */
async function eraseEvents({ kysely }: Tx, tenant: string): Promise<number> {
  const places = kysely
    .selectFrom('events')
    .select(['topic', 'partition', 'logOffset'])
    .where('tenant', '=', tenant)
    .limit(BATCH)
    .$asTuple('topic', 'partition', 'logOffset')
  const { numDeletedRows } = await kysely
    .deleteFrom('events')
    .where((where) => where(where.refTuple('topic', 'partition', 'logOffset'), 'in', places))
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

/** What has the tenant's name and no message. */
async function eraseOthers({ kysely }: Tx, tenant: string): Promise<number> {
  const ids = kysely.selectFrom('messageKeys').select('headerMessageId').where('tenant', '=', tenant).limit(BATCH)
  const keys = kysely.deleteFrom('messageKeys').where('tenant', '=', tenant).where('headerMessageId', 'in', ids)
  const headers = kysely.selectFrom('threadIds').select('headerId').where('tenant', '=', tenant).limit(BATCH)
  const threads = kysely.deleteFrom('threadIds').where('tenant', '=', tenant).where('headerId', 'in', headers)
  const gone = [await keys.executeTakeFirstOrThrow(), await threads.executeTakeFirstOrThrow()]
  for (const table of REST)
    gone.push(await kysely.deleteFrom(table).where('tenant', '=', tenant).executeTakeFirstOrThrow())
  return gone.reduce((sum, { numDeletedRows }) => sum + Number(numDeletedRows), 0)
}

/** Notes that nothing is left. */
export async function endErasure(on: Queries, tenant: string, now: number): Promise<void> {
  await on.kysely
    .updateTable('erasures')
    .set({ endedAt: now })
    .where('tenant', '=', tenant)
    .where('endedAt', 'is', null)
    .execute()
}

/** When erasing a tenant began and ended, where it was asked for. */
export async function erasureOf(
  on: Queries,
  tenant: string,
): Promise<{ beganAt: number; endedAt: number | null } | undefined> {
  return on.kysely.selectFrom('erasures').select(['beganAt', 'endedAt']).where('tenant', '=', tenant).executeTakeFirst()
}
