// One sample of each event, as documents show it and as tests check it. Ids derive as in production.

import { messageId, objectKeys } from '../envelope/envelope.ts'
import { makeEvent, type EventData, type EventType, type MailEvent } from './events.ts'

const entryId = '019a8b2c-4d5e-7f60-8a1b-2c3d4e5f6071'
const tenant = 'acme'
const about = { messageId: messageId(entryId, tenant), entryId, tenant }
const receivedAt = '2026-01-02T03:04:05.678Z'
const keys = objectKeys(tenant, receivedAt, about.messageId)
const sha256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const parser = 'mailparser-3.9.31'
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

const DATA: { [T in EventType]: EventData<T> } = {
  'ingest.received': {
    ...about,
    source: 'EMAIL',
    receivedAt,
    sizeBytes: 48_211,
    sha256,
    recipientCount: 1,
    senderDomain: 'example.org',
    rawKey: keys.raw,
    metaKey: keys.meta,
  },
  'objectstore.uploaded': {
    ...about,
    rawKey: keys.raw,
    metaKey: keys.meta,
    etag: sha256,
    sizeBytes: 48_211,
    durationMs: 3.2,
  },
  'indexer.indexed': {
    ...about,
    status: 'PARSED',
    threadId: '0b6f1f2e-7d3c-5a4b-9c8d-1e2f3a4b5c6d',
    parser,
    sizeBytes: 48_211,
    sha256,
    rawKey: keys.raw,
    documents: [
      {
        id: '5d0c2b1a-9f8e-5d7c-8b6a-594837261504',
        filename: 'invoice 4711.pdf',
        contentType: 'application/pdf',
        sizeBytes: 30_017,
        sha256,
        key: `${tenant}/attachments/9f/${sha256}`,
      },
    ],
  },
  'message.quarantined': {
    ...about,
    reason: 'parse_timeout',
    detail: 'no result after 20 s',
    parser,
    rawKey: keys.raw,
  },
  'ingest.refused': {
    refusalId: '019a8b2c-4d5e-7f60-8a1b-2c3d4e5f6073',
    tenant,
    at: receivedAt,
    reason: 'unknown_rcpt',
    code: 550,
    status: '5.1.1',
    stage: 'rcpt',
    senderDomain: 'example.org',
    recipients: ['jon@acme.example'],
    recipientCount: 1,
    peerNetwork: '192.0.2.0/24',
    helo: 'mail.example.org',
    suppressed: 3,
  },
  'message.failed': { ...about, reason: 'object_missing', detail: `no object ${keys.raw}`, rawKey: keys.raw },
}

/** What each stage is called in `source`, and what makes an event of it a new one. */
const ORIGIN: Record<EventType, { stage: string; occurrence: string }> = {
  'ingest.received': { stage: 'uploaderd', occurrence: '' },
  'objectstore.uploaded': { stage: 'uploaderd', occurrence: '' },
  'ingest.refused': { stage: 'uploaderd', occurrence: '' },
  'indexer.indexed': { stage: 'indexerd', occurrence: parser },
  'message.quarantined': { stage: 'indexerd', occurrence: parser },
  'message.failed': { stage: 'indexerd', occurrence: parser },
}

/** The sample of a type. */
export function sampleOf(type: EventType): MailEvent {
  const { stage, occurrence } = ORIGIN[type]
  const facts = { source: `/ingest/local/${stage}`, time: receivedAt, traceparent, occurrence }
  return makeEvent<EventType>(type, { ...facts, data: DATA[type] })
}
