// What sessions share, and what is known of one before it says anything of mail.

import type { Authenticator } from '../authentication/authentication.ts'
import type { Directory, TenantQuotas } from '../directory/directory.ts'
import type { Clock, Ids, Log, Tracer } from '../ports/ports.ts'
import type { Authority } from './auth.ts'
import type { Spool } from './body.ts'
import type { Certificates } from './certificates.ts'
import type { Timeouts } from './deadlines.ts'
import type { InlineScan } from './inline-scan.ts'
import type { ListenerName, SmtpMetrics } from './metrics.ts'
import type { RecentMessages } from './recent.ts'
import type { Refusals } from './refusals.ts'
import type { Throttle, ThrottleLimits } from './throttle.ts'

export interface Limits extends Timeouts, ThrottleLimits {
  /** Octets of one message; a tenant's own limit may be smaller. */
  messageBytesMax: number
  /** Octets of a message's header block; 0 for no such limit. */
  headerBytesMax: number
  /** Recipients of one transaction. */
  recipientsMax: number
  /** Sessions at one time. */
  sessionsMax: number
  /** Refusals of one tenant for one reason in a minute that it hears of one by one. */
  refusalRate: number
  /** Milliseconds before the greeting, for those who want to catch clients that do not wait for it. */
  greetingDelayMs: number
}

/** What every session shares. */
export interface House {
  hostname: string
  limits: Limits
  directory: Directory
  /** Absent where nobody has any. */
  quotas?: TenantQuotas
  spool: Spool
  /** Absent where nobody asks who sent a mail. */
  authenticator?: Authenticator
  /** Mail is scanned before its final reply; absent: later, or never. */
  inlineScan?: InlineScan
  clock: Clock
  ids: Ids
  log: Log
  tracer: Tracer
  metrics: SmtpMetrics
  recent: RecentMessages
  throttle: Throttle
  refusals: Refusals
  /** Undefined: there is no TLS. */
  certificates: Certificates | undefined
  /** Mail comes over TLS or not at all. */
  requireTls: boolean
  /** Whether an address is a balancer's, which tells whom it speaks for. */
  isProxy: (address: string) => boolean
  authority: Authority
}

export interface Peer {
  address: string
  port: number
  /** The address of ours that it came to. */
  localAddress: string
  listener: ListenerName
  tls?: Secured
}

/** What a TLS handshake agreed on. */
export interface Secured {
  version: string
  /** Its registered name. */
  cipher: string
}

/** What EHLO or HELO said. */
export interface Greeted {
  /** As the client gave it. */
  name: string
  /** EHLO rather than HELO. */
  extended: boolean
}
