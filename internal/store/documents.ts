// Documents: one record for each file attachment. The bytes lie in the object store, once for each content and tenant.

import { checkedLimit, pageOf, fromCursor, toCursor } from './cursor.ts'
import type { Queries, Tx } from './database.ts'
import { StoreError } from './errors.ts'
import type { Document, Page, PageWant } from './rows.ts'

export interface DocumentFilter {
  tenant?: string
  messageId?: string
  contentType?: string
  sha256?: string
}

/** A document with what is needed to list it by age. */
export type ListedDocument = Document & { receivedAt: number }

/** Rows of one statement: SQLite takes 32,766 values, PostgreSQL 65,535. */
const ROWS_MAX = 1000

/** Adds the documents of a message that has none; see `dropDerived`. */
export async function addDocuments(tx: Tx, documents: readonly Document[]): Promise<void> {
  for (let from = 0; from < documents.length; from += ROWS_MAX) {
    await tx.kysely
      .insertInto('documents')
      .values(documents.slice(from, from + ROWS_MAX))
      .execute()
  }
}

/** The documents of these messages, by message and in the order of the message. */
export async function documentsOf(on: Queries, messageIds: readonly string[]): Promise<Document[]> {
  if (messageIds.length === 0) return []
  return on.kysely
    .selectFrom('documents')
    .selectAll()
    .where('messageId', 'in', [...messageIds])
    .orderBy('messageId')
    .orderBy('ordinal')
    .execute()
}

/** `not_found` if there is none. */
export async function getDocument(on: Queries, id: string): Promise<Document> {
  const found = await on.kysely.selectFrom('documents').selectAll().where('id', '=', id).executeTakeFirst()
  if (found === undefined) throw new StoreError('not_found', `no document ${id}`)
  return found
}

/** Documents of the newest messages first. */
export async function listDocuments(
  on: Queries,
  filter: DocumentFilter,
  want: PageWant,
): Promise<Page<ListedDocument>> {
  const limit = checkedLimit(want.limit)
  let query = on.kysely
    .selectFrom('documents')
    .innerJoin('messages', 'messages.id', 'documents.messageId')
    .selectAll('documents')
    .select('messages.receivedAt')
    .orderBy('messages.receivedAt', 'desc')
    .orderBy('documents.id', 'desc')
    .limit(limit + 1)
  if (filter.tenant !== undefined) query = query.where('messages.tenant', '=', filter.tenant)
  if (filter.messageId !== undefined) query = query.where('documents.messageId', '=', filter.messageId)
  if (filter.contentType !== undefined) query = query.where('documents.contentType', '=', filter.contentType)
  if (filter.sha256 !== undefined) query = query.where('documents.sha256', '=', filter.sha256)
  if (want.cursor !== undefined) {
    const { time, id } = fromCursor(want.cursor)
    query = query.where((where) =>
      where(where.refTuple('messages.receivedAt', 'documents.id'), '<', where.tuple(time, id)),
    )
  }
  return pageOf(await query.execute(), limit, (row) => toCursor(row.receivedAt, row.id))
}
