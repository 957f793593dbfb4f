// What a message changes: its row, key, documents, thread, search text and outbox events, within a transaction that also has the
// checkpoint.

import { makeEvent, type MailEvent } from '../eventlog/eventlog.ts'
import {
  addDocuments,
  documentsOf,
  dropDerived,
  enqueue,
  findMessage,
  hold,
  indexText,
  isErased,
  joinThread,
  messageName,
  nextStatus,
  reportOf,
  saveMessage,
  saveReport,
  threadIdOf,
  type Document,
  type Message,
  type MessageDraft,
  type MessageMove,
  type MessageStatus,
  type Tx,
} from '../store/store.ts'
import { answer } from './auto-reply.ts'
import {
  automaticAmong,
  bareDraft,
  documentsIn,
  parsedDraft,
  reportIn,
  searchTextOf,
  type Judgement,
  type ParsedJudgement as Parsed,
  type Received,
} from './facts.ts'
import { headerIdOf, linkedIds, type HeaderId } from './header-ids.ts'
import { receivedEvent } from './received.ts'
import { leave, noChanges, roleNames, takeRole, type RoleChanges } from './roles.ts'

export interface Applying {
  event: Received
  judgement: Judgement
  /** Milliseconds since 1970. */
  now: number
  /** `source` of the events that are made. */
  source: string
  /** Mail of ours goes out, so mailboxes may answer. */
  answers?: boolean
}

/** `seen`: the event was applied before. `kept`: a retry failed, and what was processed earlier stays. `erased`: its tenant was. */
export type Applied =
  | { result: 'applied'; row: MessageDraft; told: MailEvent[]; was: MessageStatus | undefined }
  | { result: 'seen' | 'kept' | 'erased' }

/** The message turned out to be the first, so its attachments are needed in the object store. Nothing was written. */
export class AttachmentsNeeded extends Error {}

/** Whether an event's effect is there already and nobody asked for it again. */
export const isApplied = (row: Message | undefined, event: Received): boolean =>
  row !== undefined && row.status !== 'STORED' && event.replay === undefined

/** An operator wants or wanted the message processed, whatever there is: others with its id, or a policy. */
export const isForced = (row: Message | undefined, event: Received): boolean =>
  row?.forced === true || event.replay?.force === 'duplicate'

/** Applies a judgement. Doing it twice changes nothing but the time of indexing. */
export async function applyJudgement(tx: Tx, applying: Applying): Promise<Applied> {
  const { event, judgement } = applying
  if (judgement.kind === 'parsed') {
    const reading = readingOf(event, judgement)
    const parsed = { ...applying, judgement, reading }
    return applyHeld(tx, applying, namesOf(reading), (before, changes) => applyParsed(tx, parsed, before, changes))
  }
  const trouble = { ...applying, judgement }
  return applyHeld(tx, applying, [], (before, changes) => applyTrouble(tx, trouble, before, changes))
}

type Write = (before: Message | undefined, changes: RoleChanges) => Promise<Written | undefined>

async function applyHeld(tx: Tx, applying: Applying, names: readonly string[], write: Write): Promise<Applied> {
  const { event, now } = applying
  const { messageId, tenant } = event.data
  await hold(tx, [messageName(messageId), ...names])
  if (await isErased(tx, tenant)) return { result: 'erased' }
  const before = await findMessage(tx, messageId)
  if (isApplied(before, event)) return { result: 'seen' }
  const changes = noChanges()
  const written = await write(before, changes)
  if (written === undefined) return { result: 'kept' }
  const told = [announcement(applying, written), ...(await consequences(tx, changes, applying))]
  await enqueue(tx, told, now)
  return { result: 'applied', row: written.row, told, was: before?.status }
}

/** What is written of a message that is parsed. */
export const parsedRow = (
  { draft, header }: Reading,
  about: Pick<MessageDraft, 'headerMessageId' | 'duplicateOf' | 'status' | 'forced' | 'threadId' | 'indexedAt'>,
): MessageDraft => ({ ...draft, ...about, syntheticBase: header.kind === 'synthetic' ? header.plain : null })

/** The row as it was written, and the documents that the message has now. */
export interface Written {
  row: MessageDraft
  documents: readonly Document[]
  /** Message-ID of the mail that it reports on. */
  reportsOn?: string | null
}

/** What a parsed message says of itself, whatever others there are. */
export interface Reading {
  draft: MessageDraft
  header: HeaderId
  linked: string[]
}

export function readingOf(event: Received, judgement: Parsed): Reading {
  const { message } = judgement
  const draft = parsedDraft(event, judgement)
  const { sha256, mailbox } = draft
  const header = headerIdOf(message, { sha256, domain: mailbox.slice(mailbox.lastIndexOf('@') + 1) })
  return { draft, header, linked: linkedIds(message, header) }
}

