// The rows as the rest of the product sees them: JSON columns read, absent values null, times in milliseconds since 1970 UTC.

import type { Listing, PolicyAction, PolicyRule } from '../envelope/envelope.ts'
import type { MessageStatus, OutboundState } from './states.ts'

export interface Tenant {
  slug: string
  name: string
  /** Largest message in bytes, or null for the limit of the deployment. */
  sizeMax: number | null
  /** Quotas, null for none. A day is one of UTC. */
  messagesPerDay: number | null
  bytesPerDay: number | null
  storedBytes: number | null
  enabled: boolean
  createdAt: number
  updatedAt: number
}

export type Quotas = Pick<Tenant, 'messagesPerDay' | 'bytesPerDay' | 'storedBytes'>

/** What a tenant has, of every message whatever became of it: bytes as received. */
export interface Usage {
  /** That came on the day asked for. */
  messages: number
  bytes: number
  /** That is kept, whenever it came. */
  storedBytes: number
}

/** `pending`: not yet proven to be its tenant's. `mx_lost`: its MX leads elsewhere for now. `suspended`: refused for good (R28). */
export const DOMAIN_STATES = ['pending', 'active', 'mx_lost', 'suspended'] as const
export type DomainState = (typeof DOMAIN_STATES)[number]

export interface Domain {
  /** Lower-case A-labels. */
  domain: string
  /** Null for the hosted domain, which every tenant shares by plus-addressing. */
  tenant: string | null
  state: DomainState
  /** Mailbox that gets mail to addresses that nobody has; null: they are refused. */
  catchAll: string | null
  /** Unknown recipients are answered like known ones. */
  antiEnumeration: boolean
  createdAt: number
  updatedAt: number
}

export interface Mailbox {
  /** `local@domain`, lower-case. */
  address: string
  tenant: string
  enabled: boolean
  createdAt: number
  updatedAt: number
}

/** One line of a tenant's policy. */
export interface PolicyLine {
  tenant: string
  rule: PolicyRule
  action: PolicyAction
}

/** A sender that a tenant named. */
export interface ListedSender {
  tenant: string
  /** `local@domain` or a domain. */
  sender: string
  listing: Listing
  updatedAt: number
}

export interface Credential {
  /** What a client logs in with, lower-case. */
  name: string
  tenant: string
  /** As internal/directory made it. */
  secretHash: string
  /** Addresses and domains it may send as; empty for all of the tenant's. */
  sendAs: string[]
  createdAt: number
  /** Null while it is good. */
  revokedAt: number | null
}

/** One row of the directory snapshot. */
export type DirectoryRow =
  | { kind: 'tenant'; slug: string; sizeMax: number | null; enabled: boolean }
  | {
      kind: 'domain'
      domain: string
      tenant: string | null
      state: DomainState
      catchAll: string | null
      antiEnumeration: boolean
    }
  | { kind: 'mailbox'; address: string; tenant: string; enabled: boolean }
  | ({ kind: 'policy' } & PolicyLine)
  | { kind: 'sender'; tenant: string; sender: string; listing: Listing }
  | { kind: 'credential'; name: string; tenant: string; secretHash: string; sendAs: string[] }

export interface NamedAddress {
  name: string
  address: string
}

export interface MessageRecipient {
  address: string
  mailbox: string
}

/** Structured error of a message that is QUARANTINED or FAILED. */
export interface Detail {
  message: string
  [field: string]: string | number | boolean | null
}

export interface Message {
  /** UUIDv5 of entry and tenant. */
  id: string
  entryId: string
  tenant: string
  /** Of the first recipient; empty until the envelope was read. */
  mailbox: string
  recipients: MessageRecipient[]
  source: string
  status: MessageStatus
  /** A quarantine reason, or why it failed; null while all is well. */
  reason: string | null
  detail: Detail | null
  /** With angle brackets; null until parsed. */
  headerMessageId: string | null
  /** Whether the header id was made by us (R16). */
  synthetic: boolean
  /** Message id of the first with this header id. */
  duplicateOf: string | null
  /** Processed by hand although it is a duplicate. */
  forced: boolean
  threadId: string | null
  subject: string | null
  from: NamedAddress[]
  to: NamedAddress[]
  cc: NamedAddress[]
  /** Of the Date header, milliseconds; null if there is no valid one. */
  date: number | null
  receivedAt: number
  indexedAt: number | null
  sizeBytes: number
  /** Hex SHA-256 of the bytes as received. */
  sha256: string
  traceId: string
  rawKey: string
  metaKey: string
  /** Reverse path; empty for the null sender. */
  mailFrom: string
  clientAddress: string
  snippet: string
  flags: string[]
  parser: string | null
  attachmentCount: number
  /** Hex SHA-256 over the derived record; the same bytes and parser give the same. */
  contentHash: string | null
}

