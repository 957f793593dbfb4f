// A message as scripts see it. These names are kept: fields are added, never renamed. `from` and the elements of `to` and `cc`
// are `Name <address>`, or the address alone where there is no name; times are ISO 8601 in UTC; what is unknown is null.

import type { Document, Message, NamedAddress } from '../store/store.ts'
import type { Column } from './output.ts'
import { sizeText } from './quantity.ts'

export interface DocumentJson {
  id: string
  filename: string
  contentType: string
  sizeBytes: number
  sha256: string
}

export interface MessageJson {
  id: string
  entryId: string
  tenant: string
  mailbox: string
  /** RECEIVED while it is on its way from the spool; then as in the store. */
  status: Message['status'] | 'RECEIVED'
  /** The Message-ID header, or the one made in its place (`synthetic`). */
  messageId: string | null
  subject: string | null
  from: string | null
  to: string[]
  cc: string[]
  date: string | null
  receivedAt: string
  indexedAt: string | null
  sizeBytes: number
  sha256: string
  traceId: string
  documents: DocumentJson[]
  reason: string | null
  detail: Message['detail']
  synthetic: boolean
  duplicateOf: string | null
  forced: boolean
  threadId: string | null
  mailFrom: string
  recipients: string[]
  clientAddress: string
  snippet: string
  flags: string[]
  parser: string | null
  contentHash: string | null
  rawKey: string
  metaKey: string
}

const isoOf = (ms: number): string => new Date(ms).toISOString()

/** RFC 5322 3.4: a name that is more than atoms stands in quotes. */
function addressText({ name, address }: NamedAddress): string {
  if (name === '') return address
  const plain = /^[^\p{C}"(),.:;<>@[\\\]]*$/u.test(name)
  return `${plain ? name : `"${name.replace(/["\\]/g, '\\$&')}"`} <${address}>`
}

export const documentJson = ({ id, filename, contentType, sizeBytes, sha256 }: Document): DocumentJson => ({
  id,
  filename,
  contentType,
  sizeBytes,
  sha256,
})

/** A row of the store with its documents. */
export function messageJson(row: Message, documents: readonly Document[]): MessageJson {
  const { id, entryId, tenant, mailbox, status, subject, sizeBytes, sha256, traceId } = row
  return {
    id,
    entryId,
    tenant,
    mailbox,
    status,
    messageId: row.headerMessageId,
    subject,
    from: row.from.length === 0 ? null : row.from.map(addressText).join(', '),
    to: row.to.map(addressText),
    cc: row.cc.map(addressText),
    date: row.date === null ? null : isoOf(row.date),
    receivedAt: isoOf(row.receivedAt),
    indexedAt: row.indexedAt === null ? null : isoOf(row.indexedAt),
    sizeBytes,
    sha256,
    traceId,
    documents: documents.map(documentJson),
    reason: row.reason,
    detail: row.detail,
    synthetic: row.synthetic,
    duplicateOf: row.duplicateOf,
    forced: row.forced,
    threadId: row.threadId,
    mailFrom: row.mailFrom,
    recipients: row.recipients.map(({ address }) => address),
    clientAddress: row.clientAddress,
    snippet: row.snippet,
    flags: row.flags,
    parser: row.parser,
    contentHash: row.contentHash,
    rawKey: row.rawKey,
    metaKey: row.metaKey,
  }
}

type Known = Pick<MessageJson, 'id' | 'entryId' | 'tenant' | 'receivedAt' | 'sizeBytes' | 'sha256' | 'traceId'>

/** A message that has no row yet: what its envelope or its event says, and nothing of what only parsing tells. */
export const onItsWay = (known: Known & Partial<MessageJson>): MessageJson => ({
  mailbox: '',
  status: 'RECEIVED',
  messageId: null,
  subject: null,
  from: null,
  to: [],
  cc: [],
  date: null,
  indexedAt: null,
  documents: [],
  reason: null,
  detail: null,
  synthetic: false,
  duplicateOf: null,
  forced: false,
  threadId: null,
  mailFrom: '',
  recipients: [],
  clientAddress: '',
  snippet: '',
  flags: [],
  parser: null,
  contentHash: null,
  rawKey: '',
  metaKey: '',
  ...known,
})

const PAINT_OF = {
  PARSED: 'green',
  QUARANTINED: 'red',
  FAILED: 'red',
  DUPLICATE: 'grey',
  STORED: 'yellow',
  RECEIVED: 'yellow',
} as const

/** `2026-02-28 12:00:00`: UTC, as in every listing. */
export const timeText = (iso: string): string => iso.slice(0, 19).replace('T', ' ')

export const MESSAGE_COLUMNS: readonly Column<MessageJson>[] = [
  { head: 'RECEIVED (UTC)', of: (row) => timeText(row.receivedAt) },
  { head: 'ID', of: (row) => row.id },
  { head: 'STATUS', of: (row) => row.status, paint: (row) => PAINT_OF[row.status] },
  { head: 'TENANT', of: (row) => row.tenant },
  { head: 'SIZE', of: (row) => sizeText(row.sizeBytes), right: true },
  { head: 'FILES', of: (row) => String(row.documents.length), right: true },
  { head: 'FROM', of: (row) => row.from ?? row.mailFrom },
  { head: 'SUBJECT', of: (row) => row.subject ?? '' },
]

/** One message as `name: value` lines. */
export function messageFacts(row: MessageJson): [string, string | undefined][] {
  const files = row.documents.map(
    (each) => `${each.filename} (${each.contentType}, ${sizeText(each.sizeBytes)}) ${each.id}`,
  )
  const optional = (value: string | null) => value ?? undefined
  return [
    ['id', row.id],
    ['entry', row.entryId],
    ['trace', row.traceId],
    ['status', row.status],
    ['reason', row.reason === null ? undefined : `${row.reason}: ${row.detail?.message ?? ''}`],
    ['duplicate of', optional(row.duplicateOf)],
    ['tenant', row.tenant],
    ['mailbox', row.mailbox],
    ['subject', optional(row.subject)],
    ['from', row.from ?? row.mailFrom],
    ['to', row.to.length > 0 ? row.to.join(', ') : row.recipients.join(', ')],
    ['message-id', row.messageId === null ? undefined : row.messageId + (row.synthetic ? ' (made by us)' : '')],
    ['thread', optional(row.threadId)],
    ['received', timeText(row.receivedAt)],
    ['indexed', row.indexedAt === null ? undefined : timeText(row.indexedAt)],
    ['size', `${sizeText(row.sizeBytes)} (${row.sizeBytes} bytes)`],
    ['sha256', row.sha256],
    ['flags', row.flags.length === 0 ? undefined : row.flags.join(', ')],
    ...files.map((text): [string, string] => ['document', text]),
    ['text', row.snippet === '' ? undefined : row.snippet],
  ]
}
