// Reading messages: lists newest first, counts, and finding one by any of its ids.

import { sql, type Expression, type ExpressionBuilder, type SqlBool } from 'kysely'
import { checkedLimit, fromCursor, pageOf, toCursor } from './cursor.ts'
import type { Queries } from './database.ts'
import { placeTableOf } from './dialect.ts'
import { StoreError } from './errors.ts'
import { fromMessageRow } from './message-row.ts'
import type { Message, Page, PageWant } from './rows.ts'
import { run } from './run.ts'
import type { Schema } from './schema.ts'
import { MESSAGE_STATUSES, type MessageStatus } from './states.ts'

/** All that are given must hold. Times are milliseconds. */
export interface MessageFilter {
  tenant?: string
  /** Any mailbox that the message came to. */
  mailbox?: string
  status?: MessageStatus | readonly MessageStatus[]
  reason?: string
  /** One of the message's flags. */
  flag?: string
  /** Received at this time or later. */
  from?: number
  /** Received before this time. */
  until?: number
  ids?: readonly string[]
  threadId?: string
  duplicateOf?: string
}

type Messages = ExpressionBuilder<Schema, 'messages'>

/** The filter as one condition on `messages`. */
export function matching(filter: MessageFilter) {
  return (where: Messages): Expression<SqlBool> => {
    const all: Expression<SqlBool>[] = []
    if (filter.tenant !== undefined) all.push(where('messages.tenant', '=', filter.tenant))
    if (typeof filter.status === 'string') all.push(where('messages.status', '=', filter.status))
    else if (filter.status !== undefined) all.push(where('messages.status', 'in', [...filter.status]))
    if (filter.reason !== undefined) all.push(where('messages.reason', '=', filter.reason))
    if (filter.flag !== undefined) all.push(flagged(filter.flag))
    if (filter.from !== undefined) all.push(where('messages.receivedAt', '>=', filter.from))
    if (filter.until !== undefined) all.push(where('messages.receivedAt', '<', filter.until))
    if (filter.ids !== undefined) all.push(where('messages.id', 'in', [...filter.ids]))
    if (filter.threadId !== undefined) all.push(where('messages.threadId', '=', filter.threadId))
    if (filter.duplicateOf !== undefined) all.push(where('messages.duplicateOf', '=', filter.duplicateOf))
    if (filter.mailbox !== undefined) all.push(cameTo(where, filter.mailbox))
    return where.and(all)
  }
}

/** Flags are a JSON list of plain words; a condition on them reads every row that the rest of the filter leaves. */
const flagged = (flag: string): Expression<SqlBool> =>
  sql<SqlBool>`messages.flags like ${`%"${flag.replaceAll(/[\\%_]/g, String.raw`\$&`)}"%`} escape '\\'`

/** True of messages with this mailbox among their recipients. */
export const cameTo = (where: Messages, mailbox: string): Expression<SqlBool> =>
  where(
    where.refTuple('messages.receivedAt', 'messages.id'),
    'in',
    where
      .selectFrom('messageMailboxes')
      .select(['messageMailboxes.receivedAt', 'messageMailboxes.messageId'])
      .where('messageMailboxes.mailbox', '=', mailbox.toLowerCase())
      .$asTuple('receivedAt', 'messageId'),
  )

/** Rows after a cursor, newest first. */
export const afterCursor =
  (cursor: string) =>
  (where: Messages): Expression<SqlBool> => {
    const { time, id } = fromCursor(cursor)
    return where(where.refTuple('messages.receivedAt', 'messages.id'), '<', where.tuple(time, id))
  }

/** The cursor that goes on after this message. */
export const cursorOf = (message: Pick<Message, 'receivedAt' | 'id'>): string =>
  toCursor(message.receivedAt, message.id)

/** Messages, newest first. `invalid` limit or cursor. */
export async function listMessages(on: Queries, filter: MessageFilter, want: PageWant): Promise<Page<Message>> {
  const { mailbox, ...rest } = filter
  return mailbox === undefined
    ? pageMessages(on, matching(rest), want)
    : pageMailbox(on, mailbox.toLowerCase(), rest, want)
}

