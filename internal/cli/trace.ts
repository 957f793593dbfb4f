// trace: one id, and everything that is known about it, in every place where mail can be.

import type { LoggedEvent } from '../eventlog/eventlog.ts'
import type { Stored } from '../blob/blob.ts'
import type { Context } from './context.ts'
import { CliError, exitFor } from './exit.ts'
import { EVENT_COLUMNS, eventJson, search } from './events.ts'
import { findMessages } from './find.ts'
import { linkFacts, linksOf, type Links } from './links.ts'
import type { MessageJson } from './message-row.ts'
import { printable } from './printable.ts'
import { sizeText } from './quantity.ts'
import type { Call } from './tree.ts'
import { mustNotBeDamaged, waitingEntries, type WaitingJson } from './waiting.ts'

/** Events of one id that are shown; a message that is replayed often has more than a few. */
const EVENTS_MAX = 10_000

interface Life {
  id: string
  entryIds: string[]
  traceIds: string[]
  /** Entries that are still in the spool. */
  spool: WaitingJson[]
  messages: MessageJson[]
  /** What each message reports, the reports on it, and mail that answers it. */
  links: ({ messageId: string } & Links)[]
  /** What the object store has of each message. */
  objects: { messageId: string; key: string; found: boolean; sizeBytes: number | null; etag: string | null }[]
  events: LoggedEvent[]
}

export async function trace(call: Call): Promise<void> {
  const { context, output } = call
  const id = call.args[0] ?? ''
  const missing: string[] = []
  const reach = async <T>(what: string, look: () => Promise<T>, none: T): Promise<T> => {
    try {
      return await look()
    } catch (error) {
      if (exitFor(error) !== 'unavailable') throw error
      missing.push(`${what}: ${(error as Error).message}`)
      return none
    }
  }
  const direct = await reach('store', async () => (await findMessages(context, id)).messages, [])
  const log = await reach('event log', async () => await context.engines.log('read'), undefined)
  const eventsOf = async (each: string) =>
    log === undefined ? [] : await search(log, { types: [], id: each }, { limit: EVENTS_MAX })
  const first = await eventsOf(id)

  // An event's own id, or a message that has no row yet, leads to the rest by its entry.
  const entryIds = unique([...direct.map((row) => row.entryId), ...first.map(({ event }) => event.data.entryId)])
  const whole = id === direct[0]?.entryId || id === direct[0]?.traceId
  const messages =
    direct.length > 0 ? direct : await reach('store', async () => await messagesOf(context, entryIds), [])
  const events = first.length > 0 || whole ? first : (await Promise.all(messages.map((row) => eventsOf(row.id)))).flat()
  const spool = await waitingEntries(context, unique([id, ...entryIds]))
  if (messages.length + events.length + spool.length === 0) {
    for (const each of missing) output.note(each)
    await mustNotBeDamaged(context, id)
    throw new CliError(missing.length > 0 ? 'unavailable' : 'missing', `nothing is known of ${JSON.stringify(id)}`)
  }
  const links = await reach('store', async () => await allLinks(context, messages), [])
  const objects = await reach('object store', async () => await objectsOf(context, messages), [])
  const traceIds = unique([
    ...messages.map((row) => row.traceId),
    ...events.map(({ event }) => event.traceparent.split('-')[1] ?? ''),
  ])
  for (const each of missing) output.note(each)
  const life = {
    id,
    entryIds: unique([...entryIds, ...spool.map((each) => each.id)]),
    traceIds,
    spool,
    messages,
    links,
    objects,
    events,
  }
  if (output.format === 'json' || output.format === 'ndjson')
    await output.json({ ...life, events: events.map(eventJson) })
  else await told(call, life)
}

const SPOOL_STATES: Record<WaitingJson['state'], string> = {
  pending: 'RECEIVED, waits for the uploader',
  done: 'handed on',
  aside: 'set aside',
}

const unique = (texts: readonly (string | undefined)[]): string[] => [
  ...new Set(texts.filter((text) => text !== undefined)),
]

async function messagesOf(context: Context, entryIds: readonly string[]): Promise<MessageJson[]> {
  const found = await Promise.all(entryIds.map((each) => findMessages(context, each)))
  return found.flatMap(({ messages }) => messages)
}

async function allLinks(context: Context, messages: readonly MessageJson[]): Promise<Life['links']> {
  const indexed = messages.filter((row) => row.status !== 'RECEIVED')
  if (indexed.length === 0) return []
  const store = await context.engines.store('read')
  return await Promise.all(indexed.map(async (row) => ({ messageId: row.id, ...(await linksOf(store, row)) })))
}

async function objectsOf(context: Context, messages: readonly MessageJson[]): Promise<Life['objects']> {
  const stored = messages.filter((row) => row.rawKey !== '')
  if (stored.length === 0) return []
  const blobs = await context.engines.blobs()
  const looks = stored.flatMap((row) => [row.rawKey, row.metaKey].map((key) => ({ messageId: row.id, key })))
  return await Promise.all(looks.map(async (look) => ({ ...look, ...describe(await blobs.head(look.key)) })))
}

const describe = (stored: Stored | undefined) =>
  stored === undefined
    ? { found: false, sizeBytes: null, etag: null }
    : { found: true, sizeBytes: stored.sizeBytes, etag: stored.etag ?? null }

/** The life as text: where it came in, what it is now, where its bytes are, what was told about it. */
async function told({ output }: Call, life: Life): Promise<void> {
  const line = (text: string) => output.line(printable(text))
  if (life.entryIds.length > 0) await line(`entry    ${life.entryIds.join(', ')}`)
  await line(`trace    ${life.traceIds.join(', ')}`)
  for (const each of life.spool) {
    const from = `from <${each.mailFrom}> at ${each.client}, ${sizeText(each.sizeBytes)}`
    await line(`spool    ${SPOOL_STATES[each.state]}${each.reason === null ? '' : ` (${each.reason})`} ${from}`)
  }
  for (const row of life.messages) {
    const reason = row.reason === null ? '' : ` (${row.reason})`
    await line(`message  ${row.id}  ${row.tenant}  ${row.status}${reason}  received ${row.receivedAt}`)
    await line(`         from ${row.from ?? row.mailFrom}: ${row.subject ?? '(not read yet)'}`)
    await line(`         sha256 ${row.sha256}, ${sizeText(row.sizeBytes)}`)
    if (row.duplicateOf !== null) await line(`         duplicate of ${row.duplicateOf}`)
    for (const each of row.documents) await line(`document ${each.id}  ${each.filename}  ${sizeText(each.sizeBytes)}`)
    for (const links of life.links.filter(({ messageId }) => messageId === row.id))
      for (const [name, text = ''] of linkFacts(links)) await line(`${name.padEnd(8)} ${text}`)
    for (const { key, found, sizeBytes } of life.objects.filter((object) => object.messageId === row.id))
      await line(`object   ${key}  ${found ? sizeText(sizeBytes ?? 0) : 'not there'}`)
  }
  for (const each of life.events)
    await output.streamed(each, [{ head: '', of: () => 'event', width: 7 }, ...EVENT_COLUMNS])
}
