// One transaction for each message: its row, key, documents, thread, search text, outbox events and the checkpoint, or nothing.

import { makeEvent, type MailEvent } from '../eventlog/eventlog.ts'
import {
  documentsOf,
  dropDerived,
  enqueue,
  findMessage,
  holdMessage,
  indexText,
  joinThread,
  nextStatus,
  saveDocuments,
  saveMessage,
  type Document,
  type Message,
  type MessageDraft,
  type MessageMove,
  type MessageStatus,
  type Tx,
} from '../store/store.ts'
import { bareDraft, documentsIn, parsedDraft, searchTextOf, type Judgement, type Received } from './facts.ts'
import { headerIdOf, linkedIds } from './header-ids.ts'
import { receivedEvent } from './received.ts'
import { leave, noChanges, takeRole, type RoleChanges } from './roles.ts'

export interface Applying {
  event: Received
  judgement: Judgement
  /** Milliseconds since 1970. */
  now: number
  /** `source` of the events that are made. */
  source: string
}

/** `applied` before: the event was seen already. `kept`: a retry failed, and what was processed earlier stays. */
export type Applied = { result: 'applied'; row: MessageDraft; told: MailEvent[] } | { result: 'seen' | 'kept' }

/** The message turned out to be the first, so its attachments are needed in the object store. Nothing was written. */
export class AttachmentsNeeded extends Error {}

/** Whether an event's effect is there already and nobody asked for it again. */
export const isApplied = (row: Message | undefined, event: Received): boolean =>
  row !== undefined && row.status !== 'STORED' && event.replay === undefined

/** Applies a judgement. Doing it twice changes nothing but the time of indexing. */
export async function applyJudgement(tx: Tx, applying: Applying): Promise<Applied> {
  const { event, judgement, now } = applying
  await holdMessage(tx, event.data.messageId)
  const before = await findMessage(tx, event.data.messageId)
  if (isApplied(before, event)) return { result: 'seen' }
  const changes = noChanges()
  const written =
    judgement.kind === 'parsed'
      ? await applyParsed(tx, { ...applying, judgement }, before, changes)
      : await applyTrouble(tx, { ...applying, judgement }, before, changes)
  if (written === undefined) return { result: 'kept' }
  const told = [...(await announcements(tx, applying, written)), ...(await consequences(tx, changes, applying))]
  await enqueue(tx, told, now)
  return { result: 'applied', row: written, told }
}

async function applyParsed(
  tx: Tx,
  applying: Applying & { judgement: Extract<Judgement, { kind: 'parsed' }> },
  before: Message | undefined,
  changes: RoleChanges,
): Promise<MessageDraft | undefined> {
  const { event, judgement, now } = applying
  const { meta, message, uploaded } = judgement
  const draft = parsedDraft(event, meta, message)
  const header = headerIdOf(message, {
    sha256: draft.sha256,
    domain: draft.mailbox.slice(draft.mailbox.lastIndexOf('@') + 1),
  })
  const role = await takeRole(tx, draft, header, changes)
  // Remembered, so that a later replay of everything does not take back what an operator decided.
  const forced = before?.forced === true || event.replay?.force === 'duplicate'
  const processed = role.duplicateOf === null || forced
  if (processed && !uploaded) throw new AttachmentsNeeded()
  const move: MessageMove = role.duplicateOf === null ? 'parsed' : forced ? 'forced' : 'repeated'
  const threadId = await joinThread(tx, draft.tenant, linkedIds(message, header))
  const row: MessageDraft = {
    ...draft,
    ...role,
    status: moved(before, move) ?? 'PARSED',
    syntheticBase: header.kind === 'synthetic' ? header.plain : null,
    forced,
    // Duplicates link conversations like any other message, whichever of them came first, but are listed in none.
    threadId: processed ? threadId : null,
    indexedAt: now,
  }
  const place = await saveMessage(tx, row)
  if (processed) {
    await saveDocuments(tx, row.id, documentsIn(row.tenant, row.id, message))
    await indexText(tx, place, searchTextOf(meta, message))
  } else await dropDerived(tx, row.id)
  return row
}

