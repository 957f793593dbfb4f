// The vocabulary: every type of event, its data and its topic. CloudEvents 1.0; JSON Schemas are generated from here.

import { Type, type Static, type TSchema } from 'typebox'
import { eventId } from '../envelope/envelope.ts'

const Id = (description: string) => Type.String({ format: 'uuid', description })
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Hex SHA-256 of the bytes.' })
const Instant = Type.String({ format: 'date-time', description: 'ISO 8601, UTC.' })
const Bytes = Type.Integer({ minimum: 0, description: 'Size in bytes.' })

/** What every event about one message says. */
const about = {
  messageId: Id("The message: one tenant's share of an accepted transaction."),
  entryId: Id('The accepted SMTP transaction, as quoted in its 250 reply.'),
  tenant: Type.String({ description: 'Slug of the tenant.' }),
}

const DocumentPointer = Type.Object(
  {
    id: Id('The document record.'),
    filename: Type.String({ description: 'Cleaned display name; never a path.' }),
    contentType: Type.String(),
    sizeBytes: Bytes,
    sha256: Sha256,
    key: Type.String({ description: 'Object key of the content.' }),
  },
  { description: 'One file attachment.' },
)

/** Event type to topic and data. Fields are only added, and only optional ones (docs/events.md). */
export const CATALOGUE = {
  'ingest.received': {
    topic: 'mail.ingest.v1',
    description: 'A message was accepted and its raw bytes and envelope are verified in the object store.',
    data: Type.Object({
      ...about,
      source: Type.String({ description: 'Channel it came by; EMAIL today, treat unknown as other.' }),
      receivedAt: Instant,
      sizeBytes: Bytes,
      sha256: Sha256,
      recipientCount: Type.Integer({ minimum: 1, description: 'Recipients of this tenant.' }),
      senderDomain: Type.String({ description: 'Domain of the reverse path; empty for the null sender.' }),
      rawKey: Type.String({ description: 'Object key of the bytes as received.' }),
      metaKey: Type.String({ description: 'Object key of the envelope.' }),
    }),
  },
  'objectstore.uploaded': {
    topic: 'mail.ingest.v1',
    description: 'The two objects of a message were stored and verified.',
    data: Type.Object({
      ...about,
      rawKey: Type.String(),
      metaKey: Type.String(),
      etag: Type.String({ description: "The object store's mark of the raw object." }),
      sizeBytes: Bytes,
      durationMs: Type.Number({ minimum: 0, description: 'Time both puts took.' }),
    }),
  },
  'indexer.indexed': {
    topic: 'mail.messages.v1',
    description: 'A message has its rows: parsed, or known as a duplicate of an earlier one.',
    data: Type.Object({
      ...about,
      status: Type.String({ description: 'PARSED or DUPLICATE; treat unknown as other.' }),
      duplicateOf: Type.Optional(Id('The first message with this Message-ID.')),
      threadId: Type.Optional(Id('The conversation.')),
      automatic: Type.Optional(
        Type.Array(Type.String(), {
          description: 'Kinds of mail that no person wrote: bounce, auto_reply, list; treat unknown as other.',
        }),
      ),
      reportsOn: Type.Optional(Type.String({ description: 'Message-ID of the mail that a delivery report is about.' })),
      parser: Type.String({ description: 'Name and version of the parser.' }),
      sizeBytes: Bytes,
      sha256: Sha256,
      rawKey: Type.String(),
      documents: Type.Array(DocumentPointer),
    }),
  },
  'message.quarantined': {
    topic: 'mail.messages.v1',
    description: 'A message was set aside, with its reason; its raw bytes are kept.',
    data: Type.Object({
      ...about,
      reason: Type.String({ description: 'One of the reasons of docs/events.md; treat unknown as other.' }),
      detail: Type.String(),
      parser: Type.String(),
      rawKey: Type.String(),
    }),
  },
  'message.failed': {
    topic: 'mail.messages.v1',
    description: 'Indexing failed by our fault and its retries are used up; it can be tried again by hand.',
    data: Type.Object({
      ...about,
      reason: Type.String(),
      detail: Type.String(),
      rawKey: Type.String(),
    }),
  },
} as const satisfies Record<string, { topic: string; description: string; data: TSchema }>

export type EventType = keyof typeof CATALOGUE
export type EventData<T extends EventType> = Static<(typeof CATALOGUE)[T]['data']>
export type Topic = (typeof CATALOGUE)[EventType]['topic']

export const EVENT_TYPES = Object.keys(CATALOGUE) as EventType[]
export const TOPICS: readonly Topic[] = [...new Set(EVENT_TYPES.map((type) => CATALOGUE[type].topic))]

export const isEventType = (text: string): text is EventType => Object.hasOwn(CATALOGUE, text)
export const topicOf = (type: EventType): Topic => CATALOGUE[type].topic

/** One event as the product handles it; codecs turn it into CloudEvents attributes and back. */
export type MailEvent<T extends EventType = EventType> = T extends EventType
  ? {
      id: string
      type: T
      /** `/ingest/<deployment>/<stage>`, without the node. */
      source: string
      /** The message id; also the partition key. */
      subject: string
      /** ISO 8601: when it happened, not when it was published. */
      time: string
      tenant: string
      traceparent: string
      data: EventData<T>
      /** Set when an operator had an old event told again: the id of that replay, and what consumers may need to know. */
      replay?: { id: string; force?: 'duplicate' }
    }
  : never

/** Makes an event about a message; its id derives from type, message and `occurrence`. */
export function makeEvent<T extends EventType>(
  type: T,
  facts: { source: string; time: string; traceparent: string; occurrence?: string; data: EventData<T> },
): MailEvent<T> {
  const { messageId, tenant } = facts.data as { messageId: string; tenant: string }
  const { source, time, traceparent, data } = facts
  const id = eventId(type, messageId, facts.occurrence)
  return { id, type, source, subject: messageId, time, tenant, traceparent, data } as MailEvent<T>
}
