// What is known of a message from its event, its envelope and its parse, brought together. Pure.

import { hash } from 'node:crypto'
import { attachmentKey, traceIdOf, uuidv5, type MessageMeta, type PolicyVerdict } from '../envelope/envelope.ts'
import type { MailEvent } from '../eventlog/eventlog.ts'
import { AUTOMATIC_KINDS, QUARANTINE_REASONS, type AutomaticKind, type ParsedMessage } from '../message/message.ts'
import type { DeliveryReport, Detail, Document, MessageDraft, SearchText } from '../store/store.ts'

export type Received = MailEvent<'ingest.received'>

/** Namespace of document ids, fixed for ever. */
const DOCUMENTS = uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'documents.mail-ingest.invalid')

/** What reading and parsing a message came to. `meta` is absent where the envelope could not be read. */
export type Judgement =
  | { kind: 'parsed'; meta: MessageMeta; message: ParsedMessage; flags: readonly IndexFlag[]; uploaded: boolean }
  | { kind: 'quarantined'; meta: MessageMeta; reason: string; detail: Detail }
  | { kind: 'failed'; meta?: MessageMeta; reason: FailureReason; detail: Detail }

export type ParsedJudgement = Extract<Judgement, { kind: 'parsed' }>

/** Why a message is QUARANTINED: what the parser and the malware scanner found, and what was decided at the door. */
export const QUARANTINE_MEANINGS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(QUARANTINE_REASONS).map(([reason, { meaning }]) => [reason, meaning])),
  malware: 'the malware scanner found something; the detail has its name',
  policy:
    'the policy of its tenant on senders set it aside at the door (`ingestctl policy show`, `quarantine release`)',
}

/** What the tenant's policy decided at the door: the same for all its recipients. */
export const policyOf = ({ envelope }: MessageMeta): PolicyVerdict | undefined =>
  envelope.recipients.find(({ policy }) => policy !== undefined)?.policy

/** What says that no person wrote it: its header, or the null sender of its envelope (RFC 5321 4.5.5). */
export function kindsOf(meta: MessageMeta, { automatic }: ParsedMessage): AutomaticKind[] {
  const isNull = meta.envelope.mailFrom === ''
  return isNull && !automatic.includes('bounce') ? ['bounce', ...automatic] : automatic
}

/** Of the flags of a row. */
export const automaticAmong = (flags: readonly string[]): string[] =>
  flags.filter((flag) => Object.hasOwn(AUTOMATIC_KINDS, flag))

/** What a delivery report says, as a row. */
export function reportIn(
  row: Pick<MessageDraft, 'id' | 'tenant'>,
  { report }: ParsedMessage,
): DeliveryReport | undefined {
  if (report === undefined) return undefined
  const { originalMessageId = null, originalEnvelopeId = null, reportingMta = null, arrivalDate, recipients } = report
  return {
    messageId: row.id,
    tenant: row.tenant,
    originalMessageId,
    originalEnvelopeId,
    reportingMta,
    arrivalDate: arrivalDate === undefined ? null : Date.parse(arrivalDate),
    recipients,
  }
}

/** What is odd about an indexed message beside what its parser says of it. */
export const INDEX_FLAGS = {
  no_attachments: 'nothing is attached',
  unscanned: 'not scanned for malware: the scanner was down, or the message is larger than it takes',
} as const satisfies Record<string, string>
export type IndexFlag = keyof typeof INDEX_FLAGS

/** Why a message is FAILED: all of these are ours. */
export const FAILURE_REASONS = {
  object_missing: 'an object of the message is not in the object store',
  digest: 'the raw object has other bytes than were received',
  envelope: 'the envelope object cannot be read',
  unscannable: 'the malware scanner fails on the message for minutes, while it scans others',
  unreachable: 'an object of the message cannot be reached for minutes, while those of others can',
  internal: 'an error of the program',
} as const satisfies Record<string, string>
export type FailureReason = keyof typeof FAILURE_REASONS