export interface Document {
  /** UUIDv5 of message id, ordinal and sha256. */
  id: string
  messageId: string
  tenant: string
  ordinal: number
  filename: string
  contentType: string
  sizeBytes: number
  sha256: string
  /** Object key of the bytes. */
  key: string
}

/** One event of the log as projected; `data` is what the event carried. */
export interface EventRow {
  topic: string
  partition: number
  offset: number
  id: string
  type: string
  /** The message id. */
  subject: string
  tenant: string
  entryId: string | null
  time: number
  /** The log's own time. */
  appendedAt: number
  traceId: string
  traceparent: string
  source: string
  replayId: string | null
  data: Record<string, unknown>
}

/** The next offset wanted: everything below it is applied. */
export interface Checkpoint {
  group: string
  topic: string
  partition: number
  offset: number
  /** When the first event that is not applied was appended to the log, if it is known, or else the last one that is; null before the first. */
  eventTime: number | null
  updatedAt: number
}

export const JOB_STATES = ['running', 'interrupted', 'done', 'failed'] as const
export type JobState = (typeof JOB_STATES)[number]

/** A long task of an operator; `cursor` is where to go on. */
export interface Job {
  id: string
  kind: string
  state: JobState
  /** What it was asked to do; JSON. */
  spec: Record<string, unknown>
  total: number | null
  done: number
  failed: number
  cursor: string | null
  createdAt: number
  updatedAt: number
}

/** `next` is given when there may be more. Cursors are opaque, and good for the same filter only. */
export interface Page<T> {
  rows: T[]
  next?: string
}

export interface PageWant {
  /** 1 to 1000. */
  limit: number
  cursor?: string
}

/** One recipient of a delivery report (RFC 3464 2.3); what the report does not say is absent. */
export interface ReportedRecipient {
  finalRecipient?: string
  originalRecipient?: string
  /** failed, delayed, delivered, relayed or expanded; as written, in lower case. */
  action?: string
  status?: string
  diagnostic?: string
  remoteMta?: string
}

/** What a message reports of another mail. */
export interface DeliveryReport {
  messageId: string
  tenant: string
  /** Header Message-ID of the mail that it reports on. */
  originalMessageId: string | null
  originalEnvelopeId: string | null
  reportingMta: string | null
  arrivalDate: number | null
  recipients: ReportedRecipient[]
}

/** What a mailbox answers by itself. */
export interface AutoReply {
  address: string
  /** Null: the subject of the mail that is answered. */
  subject: string | null
  body: string
  /** Answers mail from then on; null for always. */
  fromAt: number | null
  untilAt: number | null
  /** One sender gets one reply in so many milliseconds. */
  everyMs: number
  updatedAt: number
}

/** Why a mail of ours goes out. */
export type OutboundPurpose = 'auto_reply'

/** A mail of ours before it is composed. The reverse path is null. */
export interface OutboundMail {
  from: string
  to: string
  subject: string
  text: string
  /** When it was written, milliseconds. */
  date: number
  inReplyTo: string | null
  references: string[]
  /** RFC 3834 5. */
  autoSubmitted: 'auto-replied'
}

/** A mail of ours on its way out. */
export interface Outbound {
  id: string
  tenant: string
  purpose: OutboundPurpose
  /** The message that it answers. */
  aboutMessageId: string | null
  /** Its own Message-ID: the same on every try. */
  headerMessageId: string
  mail: OutboundMail
  state: OutboundState
  /** Tries that were begun. */
  attempts: number
  /** Of a pending one: when it is tried next. */
  nextAt: number
  /** What the last try came to. */
  lastResult: string | null
  createdAt: number
  updatedAt: number
}
