// What the front door counts (rows 1 to 10 of the metric catalogue). Labels are closed sets, and every combination that can
// occur is there from the start with zero, so that "no data" never looks like health.

import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import { counter, named } from './counter.ts'
import { tlsMetrics, type TlsMetrics } from './tls-metrics.ts'

/** `smtps`: TLS from the first octet (RFC 8314 3). */
export const LISTENERS = ['smtp', 'smtps', 'submission'] as const
export type ListenerName = (typeof LISTENERS)[number]
const CONNECTION_OUTCOMES = ['accepted', 'limit', 'blocked', 'tls_error', 'proxy_error'] as const
export const COMMANDS = [
  'HELO', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'BDAT', 'RSET', 'NOOP', 'QUIT', 'VRFY', 'STARTTLS', 'AUTH', 'other',
] as const // prettier-ignore
const CODE_CLASSES = ['2xx', '3xx', '4xx', '5xx'] as const
const RECIPIENT_RESULTS = ['accepted', 'unknown', 'suspended', 'quota', 'rate', 'greylist', 'blocked'] as const
/** At one time, at most in size, in time, and each minute. */
export const LIMITERS = [
  'sessions', 'address_sessions', 'network_sessions', 'recipients', 'errors', 'message_size', 'header_size',
  'greeting_time', 'idle_time', 'data_time', 'session_time',
  'session_rate', 'command_rate', 'error_rate', 'message_rate', 'recipient_rate', 'byte_rate', 'tenant_rate', 'domain_rate',
  'tenant_quota',
] as const // prettier-ignore
export type Limiter = (typeof LIMITERS)[number]

/** Why a transaction ended as it did. Which result goes with it is fixed, but for `none`. */
const REASON_RESULTS = {
  spool_full: 'tempfail',
  spool_error: 'tempfail',
  internal: 'tempfail',
  overload: 'tempfail',
  greylist: 'tempfail',
  rate_limited: 'tempfail',
  too_large: 'reject',
  too_many_rcpt: 'tempfail',
  unknown_rcpt: 'reject',
  unknown_domain: 'reject',
  suspended: 'reject',
  policy_unreachable: 'reject',
  policy_spf: 'reject',
  policy_dmarc: 'reject',
  policy_unauthenticated: 'reject',
  policy_sender: 'reject',
  malware: 'reject',
  syntax: 'reject',
  bare_lf: 'reject',
  loop: 'reject',
  quota: 'tempfail',
  other: 'reject',
} as const satisfies Record<string, Result>

export type Result = 'accepted' | 'tempfail' | 'reject' | 'aborted' | 'timeout'
export type Reason = keyof typeof REASON_RESULTS

/** How a transaction ended. */
export type Fate =
  | { result: 'accepted' | 'aborted' | 'timeout'; reason: 'none' }
  | { result: 'tempfail' | 'reject'; reason: Reason }

/** What the log says of each. */
export const FATE_MESSAGES: Record<Result, string> = {
  accepted: 'message accepted',
  tempfail: 'message deferred',
  reject: 'message refused',
  aborted: 'transaction given up by the client',
  timeout: 'transaction timed out',
}

/** The fate that a refusal with this reason is. */
export const refused = (reason: Reason): Fate => ({ result: REASON_RESULTS[reason], reason })

const LATENCY_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const WAIT_SECONDS = [1, 5, 15, 30, 60, 120, 300, 900, 3600]
const SIZE_BYTES = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536].map((kib) => kib * 1024)

export interface SmtpMetrics extends TlsMetrics {
  opened(listener: ListenerName, outcome: (typeof CONNECTION_OUTCOMES)[number]): void
  closed(listener: ListenerName, seconds: number): void
  command(command: string, code: number): void
  recipient(result: (typeof RECIPIENT_RESULTS)[number]): void
  limited(limiter: Limiter): void
  transaction(fate: Fate): void
  /** Seconds from the final dot to the 250, and the message's size. */
  accepted(seconds: number, bytes: number): void
}

/** Declares the metrics in `registry`; once for each registry. */
export function smtpMetrics(registry: Registry): SmtpMetrics {
  const registers = [registry]
  const connections = counter(registers, 'smtp_connections_total', 'Connections, by what became of them.', {
    listener: LISTENERS,
    outcome: CONNECTION_OUTCOMES,
  })
  const commands = counter(registers, 'smtp_commands_total', 'Commands, by the class of their reply.', {
    command: COMMANDS,
    code_class: CODE_CLASSES,
  })
  const recipients = counter(registers, 'smtp_recipients_total', 'Recipients of RCPT, by what was decided.', {
    result: RECIPIENT_RESULTS,
  })
  const limited = counter(registers, 'rate_limited_total', 'What a limit turned away.', { limiter: LIMITERS })
  const transactions = transactionCounter(registers)
  const open = new Gauge({ ...named('smtp_connections', 'Open connections.'), labelNames: ['listener'], registers })
  for (const listener of LISTENERS) open.set({ listener }, 0)
  const duration = new Histogram({
    ...named('smtp_session_duration_seconds', 'From connect to close.'),
    labelNames: ['listener'],
    buckets: WAIT_SECONDS,
    registers,
  })
  for (const listener of LISTENERS) duration.zero({ listener })
  const accept = new Histogram({
    ...named('smtp_accept_duration_seconds', 'From the final dot to the 250, fsync included.'),
    buckets: LATENCY_SECONDS,
    registers,
  })
  const size = new Histogram({ ...named('message_size_bytes', 'Accepted messages.'), buckets: SIZE_BYTES, registers })
  return {
    ...tlsMetrics(registers),
    opened(listener, outcome) {
      connections.inc({ listener, outcome })
      open.inc({ listener })
    },
    closed(listener, seconds) {
      open.dec({ listener })
      duration.observe({ listener }, seconds)
    },
    command: (command, code) =>
      commands.inc({ command: commandLabel(command), code_class: `${Math.floor(code / 100)}xx` }),
    recipient: (result) => recipients.inc({ result }),
    limited: (limiter) => limited.inc({ limiter }),
    transaction: ({ result, reason }) => transactions.inc({ result, reason }),
    accepted(seconds, bytes) {
      accept.observe(seconds)
      size.observe(bytes)
    },
  }
}

const commandLabel = (command: string): string => COMMANDS.find((known) => known === command) ?? 'other'

function transactionCounter(registers: Registry[]): Counter<'result' | 'reason'> {
  const help = 'Transactions since MAIL, by how they ended and why.'
  const made = new Counter({ ...named('smtp_transactions_total', help), labelNames: ['result', 'reason'], registers })
  for (const result of ['accepted', 'aborted', 'timeout']) made.inc({ result, reason: 'none' }, 0)
  for (const [reason, result] of Object.entries(REASON_RESULTS)) made.inc({ result, reason }, 0)
  return made
}
