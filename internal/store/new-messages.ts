// Messages that nothing is known of yet, which most are: many at a time, by a few statements for all of them.

import { sql, type RawBuilder } from 'kysely'
import type { Tx } from './database.ts'
import type { MessagePlace, Row } from './dialect.ts'
import { mailboxesOf } from './message-writes.ts'
import { toMessageRow, type MessageDraft } from './message-row.ts'
import type { Document } from './rows.ts'
import type { Schema } from './schema.ts'
import { indexTexts, type SearchText } from './search.ts'

/** What a message would be known by. */
export interface Stranger {
  id: string
  tenant: string
  source: string
  headerMessageId: string
  /** Header ids that link it to conversations. */
  linked: readonly string[]
}

/**
 * Those that have no row, whose header id is nobody's, whose conversation has nobody in it, and who share none of this
 * with one before them in the list. All that decides about it must be held.
 */
export async function strangersAmong<T extends Stranger>(tx: Tx, all: readonly T[]): Promise<T[]> {
  const taken = await known(tx, all)
  return all.filter((each) => {
    const names = namesOf(each)
    const isNew = names.every((name) => !taken.has(name))
    for (const name of names) taken.add(name)
    return isNew
  })
}

const namesOf = ({ id, tenant, source, headerMessageId, linked }: Stranger): string[] => [
  nameOf('message', '', id),
  nameOf('key', `${tenant} ${source}`, headerMessageId),
  ...new Set(linked.map((headerId) => nameOf('thread', tenant, headerId))),
]

const nameOf = (kind: string, place: string, name: string): string => `${kind}\n${place}\n${name}`

/** Names that are in the store: all that are asked for, and some more. */
async function known(tx: Tx, all: readonly Stranger[]): Promise<Set<string>> {
  const { dialect } = tx
  const each = (field: 'id' | 'tenant' | 'source' | 'headerMessageId') => [...new Set(all.map((one) => one[field]))]
  const tenants = each('tenant')
  const { rows } = await sql<{ kind: string; place: string; name: string }>`
    select 'message' as kind, '' as place, id as name from ${sql.table(dialect.placeTable)} where ${dialect.oneOf('id', each('id'))}
    union all
    select 'key', tenant || ' ' || source, header_message_id from message_keys
    where ${dialect.oneOf('tenant', tenants)} and ${dialect.oneOf('source', each('source'))}
      and ${dialect.oneOf('headerMessageId', each('headerMessageId'))}
    union all
    select 'thread', tenant, header_id from thread_ids
    where ${dialect.oneOf('tenant', tenants)} and ${dialect.oneOf('headerId', [...new Set(all.flatMap(({ linked }) => linked))])}
    `.execute(tx.kysely)
  return new Set(rows.map(({ kind, place, name }) => nameOf(kind, place, name)))
}

/** A message that was found to be a stranger, first with its header id and alone in its conversation. */
export interface NewMessage {
  row: MessageDraft & { headerMessageId: string; threadId: string }
  linked: readonly string[]
  documents: readonly Document[]
  text: SearchText
}

/** Writes rows, keys, conversations, documents and search texts. */
export async function addMessages(tx: Tx, all: readonly NewMessage[]): Promise<void> {
  for (const { row } of all) await tx.dialect.makeRoom('messages', row.receivedAt)
  const rows = all.map(({ row }): Row => ({ ...toMessageRow(row) }))
  const { rows: placed } = await sql<MessagePlace & { id: string }>`
    ${tx.dialect.insertOf('messages', rows)} returning id, seq, received_at`.execute(tx.kysely)
  const places = new Map(placed.map(({ id, ...place }) => [id, place]))
  await add(
    tx,
    'messageMailboxes',
    all.flatMap(({ row }) => mailboxesOf(row)),
  )
  await add(
    tx,
    'messageKeys',
    all.map(({ row }) => keyOf(row)),
  )
  await add(tx, 'threadIds', all.flatMap(threadsOf))
  await add(
    tx,
    'documents',
    all.flatMap(({ documents }) => documents.map((each): Row => ({ ...each }))),
  )
  await indexTexts(
    tx,
    all.flatMap(({ row, text }) => {
      const place = places.get(row.id)
      return place === undefined ? [] : [{ place, text }]
    }),
  )
}

const keyOf = ({ tenant, source, headerMessageId, id, entryId }: NewMessage['row']): Row => ({
  tenant,
  source,
  headerMessageId,
  messageId: id,
  entryId,
})

const threadsOf = ({ row, linked }: NewMessage): Row[] =>
  [...new Set(linked)].map((headerId) => ({ tenant: row.tenant, headerId, threadId: row.threadId }))

/** Rows of one statement: SQLite takes 32,766 values. */
const ROWS_MAX = 1000

async function add(tx: Tx, table: keyof Schema, rows: readonly Row[]): Promise<void> {
  for (let from = 0; from < rows.length; from += ROWS_MAX) {
    const insert: RawBuilder<unknown> = tx.dialect.insertOf(table, rows.slice(from, from + ROWS_MAX))
    await insert.execute(tx.kysely)
  }
}
