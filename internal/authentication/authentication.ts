// Package authentication finds out who sent a mail: SPF (RFC 7208 2.4), DKIM (RFC 6376 6.1), ARC (RFC 8617 5.2), DMARC (RFC 9989 5.3)
// and the name of the client (RFC 8601 3), while the mail comes in.
//
// mailauth.ts does it with the package mailauth, lookups.ts asks the DNS; only cmd imports them. Here is what others need to know.
// Contract: an evaluation never rejects and ends within its time. What the DNS does not tell by then is `temperror`.

import type { Authentication } from '../envelope/envelope.ts'

export { handedOn } from './handed-on.ts'

/** Who brings the mail, known at MAIL FROM. */
export interface Bringer {
  /** The client's IP address. */
  address: string
  /** What it called itself. */
  helo: string
  /** Reverse path without brackets; empty for the null sender. */
  mailFrom: string
}

export interface Authenticator {
  /** Begins to ask at once. Undefined for clients that are not asked about. */
  begin(bringer: Bringer): Evaluation | undefined
}

export interface Findings {
  results: Authentication
  /** The field Authentication-Results (RFC 8601 2.2), whole lines that end with CRLF. */
  header: string
}

/** Of one mail. Call `end` or `abort`, and nothing after it. */
export interface Evaluation {
  /** The next octets; resolves when more may come. */
  write(chunk: Buffer): Promise<void>
  /** All octets were written. */
  end(): Promise<Findings>
  /** Nobody wants to know any more. May be called again, and after `end`. */
  abort(): void
}
