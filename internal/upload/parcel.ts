// What becomes of one spool entry: one parcel for each tenant, with the keys, the bytes and the events that a repeat makes
// exactly again. Pure; no clock.

import {
  messageId,
  objectKeys,
  traceIdOf,
  type Envelope,
  type MessageMeta,
  type ObjectKeys,
} from '../envelope/envelope.ts'
import { makeEvent, validateData, type MailEvent } from '../eventlog/eventlog.ts'

/** One tenant's share of an entry. */
export interface Parcel {
  messageId: string
  tenant: string
  keys: ObjectKeys
  /** Canonical JSON of MessageMeta: repeats are byte-identical. */
  meta: Buffer
  received: MailEvent<'ingest.received'>
}

/** The facts of an entry that its envelope does not have. */
export interface Bytes {
  id: string
  sizeBytes: number
  sha256: string
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** Part of object keys, so nothing that a key would refuse. */
const SLUG = /^[a-z0-9][a-z0-9_-]{0,62}$/

/** Splits an entry by tenant, in the order of its recipients; none where the sender was only not to know that nobody is there. Throws a TypeError if the envelope is not one of ours. */
export function parcelsOf(envelope: unknown, bytes: Bytes, source: string): Parcel[] {
  const checked = checkedEnvelope(envelope, bytes.id)
  const byTenant = Map.groupBy(checked.recipients, ({ tenant }) => tenant)
  const { discarded: _, ...shown } = checked
  return [...byTenant].map(([tenant, recipients]) => parcelOf({ ...shown, recipients }, tenant, bytes, source))
}

function parcelOf(envelope: Envelope, tenant: string, bytes: Bytes, source: string): Parcel {
  const { sizeBytes, sha256 } = bytes
  const message = messageId(envelope.entryId, tenant)
  const keys = objectKeys(tenant, envelope.receivedAt, message)
  const meta: MessageMeta = { version: 1, messageId: message, tenant, envelope, sizeBytes, sha256, rawKey: keys.raw }
  const data = {
    messageId: message,
    entryId: envelope.entryId,
    tenant,
    source: envelope.source,
    receivedAt: envelope.receivedAt,
    sizeBytes,
    sha256,
    recipientCount: envelope.recipients.length,
    senderDomain: envelope.mailFrom.slice(envelope.mailFrom.lastIndexOf('@') + 1).toLowerCase(),
    rawKey: keys.raw,
    metaKey: keys.meta,
  }
  validateData('ingest.received', data)
  const { traceparent, receivedAt: time } = envelope
  const received = makeEvent('ingest.received', { source, time, traceparent, data })
  return { messageId: message, tenant, keys, meta: Buffer.from(canonicalJson(meta)), received }
}

/** What the rest of the flow relies on; the spool keeps envelopes as they were given to it. */
function checkedEnvelope(envelope: unknown, id: string): Envelope {
  const given = (envelope ?? {}) as Partial<Envelope>
  const { entryId, receivedAt, traceparent, mailFrom, recipients, discarded } = given
  const wrong = (what: string): never => {
    throw new TypeError(`envelope: ${what}`)
  }
  if (entryId !== id || !UUID.test(id)) wrong('entryId is not that of the entry')
  if (typeof receivedAt !== 'string' || !Number.isFinite(Date.parse(receivedAt))) wrong('receivedAt is no time')
  if (typeof mailFrom !== 'string') wrong('mailFrom is missing')
  traceIdOf(String(traceparent))
  if (!Array.isArray(recipients)) return wrong('no recipients')
  if (recipients.length === 0 && !(Array.isArray(discarded) && discarded.length > 0)) wrong('no recipients')
  if (!recipients.every((each) => typeof each?.tenant === 'string' && SLUG.test(each.tenant)))
    wrong('a recipient has no tenant')
  return given as Envelope
}

/** JSON with its keys sorted, so that equal values are equal bytes (the idea of RFC 8785 3.2.3). */
export const canonicalJson = (value: unknown): string => JSON.stringify(sorted(value))

/** Plain values in, plain values out: a replacer would be called for each of them. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const fields = value as Record<string, unknown>
  const keys = Object.keys(fields).sort()
  return Object.fromEntries(keys.map((key) => [key, sorted(fields[key])]))
}