async function applyTrouble(
  tx: Tx,
  applying: Applying & { judgement: Exclude<Judgement, { kind: 'parsed' }> },
  before: Message | undefined,
  changes: RoleChanges,
): Promise<MessageDraft | undefined> {
  const { event, judgement, now } = applying
  const status = moved(before, judgement.kind === 'quarantined' ? 'quarantined' : 'gave_up')
  if (status === undefined) return undefined
  const bare = bareDraft(event, judgement.meta)
  const { reason, detail } = judgement
  const row = { ...bare, status, reason, detail, forced: before?.forced ?? false, indexedAt: now }
  await leave(tx, bare, changes)
  await dropDerived(tx, row.id)
  await saveMessage(tx, row)
  return row
}

const moved = (before: Message | undefined, move: MessageMove): MessageStatus | undefined =>
  nextStatus(before?.status ?? 'RECEIVED', move)

/** What follows from a replay is part of it. */
const markOf = ({ replay }: Received) => (replay === undefined ? {} : { replay: { id: replay.id } })

/** What is told of the message itself. Its id says what was found, so that telling it again is the same event. */
async function announcements(tx: Tx, { event, source, now }: Applying, row: MessageDraft): Promise<MailEvent[]> {
  const { traceparent } = event
  const replay = markOf(event)
  const facts = { source, traceparent, time: new Date(now).toISOString() }
  const about = { messageId: row.id, entryId: row.entryId, tenant: row.tenant, rawKey: row.rawKey }
  if (row.status === 'QUARANTINED' || row.status === 'FAILED') {
    const data = { ...about, reason: row.reason ?? 'unknown', detail: row.detail?.message ?? '' }
    const occurrence = `${row.reason}`
    if (row.status === 'FAILED') return [{ ...makeEvent('message.failed', { ...facts, occurrence, data }), ...replay }]
    const quarantined = { ...data, parser: row.parser ?? 'unknown' }
    return [{ ...makeEvent('message.quarantined', { ...facts, occurrence, data: quarantined }), ...replay }]
  }
  return [{ ...indexed(row, await documentsOf(tx, [row.id]), facts), ...replay }]
}

function indexed(
  row: Pick<
    Message,
    'id' | 'entryId' | 'tenant' | 'status' | 'duplicateOf' | 'threadId' | 'parser' | 'sizeBytes' | 'sha256' | 'rawKey'
  >,
  documents: readonly Document[],
  facts: { source: string; traceparent: string; time: string },
): MailEvent<'indexer.indexed'> {
  const parser = row.parser ?? 'unknown'
  return makeEvent('indexer.indexed', {
    ...facts,
    occurrence: `${parser}/${row.status}`,
    data: {
      messageId: row.id,
      entryId: row.entryId,
      tenant: row.tenant,
      status: row.status,
      ...(row.duplicateOf === null ? {} : { duplicateOf: row.duplicateOf }),
      ...(row.threadId === null ? {} : { threadId: row.threadId }),
      parser,
      sizeBytes: row.sizeBytes,
      sha256: row.sha256,
      rawKey: row.rawKey,
      documents: documents.map(({ id, filename, contentType, sizeBytes, sha256, key }) => ({
        id,
        filename,
        contentType,
        sizeBytes,
        sha256,
        key,
      })),
    },
  })
}

/** What is told of other messages whose role changed. */
async function consequences(tx: Tx, changes: RoleChanges, { event, source, now }: Applying): Promise<MailEvent[]> {
  const time = new Date(now).toISOString()
  const told: MailEvent[] = []
  for (const { message } of changes.demoted) {
    const after = await findMessage(tx, message.id)
    if (after === undefined) continue
    const { traceparent } = receivedEvent(after, { source })
    const facts = { source, traceparent, time }
    told.push({ ...indexed(after, await documentsOf(tx, [after.id]), facts), ...markOf(event) })
  }
  for (const heir of changes.promoted) {
    // The heir's own documents and text are not at hand: it is indexed again from its objects.
    told.push({
      ...receivedEvent(heir, { source }),
      replay: { id: `heir-of-${event.data.messageId}` },
      ...markOf(event),
    })
  }
  return told
}