/** Entries of a mailbox looked at in one go when few of the first ones are wanted. */
const ENTRIES_MAX = 1000

/** Reads along the mailbox until the page is full: a page of a large mailbox costs no more than one of a small one. */
async function pageMailbox(on: Queries, mailbox: string, filter: MessageFilter, want: PageWant) {
  const limit = checkedLimit(want.limit)
  const rows: Message[] = []
  let after = want.cursor === undefined ? undefined : fromCursor(want.cursor)
  for (let take = limit + 1; ; take = ENTRIES_MAX) {
    const entries = await mailboxEntries(on, { mailbox, filter, after, take })
    rows.push(...(await messagesOf(on, entries, filter)))
    after = entries.at(-1)
    if (rows.length > limit || entries.length < take) return pageOf(rows, limit, cursorOf)
  }
}

interface Entry {
  time: number
  id: string
}

/** What came to a mailbox, newest first. */
async function mailboxEntries(
  on: Queries,
  want: { mailbox: string; filter: MessageFilter; after: Entry | undefined; take: number },
): Promise<Entry[]> {
  const { mailbox, filter, after, take } = want
  let query = on.kysely
    .selectFrom('messageMailboxes')
    .select(['receivedAt as time', 'messageId as id'])
    .where('mailbox', '=', mailbox)
    .orderBy('receivedAt', 'desc')
    .orderBy('messageId', 'desc')
    .limit(take)
  if (filter.from !== undefined) query = query.where('receivedAt', '>=', filter.from)
  if (filter.until !== undefined) query = query.where('receivedAt', '<', filter.until)
  if (after !== undefined) {
    query = query.where((where) =>
      where(where.refTuple('receivedAt', 'messageId'), '<', where.tuple(after.time, after.id)),
    )
  }
  return query.execute()
}

/** The messages of these entries that the filter holds of. */
async function messagesOf(on: Queries, entries: readonly Entry[], filter: MessageFilter): Promise<Message[]> {
  const [newest, oldest] = [entries[0], entries.at(-1)]
  if (newest === undefined || oldest === undefined) return []
  const rows = await on.kysely
    .selectFrom('messages')
    .selectAll()
    .where(matching(filter))
    .where(
      'messages.id',
      'in',
      entries.map(({ id }) => id),
    )
    .where('messages.receivedAt', '<=', newest.time)
    .where('messages.receivedAt', '>=', oldest.time)
    .orderBy('messages.receivedAt', 'desc')
    .orderBy('messages.id', 'desc')
    .execute()
  return rows.map(fromMessageRow)
}

/** One page of the messages that `holds` is true of, newest first. */
export async function pageMessages(
  on: Queries,
  holds: (where: Messages) => Expression<SqlBool>,
  want: PageWant,
): Promise<Page<Message>> {
  const limit = checkedLimit(want.limit)
  let query = on.kysely
    .selectFrom('messages')
    .selectAll()
    .where(holds)
    .orderBy('messages.receivedAt', 'desc')
    .orderBy('messages.id', 'desc')
    .limit(limit + 1)
  if (want.cursor !== undefined) query = query.where(afterCursor(want.cursor))
  return pageOf((await query.execute()).map(fromMessageRow), limit, cursorOf)
}

/** How many messages there are in each status. */
export async function countByStatus(on: Queries, filter: MessageFilter = {}): Promise<Record<MessageStatus, number>> {
  const rows = await on.kysely
    .selectFrom('messages')
    .select(['status', (count) => count.fn.countAll<number>().as('count')])
    .where(matching(filter))
    .groupBy('status')
    .execute()
  const found = new Map(rows.map((row) => [row.status, row.count]))
  return Object.fromEntries(MESSAGE_STATUSES.map((status) => [status, found.get(status) ?? 0])) as Record<
    MessageStatus,
    number
  >
}

/** How many messages with a reason there are, by reason. */
export async function countByReason(on: Queries, filter: MessageFilter = {}): Promise<Record<string, number>> {
  const rows = await on.kysely
    .selectFrom('messages')
    .select(['reason', (count) => count.fn.countAll<number>().as('count')])
    .where(matching(filter))
    .where('reason', 'is not', null)
    .groupBy('reason')
    .execute()
  return Object.fromEntries(rows.map((row) => [row.reason ?? '', row.count]))
}

