// What the tests of the store share.

import { StoreError, type EventRow, type MessageDraft, type queueOutbound } from '../store.ts'

export const reasonOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof StoreError ? error.reason : String(error)),
  )

export const draft = (n: number, change: Partial<MessageDraft> = {}): MessageDraft => ({
  id: `m${String(n).padStart(6, '0')}`,
  entryId: `e${n}`,
  tenant: 'acme',
  mailbox: 'a@x',
  recipients: [{ address: 'a@x', mailbox: 'a@x' }],
  source: 'EMAIL',
  status: 'PARSED',
  reason: null,
  detail: null,
  headerMessageId: `<${n}@x>`,
  syntheticBase: null,
  duplicateOf: null,
  forced: false,
  threadId: null,
  subject: 's',
  from: [],
  to: [],
  cc: [],
  date: null,
  receivedAt: 1000 + n,
  indexedAt: 0,
  sizeBytes: 100 * n,
  sha256: 'f'.repeat(64),
  traceId: `t${n}`,
  rawKey: 'r',
  metaKey: 'm',
  mailFrom: '',
  clientAddress: '',
  snippet: '',
  flags: [],
  parser: 'p',
  attachmentCount: n % 2,
  contentHash: null,
  ...change,
})

export const eventRow = (offset: number, change: Partial<EventRow> = {}): EventRow => ({
  topic: 't',
  partition: 0,
  offset,
  id: `i${offset}`,
  type: 'x',
  subject: 'm',
  tenant: 'acme',
  entryId: null,
  time: 5,
  appendedAt: 6,
  traceId: 't',
  traceparent: 'p',
  source: 's',
  replayId: null,
  data: {},
  ...change,
})

export const outboundDraft = (n: number, change: Partial<Parameters<typeof queueOutbound>[1]> = {}) => ({
  id: `out-${n}`,
  tenant: 'acme',
  purpose: 'auto_reply' as const,
  aboutMessageId: `m${n}`,
  headerMessageId: `<out-${n}@mail.localhost>`,
  mail: {
    from: 'sales@mail.localhost',
    to: 'ann@example.org',
    subject: 'Auto: hello',
    text: 'away',
    date: 1000,
    inReplyTo: `<${n}@x>`,
    references: [`<${n}@x>`],
    autoSubmitted: 'auto-replied' as const,
  },
  now: n,
  ...change,
})
