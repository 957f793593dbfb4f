// What is in a store, for comparing two of them, or one before and after.

import { sql } from 'kysely'
import type { Store } from '../../store/store.ts'

const TABLES = [
  'tenants',
  'domains',
  'mailboxes',
  'directory_state',
  'messages',
  'message_mailboxes',
  'message_keys',
  'documents',
  'thread_ids',
  'checkpoints',
  'outbox',
  'events',
  'jobs',
  'delivery_reports',
  'auto_replies',
  'auto_replied',
  'outbound',
]

const read = async (store: Store, statement: string): Promise<object[]> =>
  (await sql.raw<object>(statement).execute(store.kysely)).rows

const sorted = (rows: readonly object[]): object[] =>
  rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))

/** Every row of every table, with all that is the database's own. */
export async function everything(store: Store): Promise<Record<string, object[]>> {
  const tables = await Promise.all(
    TABLES.map(async (name) => [name, sorted(await read(store, `select * from ${name}`))]),
  )
  return { ...(Object.fromEntries(tables) as Record<string, object[]>), words: await searchIndexOf(store) }
}

/** Every word of the search index with its message, field and place. Engines cut texts alike and keep them in their own ways. */
export async function searchIndexOf(store: Store): Promise<object[]> {
  if (store.dialect.name === 'postgres') {
    const join = 'join messages m on m.received_at = s.received_at and m.seq = s.seq'
    return sorted(await read(store, `select m.id, s.field, s.part, s.words::text as words from search_index s ${join}`))
  }
  // https://www.sqlite.org/fts5.html 3.5: the instance type lists every occurrence.
  await read(store, `create virtual table if not exists temp.words using fts5vocab('main', 'search_index', 'instance')`)
  const join = 'join messages m on m.seq = w.doc'
  return sorted(await read(store, `select m.id, w.col, w."offset" as place, w.term from temp.words w ${join}`))
}
