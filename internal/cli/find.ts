// Finding messages by whatever id somebody has at hand: in the store, and while they are on their way: in the spool,
// or handed on and not indexed yet.

import type { Store } from '../store/store.ts'
import { documentsOf, messagesByAnyId, type Document, type Message } from '../store/store.ts'
import type { Context } from './context.ts'
import { CliError, exitFor } from './exit.ts'
import { messageJson, type MessageJson } from './message-row.ts'
import { waitingMessages } from './waiting.ts'

/** What was found; `store` is undefined where nothing was ever started. */
export interface Found {
  store: Store | undefined
  messages: MessageJson[]
}

/** Every message that has `id` as message, entry, trace or header id. A row of the store hides what says less of the same message. */
export async function findMessages(context: Context, id: string): Promise<Found> {
  const { store, absent } = await storeIfAny(context)
  const rows = store === undefined ? [] : await messagesByAnyId(store, id)
  const stored = store === undefined ? [] : await withDocuments(store, rows)
  const known = new Set(stored.map((row) => row.id))
  const messages = [...stored]
  for (const look of known.has(id) ? [] : [waitingMessages, publishedMessages]) {
    for (const row of await look(context, id)) {
      if (known.has(row.id)) continue
      known.add(row.id)
      messages.push(row)
    }
  }
  if (messages.length === 0 && absent !== undefined) throw absent
  return { store, messages }
}

/** The event log is slow to load, and most commands do without it. */
const publishedMessages = async (context: Context, id: string): Promise<MessageJson[]> =>
  (await import('./published.ts')).published(context, id)

/** The one message that `id` means: none is `missing`, several of an entry or trace are a `conflict` that lists them. */
export async function findOne(context: Context, id: string): Promise<MessageJson> {
  const { messages } = await findMessages(context, id)
  const exact = messages.find((row) => row.id === id)
  const [first] = messages
  if (exact !== undefined) return exact
  if (first === undefined) throw new CliError('missing', `no message, entry or trace has the id ${JSON.stringify(id)}`)
  if (messages.length === 1) return first
  const list = messages.map((row) => `  ${row.id}  ${row.tenant}  ${row.status}`).join('\n')
  throw new CliError('conflict', `${messages.length} messages have this id; name one of them:\n${list}`)
}

/** Rows with their documents, in the order given. */
export async function withDocuments(store: Store, rows: readonly Message[]): Promise<MessageJson[]> {
  const byMessage = new Map<string, Document[]>()
  const owners = rows.filter((row) => row.attachmentCount > 0).map((row) => row.id)
  for (const document of await documentsOf(store, owners)) {
    const list = byMessage.get(document.messageId) ?? []
    byMessage.set(document.messageId, [...list, document])
  }
  return rows.map((row) => messageJson(row, byMessage.get(row.id) ?? []))
}

/** The store, or why there is none: what waits in the spool can be shown without it. */
async function storeIfAny(context: Context): Promise<{ store: Store | undefined; absent?: Error }> {
  try {
    return { store: await context.engines.store('read') }
  } catch (error) {
    if (!(error instanceof Error) || exitFor(error) !== 'unavailable') throw error
    return { store: undefined, absent: error }
  }
}
