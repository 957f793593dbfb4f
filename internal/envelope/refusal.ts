// What is remembered of mail that was refused; the JSON of a note in the spool, and the data of `ingest.refused` with its trace.

/** One refusal, as its tenant hears of it: its own addresses, and of the sender no more than the domain. */
export interface Refusal {
  /** UUID. */
  refusalId: string
  /** Slug. */
  tenant: string
  /** ISO 8601, UTC. */
  at: string
  reason: string
  /** Reply code and enhanced status code (RFC 3463 2). */
  code: number
  status: string
  /** The command that was refused; `discarded`: taken, and let go. */
  stage: 'mail' | 'rcpt' | 'data' | 'discarded'
  senderDomain: string
  /** Of this tenant, as the client wrote them; some of `recipientCount`. */
  recipients: string[]
  recipientCount: number
  /** A /24 or /64. */
  peerNetwork: string
  helo: string
  /** Like refusals before this one that are not told of by themselves. */
  suppressed: number
  entryId?: string
  sizeBytes?: number
  sha256?: string
  /** W3C traceparent begun at MAIL FROM. */
  traceparent: string
}
