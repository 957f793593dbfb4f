// Ids that derive from others, so that every retry, on every node, makes the same ones (RFC 9562 5.5, UUIDv5).

import { hash } from 'node:crypto'

/** Namespace of every id we derive: UUIDv5 of the DNS namespace and `mail-ingest.invalid`, fixed for ever. */
const NAMESPACE = uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'mail-ingest.invalid')

/** UUIDv5 of `name` in `namespace` (RFC 9562 5.5). */
export function uuidv5(namespace: string, name: string): string {
  const bytes = Buffer.allocUnsafe(16 + Buffer.byteLength(name))
  bytes.write(namespace.replaceAll('-', ''), 'hex')
  bytes.write(name, 16)
  const hex = hash('sha1', bytes)
  const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(18, 20)}-${hex.slice(20, 32)}`
}

/** Id of the message that `tenant` gets out of an entry. */
export function messageId(entryId: string, tenant: string): string {
  return uuidv5(NAMESPACE, `message\n${entryId}\n${tenant}`)
}

/** Id of an event: the same fact has the same id each time it is told. `occurrence` is empty where a fact happens once. */
export function eventId(type: string, subject: string, occurrence = ''): string {
  return uuidv5(NAMESPACE, `event\n${type}\n${subject}\n${occurrence}`)
}

/** Object keys of one message: the bytes as received and the envelope beside them. */
export interface ObjectKeys {
  raw: string
  meta: string
}

/** `<tenant>/<yyyy>/<mm>/<dd>/<message id>.eml` and `.json`, by the UTC day of receipt. */
export function objectKeys(tenant: string, receivedAt: string, message: string): ObjectKeys {
  const day = new Date(receivedAt).toISOString().slice(0, 10).replaceAll('-', '/')
  const stem = `${tenant}/${day}/${message}`
  return { raw: `${stem}.eml`, meta: `${stem}.json` }
}

/** Object key of an attachment, one for each content in each tenant: erasing a tenant touches no other. `sha256` is hex. */
export function attachmentKey(tenant: string, sha256: string): string {
  return `${tenant}/attachments/${sha256.slice(0, 2)}/${sha256}`
}
