// One mail transaction (RFC 5321 3.3): what MAIL and RCPT said so far, and what of it can be decided without asking anybody.

import type { Findings } from '../authentication/authentication.ts'
import type { Route } from '../directory/directory.ts'
import type { Discarded, Envelope, PolicyVerdict, Recipient } from '../envelope/envelope.ts'
import type { MailParameters } from './arguments.ts'
import type { Body } from './body.ts'
import { traced, type Span } from '../ports/ports.ts'
import type { Greeted, House, Peer } from './house.ts'
import type { SmtpMetrics } from './metrics.ts'
import { reply, type Reply, type ReplyName } from './replies.ts'
import type { Receivers } from './throttle.ts'
import { traceHeaders } from './trace-headers.ts'

export interface Transaction extends MailParameters {
  mailFrom: string
  traceparent: string
  /** From MAIL to the last reply. */
  span: Span
  entryId: string | undefined
  /** Each by its `addressKey`. */
  recipients: Map<string, Recipient>
  /** Those that are answered like recipients and get nothing. */
  discarded: Map<string, Discarded>
  receivers: Receivers
  /** Smallest limit of the recipients so far, octets. */
  sizeLimit: number | undefined
  /** Last refusal of a recipient; the transaction's fate when nobody is left to deliver to. */
  refusal: Reply | undefined
  body: Body | undefined
  /** Who sent it, once that is known. */
  findings: Findings | undefined
  /** What tenants made of that, by tenant. */
  verdicts: ReadonlyMap<string, PolicyVerdict>
}

type Tracing = Pick<House, 'tracer' | 'ids'>

export function beginTransaction(mailFrom: string, parameters: MailParameters, { tracer, ids }: Tracing): Transaction {
  const span = tracer.root('smtp transaction', ids.traceparent())
  return {
    ...parameters,
    mailFrom,
    traceparent: span.traceparent,
    span,
    entryId: undefined,
    recipients: new Map(),
    discarded: new Map(),
    receivers: { tenants: new Set(), domains: new Set() },
    sizeLimit: undefined,
    refusal: undefined,
    body: undefined,
    findings: undefined,
    verdicts: new Map(),
  }
}

/** The outcome of `work` as a span of the transaction. */
export const step = <T>(
  { tracer }: Tracing,
  name: string,
  { traceparent }: Transaction,
  work: () => Promise<T>,
): Promise<T> => traced(tracer.span(name, traceparent), work)

/** How many were told that they are recipients. */
export const accepted = ({ recipients, discarded }: Transaction): number => recipients.size + discarded.size

/** What had decided the fate of a transaction before the client gave it up. */
export function refusalBefore(transaction: Transaction): Reply | undefined {
  const { body, refusal } = transaction
  if (body?.failure !== undefined) return reply(body.failure)
  return accepted(transaction) === 0 && refusal?.reason !== undefined ? refusal : undefined
}

/** Slugs, each once. */
export const tenantsOf = ({ recipients }: Transaction): string[] => [
  ...new Set([...recipients.values()].map((recipient) => recipient.tenant)),
]

/** Those whose policy counts: also of recipients that nobody is, or the reply would tell who is there. */
export const judgesOf = (transaction: Transaction): string[] => [
  ...new Set([
    ...tenantsOf(transaction),
    ...[...transaction.discarded.values()].flatMap(({ tenant }) => (tenant === null ? [] : [tenant])),
  ]),
]

/**
 * One transaction has one answer, so it has one limit (R8): with a declared size the recipient who may not get so much is
 * refused; without, a recipient of another limit than those before has to come in a transaction of its own.
 */
export function sizeRefusal({ size, sizeLimit }: Transaction, limit: number): ReplyName | undefined {
  if (size !== undefined) return size > limit ? 'too_large' : undefined
  return sizeLimit !== undefined && sizeLimit !== limit ? 'other_size_limit' : undefined
}

/** Why nobody is there to deliver to (RFC 5321 3.3). */
export const nobodyLeft = ({ refusal }: Transaction): ReplyName =>
  refusal === undefined ? 'need_recipient' : 'no_valid_recipients'

/** What a client is told of a recipient that gets no mail, which is counted. */
export function refusalOf(route: Exclude<Route, { kind: 'mailbox' | 'discard' }>, metrics: SmtpMetrics): ReplyName {
  switch (route.kind) {
    case 'unknown_mailbox':
    case 'unknown_tenant':
    case 'not_ours':
      metrics.recipient('unknown')
      return route.kind
    case 'mx_lost':
    case 'suspended':
    case 'disabled':
      metrics.recipient('suspended')
      return route.kind
    case 'unavailable':
      return 'directory_unavailable'
  }
}

export interface Received {
  /** Our name. */
  hostname: string
  peer: Peer
  greeted: Greeted | undefined
  entryId: string
  authenticated: boolean
  /** When the last octet had been read. */
  receivedAtMs: number
}

/** What is kept beside the mail's octets. */
export function envelopeOf(transaction: Transaction, received: Received): Envelope {
  const { mailFrom, smtpUtf8, bodyType, traceparent, findings, verdicts } = transaction
  const { entryId, hostname, receivedAtMs, authenticated } = received
  const { address, port, tls } = received.peer
  const { name: helo, extended } = received.greeted ?? { name: '', extended: false }
  const recipients = [...transaction.recipients.values()].map((recipient) => {
    const policy = verdicts.get(recipient.tenant)
    return policy === undefined ? recipient : { ...recipient, policy }
  })
  const discarded = [...transaction.discarded.values()]
  const addresses = [...recipients, ...discarded].map(({ address: to }) => to)
  return {
    entryId,
    source: 'EMAIL',
    receivedAt: new Date(receivedAtMs).toISOString(),
    client: { address, port, helo, ...(tls && { tls }) },
    mailFrom,
    recipients,
    ...(discarded.length > 0 && { discarded }),
    ...(authenticated && { submitted: true as const }),
    smtpUtf8,
    body: bodyType,
    traceparent,
    ...(findings && { authentication: findings.results }),
    traceHeaders: {
      ...(findings && { authenticationResults: findings.header }),
      ...traceHeaders({
        entryId,
        hostname,
        address,
        helo,
        extended,
        ...(tls && { tls }),
        authenticated,
        smtpUtf8,
        mailFrom,
        recipients: addresses,
        receivedAtMs,
        peerName: findings?.results.iprev.name,
      }),
    },
  }
}
