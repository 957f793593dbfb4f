// Messages that nothing is known of yet, which most are: many at a time, by a few statements for all of them.

import type { Tx } from './database.ts'
import { placeTableOf, type Dialect, type Row } from './dialect.ts'
import { mailboxesOf } from './message-writes.ts'
import { toMessageRow, type MessageDraft } from './message-row.ts'
import { outboxRows, type Sendable } from './outbox.ts'
import type { Document } from './rows.ts'
import { run } from './run.ts'
import { searchable, type SearchText } from './search.ts'

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
 * Those that have no row, whose header id is nobody's, whose conversation has nobody in it, whose tenant was not erased, and who share
 * none of this with one before them in the list. All that decides about it must be held.
 */
export async function strangersAmong<T extends Stranger>(tx: Tx, all: readonly T[]): Promise<T[]> {
  if (all.length === 0) return []
  const taken = await known(tx, all)
  const isErased = ({ tenant }: Stranger) => taken.has(nameOf('erased', '', tenant))
  return all.filter((each) => {
    if (isErased(each)) return false
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
  const list = (values: readonly string[]) => tx.dialect.listOf([...new Set(values)])
  const each = (field: 'id' | 'tenant' | 'source' | 'headerMessageId') => list(all.map((one) => one[field]))
  const tenants = each('tenant')
  const linked = list(all.flatMap((one) => one.linked))
  const lists = [each('id'), tenants, each('source'), each('headerMessageId'), tenants, linked, tenants]
  const rows = await run<{ kind: string; place: string; name: string }>(tx, knownText(tx.dialect), lists)
  return new Set(rows.map(({ kind, place, name }) => nameOf(kind, place, name)))
}

function knownText(dialect: Dialect): string {
  const among = (parameter: string) => dialect.inList(parameter, 'text')
  return `
  select 'message' as kind, '' as place, id as name from ${placeTableOf(dialect)} where id ${among('$1')}
  union all
  select 'key', tenant || ' ' || source, header_message_id from message_keys
  where tenant ${among('$2')} and source ${among('$3')} and header_message_id ${among('$4')}
  union all
  select 'thread', tenant, header_id from thread_ids
  where tenant ${among('$5')} and header_id ${among('$6')}
  union all
  select 'erased', '', tenant from erasures where tenant ${among('$7')}`
}

/** A message that was found to be a stranger, first with its header id and alone in its conversation. */
export interface NewMessage {
  row: MessageDraft & { headerMessageId: string; threadId: string }
  linked: readonly string[]
  documents: readonly Document[]
  text: SearchText
  /** What is told of it, by way of the outbox. */
  told: Sendable
}

/** Writes rows, keys, conversations, documents, search texts and what is told of them; there is one at least. */
export async function addMessages(tx: Tx, all: readonly NewMessage[], now: number): Promise<void> {
  for (const { row } of all) await tx.dialect.makeRoom('messages', row.receivedAt)
  await tx.dialect.addNew(tx, {
    messages: all.map(({ row }): Row => ({ ...toMessageRow(row) })),
    messageMailboxes: all.flatMap(({ row }) => mailboxesOf(row)),
    messageKeys: all.map(({ row }) => keyOf(row)),
    threadIds: all.flatMap(threadsOf),
    documents: all.flatMap(({ documents }) => documents.map((each): Row => ({ ...each }))),
    outbox: outboxRows(
      all.map(({ told }) => told),
      now,
    ),
    texts: new Map(all.map(({ row, text }) => [row.id, searchable(text)])),
  })
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
