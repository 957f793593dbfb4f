// What a store holds, as plain values that can be compared: every table that is made from mail, without what tells when a row was
// written or which number the database gave it.

import { systemClock } from '../internal/daemon/clock.ts'
import { openPostgresStore } from '../internal/store/postgres.ts'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import type { Store } from '../internal/store/store.ts'

type Row = Record<string, unknown>
export type Contents = Record<'messages' | 'messageMailboxes' | 'messageKeys' | 'documents' | 'threadIds', Row[]>

const WRITTEN = new Set(['seq', 'indexedAt'])

export async function contentsOf(store: Store): Promise<Contents> {
  const table = async (name: keyof Contents): Promise<Row[]> => {
    const rows = (await store.kysely.selectFrom(name).selectAll().execute()) as Row[]
    const plain = rows.map((row) => Object.fromEntries(Object.entries(row).filter(([column]) => !WRITTEN.has(column))))
    return inOrder(plain)
  }
  return {
    messages: await table('messages'),
    messageMailboxes: await table('messageMailboxes'),
    messageKeys: await table('messageKeys'),
    documents: await table('documents'),
    threadIds: await table('threadIds'),
  }
}

const inOrder = (rows: readonly Row[]): Row[] =>
  rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))

/** Opens the store of a `DATABASE_URL`, or of a data folder, to read its contents. */
export async function readContents(place: string): Promise<Contents> {
  const store = place.startsWith('postgres')
    ? await openPostgresStore({ url: place, clock: systemClock, readOnly: true })
    : await openSqliteStore({ file: `${place}/store.db`, readOnly: true })
  try {
    return await contentsOf(store)
  } finally {
    await store.close()
  }
}

/**
 * The contents with every id that a run makes afresh put into the words of `names`, and without times and traces of arrival. Ids of
 * messages and threads derive from entry ids, so they are named after the mail; those of documents after their message.
 */
export function renamed(contents: Contents, nameOfEntry: ReadonlyMap<string, string>): Contents {
  const names = new Map<string, string>()
  for (const { id, entryId, tenant } of contents.messages) {
    names.set(String(id), `${nameOfEntry.get(String(entryId)) ?? 'unknown'}/${String(tenant)}`)
  }
  for (const [id, name] of nameOfEntry) names.set(id, name)
  for (const { id, messageId, ordinal } of contents.documents) {
    names.set(String(id), `${names.get(String(messageId))}#${String(ordinal)}`)
  }
  const rename = (value: unknown): unknown =>
    typeof value !== 'string'
      ? value
      : value.replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => names.get(id) ?? id)
  const plain = (rows: readonly Row[]) =>
    inOrder(
      rows.map((row) =>
        Object.fromEntries(
          Object.entries(row)
            .filter(([column]) => !ARRIVAL.has(column))
            .map(([column, value]) => [column, DATED.has(column) ? rename(undated(value)) : rename(value)]),
        ),
      ),
    )
  return {
    messages: plain(contents.messages),
    messageMailboxes: plain(contents.messageMailboxes),
    messageKeys: plain(contents.messageKeys),
    documents: plain(contents.documents),
    threadIds: plain(contents.threadIds),
  }
}

/** Columns that tell when and through which connection a mail came; the content hash takes the time in. */
const ARRIVAL = new Set(['receivedAt', 'traceId', 'clientAddress', 'contentHash'])
/** Keys of objects, which hold the day of arrival. */
const DATED = new Set(['rawKey', 'metaKey'])
const undated = (key: unknown): string => String(key).replace(/\/\d{4}\/\d\d\/\d\d\//, '/<day>/')