/** What is decided with the message; conversations that its ids have joined already are held when that is known. */
export const namesOf = ({ draft, header, linked }: Reading): string[] => [
  ...roleNames(draft, header),
  ...linked.map((headerId) => threadIdOf(draft.tenant, headerId)),
]

async function applyParsed(
  tx: Tx,
  applying: Applying & { judgement: Parsed; reading: Reading },
  before: Message | undefined,
  changes: RoleChanges,
): Promise<Written> {
  const { event, judgement, reading, now } = applying
  const { meta, message, uploaded } = judgement
  const { draft, header, linked } = reading
  const role = await takeRole(tx, { ...draft, isNew: before === undefined }, header, changes)
  // Remembered, so that a later replay of everything does not take back what an operator decided.
  const forced = isForced(before, event)
  const processed = role.duplicateOf === null || forced
  if (processed && !uploaded) throw new AttachmentsNeeded()
  const move: MessageMove = role.duplicateOf === null ? 'parsed' : forced ? 'forced' : 'repeated'
  const threadId = await joinThread(tx, draft.tenant, linked)
  const row = parsedRow(reading, {
    ...role,
    status: moved(before, move) ?? 'PARSED',
    forced,
    // Duplicates link conversations like any other message, whichever of them came first, but are listed in none.
    threadId: processed ? threadId : null,
    indexedAt: now,
  })
  const place = await saveMessage(tx, row)
  if (before !== undefined) await dropDerived(tx, row.id, place)
  if (!processed) return { row, documents: [] }
  const documents = documentsIn(row.tenant, row.id, message)
  await addDocuments(tx, documents)
  await indexText(tx, place, searchTextOf(meta, message))
  const report = reportIn(row, message)
  if (report !== undefined) await saveReport(tx, report)
  if (applying.answers === true) await answer(tx, { event, row, meta, message, now })
  return { row, documents, reportsOn: report?.originalMessageId ?? null }
}

async function applyTrouble(
  tx: Tx,
  { event, judgement, now }: Applying & { judgement: Exclude<Judgement, Parsed> },
  before: Message | undefined,
  changes: RoleChanges,
): Promise<Written | undefined> {
  const status = moved(before, judgement.kind === 'quarantined' ? 'quarantined' : 'gave_up')
  if (status === undefined) return undefined
  const bare = bareDraft(event, judgement.meta)
  const { reason, detail } = judgement
  const row = { ...bare, status, reason, detail, forced: before?.forced ?? false, indexedAt: now }
  if (before !== undefined) await leave(tx, bare, changes)
  const place = await saveMessage(tx, row)
  if (before !== undefined) await dropDerived(tx, row.id, place)
  return { row, documents: [] }
}

export const moved = (before: Message | undefined, move: MessageMove): MessageStatus | undefined =>
  nextStatus(before?.status ?? 'RECEIVED', move)

/** What follows from a replay is part of it. */
const markOf = ({ replay }: Received) => (replay === undefined ? {} : { replay: { id: replay.id } })

/** What is told of the message itself. Its id says what was found, so that telling it again is the same event. */
export function announcement({ event, source, now }: Applying, written: Written): MailEvent {
  const { row } = written
  const { traceparent } = event
  const replay = markOf(event)
  const facts = { source, traceparent, time: new Date(now).toISOString() }
  const about = { messageId: row.id, entryId: row.entryId, tenant: row.tenant, rawKey: row.rawKey }
  if (row.status === 'QUARANTINED' || row.status === 'FAILED') {
    const data = { ...about, reason: row.reason ?? 'unknown', detail: row.detail?.message ?? '' }
    const occurrence = `${row.reason}`
    if (row.status === 'FAILED') return { ...makeEvent('message.failed', { ...facts, occurrence, data }), ...replay }
    const quarantined = { ...data, parser: row.parser ?? 'unknown' }
    return { ...makeEvent('message.quarantined', { ...facts, occurrence, data: quarantined }), ...replay }
  }
  return { ...indexed(written, facts), ...replay }
}

type Told = Pick<
  Message,
  | 'id'
  | 'entryId'
  | 'tenant'
  | 'status'
  | 'duplicateOf'
  | 'threadId'
  | 'flags'
  | 'parser'
  | 'sizeBytes'
  | 'sha256'
  | 'rawKey'
>

function indexed(
  { row, documents, reportsOn = null }: Omit<Written, 'row'> & { row: Told },
  facts: { source: string; traceparent: string; time: string },
): MailEvent<'indexer.indexed'> {
  const automatic = automaticAmong(row.flags)
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
      ...(automatic.length === 0 ? {} : { automatic }),
      ...(reportsOn === null ? {} : { reportsOn }),
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
    const reportsOn = (await reportOf(tx, after.id))?.originalMessageId ?? null
    const documents = await documentsOf(tx, [after.id])
    told.push({ ...indexed({ row: after, documents, reportsOn }, facts), ...markOf(event) })
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