export async function countMessages(on: Queries, filter: MessageFilter = {}): Promise<number> {
  const row = await on.kysely
    .selectFrom('messages')
    .select((count) => count.fn.countAll<number>().as('count'))
    .where(matching(filter))
    .executeTakeFirstOrThrow()
  return row.count
}

/**
 * True of the message with this id; undefined where there is none. The condition names the message's time as well, so that the
 * cost is that of one month, however many there are.
 */
export async function messageIs(on: Queries, id: string) {
  const receivedAt = await on.dialect.receivedAtOf(on, id)
  if (receivedAt === undefined) return undefined
  return (where: Messages) => where.and([where('messages.id', '=', id), where('messages.receivedAt', '=', receivedAt)])
}

/** Those of these messages that have a row, or whose tenant was erased. */
export async function knownOrErased(
  on: Queries,
  messages: readonly Readonly<{ messageId: string; tenant: string }>[],
): Promise<Set<string>> {
  if (messages.length === 0) return new Set()
  const { dialect } = on
  const text = `
    select id as known, null as erased from ${placeTableOf(dialect)} where id ${dialect.inList('$1', 'text')}
    union all
    select null, tenant from erasures where tenant ${dialect.inList('$2', 'text')}`
  const ids = messages.map(({ messageId }) => messageId)
  const tenants = [...new Set(messages.map(({ tenant }) => tenant))]
  const rows = await run<{ known: string | null; erased: string | null }>(on, text, [
    dialect.listOf(ids),
    dialect.listOf(tenants),
  ])
  const known = new Set(rows.map((row) => row.known))
  const erased = new Set(rows.map((row) => row.erased))
  const are = messages.filter(({ messageId, tenant }) => known.has(messageId) || erased.has(tenant))
  return new Set(are.map(({ messageId }) => messageId))
}

export async function findMessage(on: Queries, id: string): Promise<Message | undefined> {
  const isIt = await messageIs(on, id)
  if (isIt === undefined) return undefined
  const row = await on.kysely.selectFrom('messages').selectAll().where(isIt).executeTakeFirst()
  return row === undefined ? undefined : fromMessageRow(row)
}

/** `not_found` if there is none. */
export async function getMessage(on: Queries, id: string): Promise<Message> {
  const message = await findMessage(on, id)
  if (message === undefined) throw new StoreError('not_found', `no message ${id}`)
  return message
}

/** The ids a message can be found by; exactly one is given. */
export type MessageIds =
  | { id: string }
  | { entryId: string }
  | { traceId: string }
  | { headerMessageId: string; tenant?: string }

/** Most messages that one id finds; an entry has one for each tenant. */
const FOUND_MAX = 1000

/** The messages with this id, oldest entry first, at most 1000. */
export async function findMessages(on: Queries, ids: MessageIds): Promise<Message[]> {
  if ('id' in ids) {
    const found = await findMessage(on, ids.id)
    return found === undefined ? [] : [found]
  }
  let query = on.kysely.selectFrom('messages').selectAll().orderBy('entryId').orderBy('id').limit(FOUND_MAX)
  if ('entryId' in ids) query = query.where('entryId', '=', ids.entryId)
  else if ('traceId' in ids) query = query.where('traceId', '=', ids.traceId)
  else {
    query = query.where('headerMessageId', '=', ids.headerMessageId)
    if (ids.tenant !== undefined) query = query.where('tenant', '=', ids.tenant)
  }
  return (await query.execute()).map(fromMessageRow)
}

/** The messages that have `id` as message, entry or trace id, or as header Message-ID (with angle brackets). */
export async function messagesByAnyId(on: Queries, id: string): Promise<Message[]> {
  const rows = await on.kysely
    .selectFrom('messages')
    .selectAll()
    .where((where) =>
      where.or([
        where('id', '=', id),
        where('entryId', '=', id),
        where('traceId', '=', id),
        where('headerMessageId', '=', id),
      ]),
    )
    .orderBy('entryId')
    .orderBy('id')
    .limit(FOUND_MAX)
    .execute()
  return rows.map(fromMessageRow)
}
