// Package store keeps tenants, messages and what derives from them in a relational database: SQLite here, PostgreSQL by the same
// migrations and queries. Ids are text, times are whole milliseconds since 1970 UTC, lists are JSON text.
//
// Contract: every query takes the store or an open transaction first. Within `transaction` use its argument only: SQLite's store has
// one connection, so a query on the store itself would wait for the transaction that waits for it. Two transactions may be open at
// once; what must not change between reading and writing is held first (`hold`).
// Errors: StoreError. `unavailable` passes by itself (locked, disk full, out of reach); all of it or nothing was done, try the whole
// transaction again.

export { StoreError, isUnavailable, type StoreReason } from './errors.ts'
export type { Queries, SingleRunner, Store, Tx } from './database.ts'
export type { MessagePlace } from './dialect.ts'
export {
  DOMAIN_STATES,
  JOB_STATES,
  type AutoReply,
  type Checkpoint,
  type Credential,
  type DeliveryReport,
  type Detail,
  type DirectoryRow,
  type Document,
  type Domain,
  type DomainState,
  type EventRow,
  type Job,
  type JobState,
  type ListedSender,
  type Mailbox,
  type Message,
  type MessageRecipient,
  type NamedAddress,
  type Outbound,
  type OutboundMail,
  type Page,
  type PageWant,
  type Quotas,
  type ReportedRecipient,
  type Tenant,
  type Usage,
} from './rows.ts'
export {
  MESSAGE_MOVES,
  MESSAGE_STATUSES,
  NEXT,
  nextStatus,
  OUTBOUND_STATES,
  type MessageMove,
  type MessageStatus,
  type OutboundState,
} from './states.ts'
export { dayOf, dropUsageDays, limitedTenants, messagesThere, usageOf, type LimitedTenant } from './usage.ts'
export { createTenant, findTenant, getTenant, listTenants, removeTenant, updateTenant } from './tenants.ts'
export {
  addDomain,
  addMailbox,
  getDomain,
  getMailbox,
  listDomains,
  listMailboxes,
  removeDomain,
  removeMailbox,
  updateDomain,
  updateMailbox,
} from './addresses.ts'
export { getPolicy, listSender, listSenders, senderKey, setPolicy, unlistSender } from './senders.ts'
export { addCredential, listCredentials, revokeCredential } from './credentials.ts'
export { beginErasure, endErasure, eraseSome, erasureOf, holdingsOf, isErased, type Holdings } from './erasures.ts'
export { directoryRows, seedFirstStart } from './directory.ts'
export { directoryVersion } from './directory-version.ts'
export {
  countByReason,
  countByStatus,
  countMessages,
  cursorOf,
  findMessage,
  findMessages,
  getMessage,
  knownOrErased,
  listMessages,
  messagesByAnyId,
  type MessageFilter,
  type MessageIds,
} from './messages.ts'
export {
  dropDerived,
  insertStored,
  nextDuplicate,
  nextSynthetic,
  patchMessage,
  renameDuplicates,
  repointDuplicates,
  saveMessage,
  type MessagePatch,
} from './message-writes.ts'
export { addMessages, strangersAmong, type NewMessage, type Stranger } from './new-messages.ts'
export { hold, keyName, messageName } from './hold.ts'
export { claimKey, dropKey, findKey, holdKeyOf, keyHeldBy, type KeyRow } from './keys.ts'
export {
  documentsOf,
  getDocument,
  listDocuments,
  addDocuments,
  type DocumentFilter,
  type ListedDocument,
} from './documents.ts'
export { joinThread, threadIdOf } from './threads.ts'
export type { MessageDraft } from './message-row.ts'
export { checkpointOf, listCheckpoints, saveCheckpoint } from './checkpoints.ts'
export { deliveredOutbox, enqueue, nextOutbox, outboxState, refuseOutbox, type OutboxRow } from './outbox.ts'
export {
  dropEvents,
  eventsAt,
  listEvents,
  projectEvents,
  unaccounted,
  type EventFilter,
  type Unaccounted,
} from './events.ts'
export {
  activeAutoReplies,
  claimReply,
  dropReplied,
  getAutoReply,
  listAutoReplies,
  removeAutoReply,
  setAutoReply,
} from './auto-replies.ts'
export { reportOf, reportsOn, saveReport } from './delivery-reports.ts'
export {
  claimOutbound,
  deferOutbound,
  dropOutbound,
  findOutbound,
  forgetOutbound,
  getOutbound,
  listOutbound,
  outboundState,
  queueOutbound,
  recoverOutbound,
  retryOutbound,
  settleOutbound,
  type OutboundFilter,
} from './outbound.ts'
export { storeMetrics, watchSize, type PoolNow, type Statement, type StoreMetrics } from './metrics.ts'
export { countRunning, createJob, getJob, listJobs, updateJob } from './jobs.ts'
export { formatQuery, parseQuery, type ParsedQuery, type Query, type Term } from './query.ts'
export { indexText, searchMessages, type SearchText, type SearchWant } from './search.ts'
