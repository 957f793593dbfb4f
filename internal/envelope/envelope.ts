// Package envelope holds what SMTP says about a message beside its bytes (RFC 5321 2.3.1), and the ids that derive from it.
// Pure values: no I/O, no clock.

export { addressKey, canonicalDomain, isPlainAddress, parseMailbox, parsePath, type Mailbox } from './address.ts'
export {
  ARC_RESULTS,
  DKIM_RESULTS,
  DMARC_RESULTS,
  IPREV_RESULTS,
  SENDER_DOMAIN_RESULTS,
  LISTINGS,
  NO_POLICY,
  POLICY_ACTIONS,
  POLICY_RULES,
  SPF_RESULTS,
  type Authentication,
  type Listing,
  type PolicyAction,
  type PolicyRule,
  type PolicyVerdict,
  type SenderPolicy,
} from './authentication.ts'
export { envelopeAlong, FACTS_BYTES_MAX, withEnvelope } from './along.ts'
export { attachmentKey, eventId, messageId, objectKeys, uuidv5, type ObjectKeys } from './identity.ts'
export type { Refusal } from './refusal.ts'
export { traceIdOf } from './trace.ts'

import type { Authentication, PolicyVerdict } from './authentication.ts'

/** How an entry came in. SMTP is the first channel; another would append the same kind of entry (R12). */
export type Source = 'EMAIL'

/** One accepted RCPT TO. */
export interface Recipient {
  /** As the client wrote it, without the angle brackets. */
  address: string
  /** Slug of the tenant it belongs to. */
  tenant: string
  /** The mailbox it was routed to, `local@domain`: domain in lower-case A-labels, plus tag removed where it is no tenant. */
  mailbox: string
  /** What its tenant's policy made of the message; absent where it had nothing to say. */
  policy?: PolicyVerdict
}

/** A recipient whom nobody here is, and whose sender is not to know it. */
export interface Discarded {
  /** As the client wrote it, without the angle brackets. */
  address: string
  /** Slug of the tenant that has the domain; null where tenants share it. */
  tenant: string | null
}

/** The peer that delivered. */
export interface Client {
  address: string
  port: number
  /** The name given in HELO or EHLO, as it was given. */
  helo: string
  tls?: { version: string; cipher: string }
}

/** What one accepted transaction says; the JSON of a spool frame. Sizes and digests are in the frame's header. */
export interface Envelope {
  /** UUIDv7 of the transaction; quoted in the 250 and in our Received header. */
  entryId: string
  source: Source
  /** ISO 8601, UTC, with milliseconds: when the last byte had been read. */
  receivedAt: string
  client: Client
  /** Reverse path without brackets; empty for the null sender (RFC 5321 4.5.5). */
  mailFrom: string
  /** None where all were discarded: such an entry is let go without a trace of its bytes. */
  recipients: Recipient[]
  /** Not there where there are none; never part of what a tenant sees. */
  discarded?: Discarded[]
  /** The client logged in, and may send as `mailFrom`. Absent where it did not. */
  submitted?: true
  smtpUtf8: boolean
  /** BODY parameter (RFC 6152 2). */
  body: '7BIT' | '8BITMIME'
  /** W3C traceparent begun at MAIL FROM. */
  traceparent: string
  /** Header lines of ours, CRLF-terminated, kept beside the bytes and never mixed into them (RFC 5321 4.4). */
  traceHeaders: { returnPath: string; received: string; authenticationResults?: string }
  /** Absent where it was not asked for (SMTP_AUTHENTICATION). */
  authentication?: Authentication
  /** What the malware scanner said before the 250; absent where it was not asked or could not tell. */
  scan?: { verdict: 'clean' } | { verdict: 'infected'; signature: string }
}

/** The `.json` object of one message: the envelope as its tenant may see it, and where and what the raw bytes are. */
export interface MessageMeta {
  version: 1
  messageId: string
  tenant: string
  /** The entry's envelope with this tenant's recipients only. */
  envelope: Envelope
  sizeBytes: number
  /** Hex SHA-256 of the bytes as received. */
  sha256: string
  /** Object key of the `.eml`. */
  rawKey: string
}
