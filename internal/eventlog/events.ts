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

/** The subject is the id of what an event is about; the key, whose events keep their order, is that or the tenant. */
const MESSAGE = { subject: 'messageId', key: 'subject' } as const
const REFUSAL = { subject: 'refusalId', key: 'tenant' } as const

/** Event type to topic, subject, key and data. Fields are only added, and only optional ones (docs/events.md). */
export const CATALOGUE = {
  'ingest.received': {
    topic: 'mail.ingest.v1',
    ...MESSAGE,
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
    ...MESSAGE,
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
    ...MESSAGE,
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
    ...MESSAGE,
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
    ...MESSAGE,
    description: 'Indexing failed by our fault and its retries are used up; it can be tried again by hand.',
    data: Type.Object({
      ...about,
      reason: Type.String(),
      detail: Type.String(),
      rawKey: Type.String(),
    }),
  },
  'ingest.refused': {
    topic: 'mail.refusals.v1',
    ...REFUSAL,
    description: 'Mail for a tenant was refused, deferred or let go at the SMTP port, and why.',
    data: Type.Object({
      refusalId: Id('The refusal.'),
      tenant: about.tenant,
      at: Instant,
      reason: Type.String({ description: 'One of the reasons of docs/events.md; treat unknown as other.' }),
      code: Type.Integer({ minimum: 200, maximum: 599, description: 'What the sender was told (RFC 5321 4.2).' }),
      status: Type.String({ description: 'Its enhanced status code (RFC 3463 2).' }),
      stage: Type.String({
        description:
          'mail, rcpt or data: the command that was refused. discarded: taken and let go, where a domain does not tell who is there.',
      }),
      senderDomain: Type.String({ description: 'Domain of the reverse path; empty for the null sender.' }),
      recipients: Type.Array(Type.String(), {
        description: "Addresses of the tenant's own that it was for, as the sender wrote them; ten at most.",
      }),
      recipientCount: Type.Integer({ minimum: 0, description: 'How many there were.' }),
      peerNetwork: Type.String({ description: 'The /24 of an IPv4 client, the /64 of an IPv6 client.' }),
      helo: Type.String({ description: 'What the client called itself; at most 255 characters.' }),
      suppressed: Type.Integer({
        minimum: 0,
        description: 'Refusals of this tenant for this reason since the event before that have no event of their own.',
      }),
      entryId: Type.Optional(Id('The SMTP transaction, once content had begun.')),
      sizeBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Announced, or as much as came, in bytes.' })),
      sha256: Type.Optional(Sha256),
    }),
  },
} as const satisfies Record<string, Row>

interface Row {
  topic: string
  /** The field of the data that names it. */
  subject: string
  key: 'subject' | 'tenant'
  description: string
  data: TSchema
}

export type EventType = keyof typeof CATALOGUE
export type EventData<T extends EventType> = Static<(typeof CATALOGUE)[T]['data']>
export type Topic = (typeof CATALOGUE)[EventType]['topic']

export const EVENT_TYPES = Object.keys(CATALOGUE) as EventType[]
export const TOPICS: readonly Topic[] = [...new Set(EVENT_TYPES.map((type) => CATALOGUE[type].topic))]
/** Without these no mail flows. */
export const MAIL_TOPICS = ['mail.ingest.v1', 'mail.messages.v1'] as const satisfies readonly Topic[]

export const isEventType = (text: string): text is EventType => Object.hasOwn(CATALOGUE, text)
export const topicOf = (type: EventType): Topic => CATALOGUE[type].topic

/** One event as the product handles it; codecs turn it into CloudEvents attributes and back. */
export type MailEvent<T extends EventType = EventType> = T extends EventType
  ? {
      id: string
      type: T
      /** `/ingest/<deployment>/<stage>`, without the node. */
      source: string
      /** Id of what it is about: of the message, or of the refusal. */
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

/** What its record is partitioned by. */
export const keyOf = ({ type, subject, tenant }: MailEvent): string =>
  CATALOGUE[type].key === 'tenant' ? tenant : subject

/** Makes an event; its id derives from type, subject and `occurrence`. */
export function makeEvent<T extends EventType>(
  type: T,
  facts: { source: string; time: string; traceparent: string; occurrence?: string; data: EventData<T> },
): MailEvent<T> {
  const about = facts.data as Record<string, unknown>
  const { source, time, traceparent, data } = facts
  const [subject, tenant] = [String(about[CATALOGUE[type].subject]), String(about['tenant'])]
  const id = eventId(type, subject, facts.occurrence)
  return { id, type, source, subject, time, tenant, traceparent, data } as MailEvent<T>
}
