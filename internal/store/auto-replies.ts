// What mailboxes answer by themselves, and to whom they did.

import { isPlainAddress } from '../envelope/envelope.ts'
import { getMailbox } from './addresses.ts'
import type { Queries, Tx } from './database.ts'
import { StoreError } from './errors.ts'
import type { AutoReply } from './rows.ts'

const DAY_MS = 86_400_000
/** RFC 3834 2: one reply to a sender in several days. */
const EVERY_MS = { usual: 7 * DAY_MS, min: DAY_MS, max: 365 * DAY_MS }
/** UTF-16 units. */
const SUBJECT_MAX = 200
const BODY_MAX = 16 * 1024

/** Sets what a mailbox answers. `not_found` mailbox, `invalid`. */
export async function setAutoReply(
  on: Queries,
  given: {
    address: string
    subject?: string | undefined
    body: string
    fromAt?: number | undefined
    untilAt?: number | undefined
    everyMs?: number | undefined
    now: number
  },
): Promise<AutoReply> {
  const { subject = null, body, fromAt = null, untilAt = null, everyMs = EVERY_MS.usual, now } = given
  const { address } = await getMailbox(on, given.address)
  const problem = problemWith({ address, subject, body, fromAt, untilAt, everyMs })
  if (problem !== undefined) throw new StoreError('invalid', problem)
  const row = { address, subject, body, fromAt, untilAt, everyMs, updatedAt: now }
  await on.kysely
    .insertInto('autoReplies')
    .values(row)
    .onConflict((found) => found.column('address').doUpdateSet(row))
    .execute()
  return row
}

function problemWith(reply: Omit<AutoReply, 'updatedAt'>): string | undefined {
  const { address, subject, body, fromAt, untilAt, everyMs } = reply
  if (!isPlainAddress(address)) return `${address} cannot reply: its name is more than plain ASCII`
  if (subject !== null && (subject.trim() === '' || subject.length > SUBJECT_MAX || /\p{Cc}/u.test(subject)))
    return `a subject is one line of 1 to ${SUBJECT_MAX} characters`
  if (body.trim() === '' || body.length > BODY_MAX) return `a text has 1 to ${BODY_MAX} characters`
  if (body.includes('\0')) return 'a text has no NUL'
  if (fromAt !== null && untilAt !== null && fromAt >= untilAt) return 'a reply begins before it ends'
  if (!(everyMs >= EVERY_MS.min && everyMs <= EVERY_MS.max)) return 'one sender gets a reply once in 1 to 365 days'
  return undefined
}

/** `not_found` where the mailbox answers nothing. */
export async function getAutoReply(on: Queries, address: string): Promise<AutoReply> {
  const mailbox = await getMailbox(on, address)
  const row = await on.kysely
    .selectFrom('autoReplies')
    .selectAll()
    .where('address', '=', mailbox.address)
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `${mailbox.address} has no automatic reply`)
  return row
}

/** Replies in order of their addresses. */
export async function listAutoReplies(
  on: Queries,
  want: { tenant?: string; after?: string; limit?: number } = {},
): Promise<AutoReply[]> {
  let query = on.kysely
    .selectFrom('autoReplies')
    .selectAll('autoReplies')
    .orderBy('autoReplies.address')
    .limit(want.limit ?? 1000)
  const { tenant, after } = want
  if (tenant !== undefined)
    query = query.where('autoReplies.address', 'in', (of) =>
      of.selectFrom('mailboxes').select('address').where('tenant', '=', tenant),
    )
  if (after !== undefined) query = query.where('autoReplies.address', '>', after)
  return query.execute()
}

/** `not_found` where there is none. Who got a reply is remembered all the same. */
export async function removeAutoReply(on: Queries, address: string): Promise<void> {
  const reply = await getAutoReply(on, address)
  await on.kysely.deleteFrom('autoReplies').where('address', '=', reply.address).execute()
}

/** The replies of these mailboxes that hold now, if the mailboxes are the tenant's and enabled; in order of their addresses. */
export async function activeAutoReplies(
  tx: Tx,
  want: { tenant: string; addresses: readonly string[]; now: number },
): Promise<AutoReply[]> {
  const { tenant, addresses, now } = want
  if (addresses.length === 0) return []
  const rows = await tx.kysely
    .selectFrom('autoReplies')
    .innerJoin('mailboxes', 'mailboxes.address', 'autoReplies.address')
    .selectAll('autoReplies')
    .where('autoReplies.address', 'in', [...addresses])
    .where('mailboxes.tenant', '=', tenant)
    .where('mailboxes.enabled', '=', 1)
    .orderBy('autoReplies.address')
    .execute()
  return rows.filter(({ fromAt, untilAt }) => (fromAt ?? 0) <= now && now < (untilAt ?? Infinity))
}

/** Replies of one mailbox in an hour: whatever comes in, no more goes out. */
const HOURLY_MAX = 100
const HOUR_MS = 3_600_000

/** Whether a mailbox may reply to a sender now; from then on it may not until its time is over. Two at once: one may. */
export async function claimReply(
  tx: Tx,
  claim: { address: string; sender: string; everyMs: number; now: number },
): Promise<boolean> {
  const { address, sender, everyMs, now } = claim
  const untilAt = now + everyMs
  const { count } = await tx.kysely
    .selectFrom('autoReplied')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('address', '=', address)
    .where('untilAt', '>', untilAt - HOUR_MS)
    .where('untilAt', '<=', untilAt)
    .executeTakeFirstOrThrow()
  if (count >= HOURLY_MAX) return false
  const claimed = await tx.kysely
    .insertInto('autoReplied')
    .values({ address, sender, untilAt })
    .onConflict((found) =>
      found.columns(['address', 'sender']).doUpdateSet({ untilAt }).where('autoReplied.untilAt', '<=', now),
    )
    .returning('address')
    .executeTakeFirst()
  return claimed !== undefined
}

/** Rows deleted at one time. */
const DROPPED_MAX = 1000

/** Forgets senders whose time is over, some at a time; how many. */
export async function dropReplied(on: Queries, now: number): Promise<number> {
  const old = await on.kysely
    .selectFrom('autoReplied')
    .select(['address', 'sender'])
    .where('untilAt', '<=', now)
    .limit(DROPPED_MAX)
    .execute()
  for (const { address, sender } of old) {
    await on.kysely
      .deleteFrom('autoReplied')
      .where('address', '=', address)
      .where('sender', '=', sender)
      .where('untilAt', '<=', now)
      .execute()
  }
  return old.length
}