/** The row as far as the event and the envelope tell, with nothing parsed yet. */
export function bareDraft({ data, traceparent }: Received, meta?: MessageMeta): MessageDraft {
  const recipients = meta?.envelope.recipients.map(({ address, mailbox }) => ({ address, mailbox })) ?? []
  return {
    id: data.messageId,
    entryId: data.entryId,
    tenant: data.tenant,
    mailbox: recipients[0]?.mailbox ?? '',
    recipients,
    source: data.source,
    status: 'STORED',
    reason: null,
    detail: null,
    headerMessageId: null,
    syntheticBase: null,
    duplicateOf: null,
    forced: false,
    threadId: null,
    subject: null,
    from: [],
    to: [],
    cc: [],
    date: null,
    receivedAt: Date.parse(data.receivedAt),
    indexedAt: null,
    sizeBytes: data.sizeBytes,
    sha256: data.sha256,
    // A replayed event may have a trace of its own; the message keeps the one it came with.
    traceId: traceIdOf(meta?.envelope.traceparent ?? traceparent),
    rawKey: data.rawKey,
    metaKey: data.metaKey,
    mailFrom: meta?.envelope.mailFrom ?? '',
    clientAddress: meta?.envelope.client.address ?? '',
    snippet: '',
    flags: [],
    parser: null,
    attachmentCount: 0,
    contentHash: null,
  }
}

/** The row of a parsed message, but for what depends on other messages. */
export function parsedDraft(event: Received, { meta, message, flags }: ParsedJudgement): MessageDraft {
  const bare = bareDraft(event, meta)
  const rule = policyOf(meta)?.rule
  return {
    ...bare,
    subject: message.subject ?? null,
    from: message.from,
    to: message.to,
    cc: message.cc,
    date: message.date === undefined ? null : Date.parse(message.date),
    snippet: message.snippet,
    flags: [...message.flags, ...kindsOf(meta, message), ...flags, ...(rule === undefined ? [] : [rule])],
    parser: message.parser,
    attachmentCount: message.attachments.length,
    contentHash: contentHash(bare, message),
  }
}

/** Everything that derives from the bytes and the envelope, and nothing that depends on the order of indexing or on paths. */
function contentHash(bare: MessageDraft, message: ParsedMessage): string {
  const attachments = message.attachments.map(({ path: _, ...rest }) => rest)
  const { mailFrom, recipients, receivedAt, sha256 } = bare
  const record = { mailFrom, recipients, receivedAt, sha256, ...message, attachments }
  return hash('sha256', JSON.stringify(record), 'hex')
}

/** One record for each attachment, in the order of the message. */
export function documentsIn(tenant: string, messageId: string, message: ParsedMessage): Document[] {
  return message.attachments.map(({ filename, contentType, sizeBytes, sha256 }, ordinal) => ({
    id: uuidv5(DOCUMENTS, `${messageId}\n${ordinal}\n${sha256}`),
    messageId,
    tenant,
    ordinal,
    filename,
    contentType,
    sizeBytes,
    sha256,
    key: attachmentKey(tenant, sha256),
  }))
}

/** What a search looks through. */
export function searchTextOf(meta: MessageMeta, message: ParsedMessage): SearchText {
  const names = (addresses: readonly { name: string; address: string }[]) =>
    addresses.map(({ name, address }) => `${name} ${address}`).join(' ')
  const { envelope } = meta
  const sender = message.sender === undefined ? [] : [message.sender]
  return {
    subject: message.subject ?? '',
    sender: `${names([...message.from, ...sender, ...message.replyTo])} ${envelope.mailFrom}`,
    recipients: `${names([...message.to, ...message.cc])} ${envelope.recipients.map((each) => `${each.address} ${each.mailbox}`).join(' ')}`,
    filenames: message.attachments.map((each) => `${each.filename} ${each.originalFilename ?? ''}`).join(' '),
    body: message.text,
  }
}
