// Writing messages. Each function is one step of a transaction that the indexer puts together.

import type { Tx } from './database.ts'
import type { MessagePlace } from './dialect.ts'
import { messageIs } from './messages.ts'
import { fromMessageRow, toMessageRow, type MessageDraft } from './message-row.ts'
import type { Message } from './rows.ts'
import type { MessageStatus } from './states.ts'

/** Inserts or replaces the row and the mailboxes it is listed under. Its place stays: a message's time never changes. */
export async function saveMessage(tx: Tx, message: MessageDraft): Promise<MessagePlace> {
  const row = toMessageRow(message)
  await tx.dialect.makeRoom('messages', message.receivedAt)
  const saved = await tx.kysely
    .insertInto('messages')
    .values(row)
    .onConflict((found) => found.columns(tx.dialect.messageKey).doUpdateSet(row))
    .returning(['seq', 'receivedAt'])
    .executeTakeFirstOrThrow()
  await saveMailboxes(tx, message)
  return saved
}

/** Inserts the row if there is none yet; true if it did. */
export async function insertStored(tx: Tx, message: MessageDraft): Promise<boolean> {
  await tx.dialect.makeRoom('messages', message.receivedAt)
  const made = await tx.kysely
    .insertInto('messages')
    .values(toMessageRow(message))
    .onConflict((found) => found.columns(tx.dialect.messageKey).doNothing())
    .returning('seq')
    .executeTakeFirst()
  if (made !== undefined) await saveMailboxes(tx, message)
  return made !== undefined
}

/** The entries of a message under its mailboxes. */
export function mailboxesOf({ recipients, receivedAt, id }: MessageDraft) {
  const mailboxes = new Set(recipients.map((each) => each.mailbox.toLowerCase()))
  return [...mailboxes].map((mailbox) => ({ mailbox, receivedAt, messageId: id }))
}

async function saveMailboxes(tx: Tx, message: MessageDraft): Promise<void> {
  const entries = mailboxesOf(message)
  if (entries.length === 0) return
  await tx.kysely
    .insertInto('messageMailboxes')
    .values(entries)
    .onConflict((found) => found.doNothing())
    .execute()
}

/** What may change of a message without parsing it again. */
export interface MessagePatch {
  status?: MessageStatus
  duplicateOf?: string | null
  headerMessageId?: string
  threadId?: string | null
  contentHash?: string
  attachmentCount?: number
}

/** Resolves with its place; undefined where there is none of this id. */
export async function patchMessage(tx: Tx, id: string, patch: MessagePatch): Promise<MessagePlace | undefined> {
  const isIt = await messageIs(tx, id)
  if (isIt === undefined) return undefined
  const patched = tx.kysely.updateTable('messages').set(patch).where(isIt).returning(['seq', 'receivedAt'])
  return patched.executeTakeFirst()
}

/** Everything that is a duplicate of `from` becomes one of `to`; `to` itself becomes none of anything. */
export async function repointDuplicates(
  tx: Tx,
  change: { from: string; to: string; headerMessageId?: string },
): Promise<void> {
  const { from, to, headerMessageId } = change
  await tx.kysely
    .updateTable('messages')
    .set({ duplicateOf: to, ...(headerMessageId === undefined ? {} : { headerMessageId }) })
    .where('duplicateOf', '=', from)
    .where('id', '!=', to)
    .execute()
}

/** Removes what only a processed message has: its documents, its search row and what it reports. `place` is what saving or patching it gave. */
export async function dropDerived(tx: Tx, messageId: string, place: MessagePlace): Promise<void> {
  await tx.kysely.deleteFrom('documents').where('messageId', '=', messageId).execute()
  await tx.kysely.deleteFrom('deliveryReports').where('messageId', '=', messageId).execute()
  await tx.dialect.dropText(tx, place)
}

/** Gives the duplicates of `first` the header id that it has now. */
export async function renameDuplicates(tx: Tx, first: string, headerMessageId: string): Promise<void> {
  await tx.kysely.updateTable('messages').set({ headerMessageId }).where('duplicateOf', '=', first).execute()
}

/** The oldest duplicate of `first`. */
export async function nextDuplicate(tx: Tx, first: string): Promise<Message | undefined> {
  const row = await tx.kysely
    .selectFrom('messages')
    .selectAll()
    .where('duplicateOf', '=', first)
    .orderBy('entryId')
    .limit(1)
    .executeTakeFirst()
  return row === undefined ? undefined : fromMessageRow(row)
}

/** The oldest message, but for one, whose plain synthetic id this is. */
export async function nextSynthetic(
  tx: Tx,
  want: { tenant: string; source: string; plain: string; except: string },
): Promise<Message | undefined> {
  const row = await tx.kysely
    .selectFrom('messages')
    .selectAll()
    .where('tenant', '=', want.tenant)
    .where('syntheticBase', '=', want.plain)
    .where('source', '=', want.source)
    .where('id', '!=', want.except)
    .where('status', 'in', ['PARSED', 'DUPLICATE'])
    .orderBy('entryId')
    .limit(1)
    .executeTakeFirst()
  return row === undefined ? undefined : fromMessageRow(row)
}
