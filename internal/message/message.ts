// Package message turns the raw bytes of a mail into what the index keeps of it. The bytes are hostile: they are parsed in child
// processes that can be killed, and whatever a message does to its parser, the next one is parsed.
//
// Contract: the same bytes and the same `parser` give the same ParsedMessage. Nothing here reads a clock into a result or makes up an id.
// A message that breaks a limit or the parser is quarantined with a reason of this file; trouble of ours (no child could be
// started, the disk is full) is `trouble`, and the caller tries again later.

import type { Readable } from 'node:stream'

export { AUTOMATIC_KINDS, type AutomaticKind } from './automatic.ts'
export { FLAGS, QUARANTINE_REASONS } from './reasons.ts'
export type { Flag, QuarantineReason } from './reasons.ts'
export { parserPool } from './pool.ts'
export type { OwnedPool, ParserPool, PoolOptions } from './pool.ts'

import type { AutomaticKind } from './automatic.ts'
import type { Flag, QuarantineReason } from './reasons.ts'

/** A mailbox of a header. `address` is as written, bounded, and may be no valid address at all. */
export interface Address {
  name: string
  address: string
}

export interface HeaderField {
  /** In lower case. */
  name: string
  /** Decoded, unfolded, bounded, without control characters. */
  value: string
}

/** A file that came with the message; its bytes are in the work directory. */
export interface ParsedAttachment {
  /** For display and download: no path, no control or bidi characters, 1 to 255 bytes of UTF-8, unique within the message. */
  filename: string
  /** The decoded name as sent, bounded, if it differs from `filename`. Never a path. */
  originalFilename?: string
  /** `type/subtype` in lower case; application/octet-stream if there is no valid one. */
  contentType: string
  sizeBytes: number
  /** Hex. */
  sha256: string
  /** Absolute path of the decoded bytes inside the work directory. */
  path: string
}

export interface ParsedMessage {
  /** What parsed it: `mailparser@<version>/<our revision>`. */
  parser: string
  /** With its angle brackets, as in the first Message-ID header; absent if there is none that can be used. */
  headerMessageId?: string
  /** Message ids with their angle brackets, in order, without repeats. */
  inReplyTo: string[]
  references: string[]
  subject?: string
  from: Address[]
  sender?: Address
  to: Address[]
  cc: Address[]
  bcc: Address[]
  replyTo: Address[]
  /** Unfolded text of the first such header, with its encoded words: what a synthetic Message-ID is hashed from. */
  fromRaw?: string
  toRaw?: string
  subjectRaw?: string
  dateRaw?: string
  /** ISO 8601 in UTC, only of a valid Date header in the years 1970 to 2100. */
  date?: string
  /** The headers worth searching, in order of the message. */
  headers: HeaderField[]
  /** The first characters of `text` on one line. */
  snippet: string
  /** Searchable text: the text/plain parts, or what the HTML parts show. */
  text: string
  hasHtml: boolean
  /** Files only: images shown within the HTML are left out. In order of the message. */
  attachments: ParsedAttachment[]
  flags: Flag[]
  /** What its header says of who wrote it; empty for mail that a person may have written. */
  automatic: AutomaticKind[]
  /** Of mail that is a delivery report. */
  report?: DeliveryReport
}

/** One recipient of a delivery report (RFC 3464 2.3). Values are bounded, on one line; what is not said is absent. */
export interface ReportedRecipient {
  finalRecipient?: string
  originalRecipient?: string
  /** In lower case: failed, delayed, delivered, relayed or expanded, or whatever was written. */
  action?: string
  status?: string
  diagnostic?: string
  remoteMta?: string
}

/** What a delivery report says (RFC 3464 2). */
export interface DeliveryReport {
  /** Message-ID of the mail that it reports on, with its angle brackets. */
  originalMessageId?: string
  originalEnvelopeId?: string
  reportingMta?: string
  /** ISO 8601 in UTC. */
  arrivalDate?: string
  recipients: ReportedRecipient[]
}

/** `reason`: the message's fault, for good. `trouble`: ours, try again; `cause` is what was thrown, if anything was. */
export type ParseOutcome =
  | { ok: true; message: ParsedMessage }
  | { ok: false; reason: QuarantineReason; detail: string }
  | { ok: false; trouble: Trouble; detail: string; cause?: unknown }

/** `source`: open() or its stream failed, or gave another size. `disk`: the work directory. `child`: no child could work. */
export type Trouble = 'source' | 'disk' | 'child' | 'closed'

export interface ParseInput {
  /** Called once, when a child is free; bytes that are all there need no stream. Its errors give `trouble` `source`. */
  open(): Readable | Buffer | Promise<Readable | Buffer>
  /** Exact size of what open() gives. */
  sizeBytes: number
  /**
   * A directory of this message's own, absolute; made when something has to be written. The caller uploads the attachments from it
   * and removes it.
   */
  workDir: string
}

/** What a message may cost. A message beyond one of these is quarantined. */
export interface ParseLimits {
  /** MIME parts, the message itself included. */
  partsMax: number
  /** Nesting of multiparts; a message without parts has depth 1. An attached message is one part, whatever is in it. */
  depthMax: number
  /** Bytes of one header block. */
  headerBytesMax: number
}
