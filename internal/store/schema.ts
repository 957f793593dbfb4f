// The tables as Kysely sees them. Columns are snake_case in the database and camelCase here (CamelCasePlugin); booleans are 0 and 1.

import type { Generated } from 'kysely'
import type { AutoReply, DomainState, JobState, ListedSender, OutboundPurpose, PolicyLine } from './rows.ts'
import type { MessageStatus, OutboundState } from './states.ts'

export type Flag01 = 0 | 1

interface TenantTable {
  slug: string
  name: string
  sizeMax: number | null
  messagesPerDay: number | null
  bytesPerDay: number | null
  storedBytes: number | null
  enabled: Flag01
  createdAt: number
  updatedAt: number
}

/** Counts of one tenant by UTC day, in as many rows as transactions counted at one time. The database keeps them. */
interface UsageDayTable {
  tenant: string
  /** Days since 1970. */
  day: number
  slot: number
  messages: number
  bytes: number
}

type UsageStoredTable = Omit<UsageDayTable, 'day'>

interface DomainTable {
  domain: string
  tenant: string | null
  state: DomainState
  catchAll: string | null
  antiEnumeration: Flag01
  createdAt: number
  updatedAt: number
}

interface MailboxTable {
  address: string
  /** The part after the at sign, for finding the mailboxes of a domain. */
  domain: string
  tenant: string
  enabled: Flag01
  createdAt: number
  updatedAt: number
}

interface SenderPolicyTable extends PolicyLine {
  updatedAt: number
}

interface CredentialTable {
  name: string
  tenant: string
  secretHash: string
  /** JSON list of addresses and domains. */
  sendAs: string
  createdAt: number
  revokedAt: number | null
}

/** Tenants of which nothing may be written again. */
interface ErasureTable {
  tenant: string
  beganAt: number
  endedAt: number | null
}

/** One row: the number that every change of tenants, domains, mailboxes and credentials raises. */
interface DirectoryStateTable {
  id: 1
  version: number
}

export interface MessageTable {
  /** Row id of the search index; given once, never changed. */
  seq: Generated<number>
  id: string
  entryId: string
  tenant: string
  mailbox: string
  recipients: string
  source: string
  status: MessageStatus
  reason: string | null
  detail: string | null
  headerMessageId: string | null
  /** The synthetic id without the content hash; null where the header has an id of its own. */
  syntheticBase: string | null
  duplicateOf: string | null
  forced: Flag01
  threadId: string | null
  subject: string | null
  fromAddresses: string
  toAddresses: string
  ccAddresses: string
  date: number | null
  receivedAt: number
  indexedAt: number | null
  sizeBytes: number
  sha256: string
  traceId: string
  rawKey: string
  metaKey: string
  mailFrom: string
  clientAddress: string
  snippet: string
  flags: string
  parser: string | null
  attachmentCount: number
  contentHash: string | null
}

/** PostgreSQL: where each message lies. The database keeps it as messages come and go. */
interface MessagePlaceTable {
  id: string
  receivedAt: number
}

/** Every mailbox that a message came to, for listing by mailbox. */
interface MessageMailboxTable {
  mailbox: string
  receivedAt: number
  messageId: string
}

/** The first message with each header id in each tenant; DUPLICATE rows have none. */
export interface MessageKeyTable {
  tenant: string
  source: string
  headerMessageId: string
  messageId: string
  entryId: string
}

interface DocumentTable {
  id: string
  messageId: string
  tenant: string
  ordinal: number
  filename: string
  contentType: string
  sizeBytes: number
  sha256: string
  key: string
}

/** Header ids that were seen, as own id or reference, and the conversation each belongs to. */
interface ThreadIdTable {
  tenant: string
  headerId: string
  threadId: string
}

interface CheckpointTable {
  consumerGroup: string
  topic: string
  partition: number
  nextOffset: number
  eventTime: number | null
  updatedAt: number
}

/** Debezium's columns (events.md), and `seq` for the order in which they are published. */
interface OutboxTable {
  seq: Generated<number>
  id: string
  aggregatetype: string
  aggregateid: string
  type: string
  /** The whole event, JSON. */
  payload: string
  createdAt: number
  /** Why the log never takes it; null while it waits. */
  refused: string | null
}

interface EventTable {
  topic: string
  partition: number
  /** `offset` is a reserved word in SQL. */
  logOffset: number
  id: string
  type: string
  subject: string
  tenant: string
  entryId: string | null
  time: number
  appendedAt: number
  traceId: string
  traceparent: string
  source: string
  replayId: string | null
  data: string
}

interface JobTable {
  id: string
  kind: string
  state: JobState
  spec: string
  total: number | null
  done: number
  failed: number
  cursor: string | null
  createdAt: number
  updatedAt: number
}

interface DeliveryReportTable {
  messageId: string
  tenant: string
  originalMessageId: string | null
  originalEnvelopeId: string | null
  reportingMta: string | null
  arrivalDate: number | null
  /** JSON list of ReportedRecipient. */
  recipients: string
}

/** To whom a mailbox replied, and until when it does not again. */
interface AutoRepliedTable {
  address: string
  sender: string
  untilAt: number
}

interface OutboundTable {
  id: string
  tenant: string
  purpose: OutboundPurpose
  aboutMessageId: string | null
  headerMessageId: string
  /** JSON of an OutboundMail. */
  mail: string
  state: OutboundState
  attempts: number
  nextAt: number
  lastResult: string | null
  createdAt: number
  updatedAt: number
}

/** SQLite: an FTS5 table without content of its own; its rowid is `messages.seq`. */
interface SearchIndexTable {
  rowid: number
  subject: string
  sender: string
  recipients: string
  filenames: string
  body: string
}

export interface Schema {
  tenants: TenantTable
  usageDays: UsageDayTable
  usageStored: UsageStoredTable
  domains: DomainTable
  mailboxes: MailboxTable
  senderPolicies: SenderPolicyTable
  senders: ListedSender
  credentials: CredentialTable
  erasures: ErasureTable
  directoryState: DirectoryStateTable
  messages: MessageTable
  messagePlaces: MessagePlaceTable
  messageMailboxes: MessageMailboxTable
  messageKeys: MessageKeyTable
  documents: DocumentTable
  threadIds: ThreadIdTable
  checkpoints: CheckpointTable
  outbox: OutboxTable
  events: EventTable
  jobs: JobTable
  searchIndex: SearchIndexTable
  deliveryReports: DeliveryReportTable
  autoReplies: AutoReply
  autoReplied: AutoRepliedTable
  outbound: OutboundTable
}
