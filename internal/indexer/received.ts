// `ingest.received` told again, from a row or from the envelope object, so that it works past the log's retention.

import { createHash } from 'node:crypto'
import { objectKeys, type MessageMeta } from '../envelope/envelope.ts'
import { makeEvent, type MailEvent } from '../eventlog/eventlog.ts'
import type { Message } from '../store/store.ts'

/** The same event, with the same id, as was published when the message came. */
export function receivedEvent(row: Message, { source }: { source: string }): MailEvent<'ingest.received'> {
  const receivedAt = new Date(row.receivedAt).toISOString()
  const { id, entryId, tenant, sizeBytes, sha256, rawKey, metaKey } = row
  return makeEvent('ingest.received', {
    source,
    time: receivedAt,
    // The trace is the message's; the span that published it first is gone.
    traceparent: `00-${row.traceId}-${createHash('sha256').update(id).digest('hex').slice(0, 16)}-01`,
    data: {
      messageId: id,
      entryId,
      tenant,
      source: row.source,
      receivedAt,
      sizeBytes,
      sha256,
      recipientCount: Math.max(1, row.recipients.length),
      senderDomain: domainOf(row.mailFrom),
      rawKey,
      metaKey,
    },
  })
}

/** From a `.json` object, for a store that has lost its rows. */
export function receivedFromMeta(meta: MessageMeta, { source }: { source: string }): MailEvent<'ingest.received'> {
  const { messageId, tenant, envelope, sizeBytes, sha256, rawKey } = meta
  const { entryId, receivedAt, traceparent } = envelope
  return makeEvent('ingest.received', {
    source,
    time: receivedAt,
    traceparent,
    data: {
      messageId,
      entryId,
      tenant,
      source: envelope.source,
      receivedAt,
      sizeBytes,
      sha256,
      recipientCount: Math.max(1, envelope.recipients.length),
      senderDomain: domainOf(envelope.mailFrom),
      rawKey,
      metaKey: objectKeys(tenant, receivedAt, messageId).meta,
    },
  })
}

/** Empty for the null sender. */
const domainOf = (mailFrom: string): string =>
  mailFrom === '' ? '' : mailFrom.slice(mailFrom.lastIndexOf('@') + 1).toLowerCase()
