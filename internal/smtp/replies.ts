// Every reply that this server sends. Nothing else writes reply codes. 4xx: the sender keeps the mail and tries again. 5xx: the sender bounces it, so a 5xx must be true tomorrow
// as well. Enhanced codes by RFC 3463 3; the greeting, the answer to EHLO and HELO, and 354 carry none (RFC 2034 4).

import type { Limiter, Reason } from './metrics.ts'

export interface Reply {
  readonly code: number
  readonly status: string
  readonly text: string
  /** Lines after the first. */
  readonly more?: readonly string[]
  /** TLS begins after this reply. */
  readonly secures?: true
  /** The connection ends after this reply. */
  readonly closes?: true
  /** Reason of the transaction's or recipient's fate, where the reply decides one. */
  readonly reason?: Reason
  /** The limit that says so; saying it counts it. */
  readonly limiter?: Limiter
}

const closing = (status: string, text: string, limiter: Limiter) =>
  ({ code: 421, status, text, closes: true, limiter }) as const
/** 450 4.7.1: the client does too much. 452 4.2.2: the mailbox gets too much, and other recipients go on (RFC 3463 3.3, 3.8). */
const slower = (code: 450 | 452, text: string, limiter: Limiter) =>
  ({ code, status: code === 450 ? '4.7.1' : '4.2.2', text, reason: 'rate_limited', limiter }) as const

export const REPLIES = {
  greeting: { code: 220, status: '', text: '' }, // RFC 5321 4.2: begins with our name
  hello: { code: 250, status: '', text: '' },
  ok: { code: 250, status: '2.0.0', text: 'ok' },
  sender_ok: { code: 250, status: '2.1.0', text: 'sender ok' },
  recipient_ok: { code: 250, status: '2.1.5', text: 'recipient ok' },
  go_ahead: { code: 354, status: '', text: 'end data with <CR><LF>.<CR><LF>' },
  accepted: { code: 250, status: '2.0.0', text: 'accepted' },
  chunk_ok: { code: 250, status: '2.0.0', text: 'ok,' }, // RFC 3030 2: says how many octets
  help: { code: 214, status: '2.0.0', text: 'see RFC 5321 4.1.1' },
  cannot_verify: { code: 252, status: '2.0.0', text: 'cannot verify, send the mail and see' }, // RFC 5321 7.3
  ready_for_tls: { code: 220, status: '2.0.0', text: 'ready to start TLS', secures: true }, // RFC 3207 4
  auth_challenge: { code: 334, status: '', text: '' }, // RFC 4954 4
  auth_ok: { code: 235, status: '2.7.0', text: 'authentication successful' },
  bye: { code: 221, status: '2.0.0', text: 'bye', closes: true },

  // Trouble of ours: always temporary, with a text that tells strangers nothing.
  internal: { code: 451, status: '4.3.0', text: 'local error, try again later', reason: 'internal' },
  directory_unavailable: {
    code: 451,
    status: '4.3.0',
    text: 'cannot look up recipients, try again later',
    reason: 'internal',
  },
  spool_error: { code: 451, status: '4.3.0', text: 'cannot store mail now, try again later', reason: 'spool_error' },
  spool_full: { code: 452, status: '4.3.1', text: 'out of storage, try again later', reason: 'spool_full' },

  // Limits. 452 4.5.3 means: what was accepted stays, send the others in a transaction of their own (RFC 5321 4.5.3.1.10).
  too_large: { code: 552, status: '5.3.4', text: 'message too large', reason: 'too_large', limiter: 'message_size' }, // RFC 1870 6.1
  header_too_large: {
    code: 552,
    status: '5.3.4',
    text: 'header too large',
    reason: 'too_large',
    limiter: 'header_size',
  },
  too_many_recipients: {
    code: 452,
    status: '4.5.3',
    text: 'too many recipients',
    reason: 'too_many_rcpt',
    limiter: 'recipients',
  },
  one_recipient_only: { code: 452, status: '4.5.3', text: 'one recipient for a bounce', reason: 'too_many_rcpt' },
  other_size_limit: { code: 452, status: '4.5.3', text: 'send to this recipient separately', reason: 'too_many_rcpt' },
  too_many_sessions: closing('4.7.0', 'too many sessions, try again later', 'sessions'),
  too_many_sessions_of_address: closing('4.7.0', 'too many sessions of your address', 'address_sessions'),
  too_many_sessions_of_network: closing('4.7.0', 'too many sessions of your network', 'network_sessions'),
  too_many_new_sessions: closing('4.7.0', 'too many sessions in a short time, try again later', 'session_rate'),
  too_many_commands: closing('4.7.0', 'too many commands in a short time, try again later', 'command_rate'),
  too_many_errors_a_minute: closing('4.7.0', 'too many errors in a short time, try again later', 'error_rate'),
  too_many_errors: closing('4.7.0', 'too many errors', 'errors'),
  no_greeting: closing('4.4.2', 'no EHLO for too long', 'greeting_time'),
  idle: closing('4.4.2', 'idle for too long', 'idle_time'),
  too_slow: closing('4.4.2', 'mail comes in too slowly', 'data_time'),
  session_too_long: closing('4.4.2', 'session took too long', 'session_time'),
  too_many_messages: slower(450, 'too many messages in a short time, try again later', 'message_rate'),
  too_many_recipients_a_minute: slower(450, 'too many recipients in a short time, try again later', 'recipient_rate'),
  too_many_octets: slower(450, 'too much mail in a short time, try again later', 'byte_rate'),
  tenant_over_rate: slower(452, 'recipient gets too much mail now, try again later', 'tenant_rate'),
  domain_over_rate: slower(452, 'recipient gets too much mail now, try again later', 'domain_rate'),
  tenant_over_quota: {
    code: 452,
    status: '4.2.2',
    text: 'recipient is over quota, try again later',
    reason: 'quota',
    limiter: 'tenant_quota',
  },
  draining: { code: 421, status: '4.3.2', text: 'shutting down, try again later', closes: true },

  // Recipients.
  unknown_mailbox: { code: 550, status: '5.1.1', text: 'no such mailbox here', reason: 'unknown_rcpt' },
  unknown_tenant: { code: 550, status: '5.1.1', text: 'unknown recipient organization', reason: 'unknown_rcpt' },
  not_ours: { code: 550, status: '5.7.1', text: 'relaying denied', reason: 'unknown_domain' },
  mx_lost: {
    code: 451,
    status: '4.4.3',
    text: 'this domain does not point here now, try again later',
    reason: 'internal',
  },
  suspended: { code: 550, status: '5.1.2', text: 'domain suspended', reason: 'suspended' },
  not_our_address: { code: 550, status: '5.1.2', text: 'not our address', reason: 'unknown_domain' },
  disabled: { code: 550, status: '5.2.1', text: 'mailbox disabled', reason: 'suspended' },

  // Senders, by a tenant's own policy (RFC 7372 3, RFC 7505 4.2).
  sender_null_mx: {
    code: 550,
    status: '5.7.27',
    text: 'the domain of the sender takes no mail (null MX)',
    reason: 'policy_unreachable',
  },
  sender_unknown: {
    code: 550,
    status: '5.1.8',
    text: 'the domain of the sender is not there',
    reason: 'policy_unreachable',
  },
  sender_blocked: { code: 550, status: '5.7.1', text: 'sender refused by this recipient', reason: 'policy_sender' },
  spf_fail: { code: 550, status: '5.7.23', text: 'SPF of the sender says fail', reason: 'policy_spf' },
  dmarc_reject: {
    code: 550,
    status: '5.7.1',
    text: 'the domain in From asks to reject this (DMARC)',
    reason: 'policy_dmarc',
  },
  unauthenticated: {
    code: 550,
    status: '5.7.26',
    text: 'neither SPF nor DKIM says who sent this',
    reason: 'policy_unauthenticated',
  },

  // Content.
  bare_line_end: { code: 550, status: '5.6.11', text: 'CR or LF outside CRLF', reason: 'bare_lf' }, // RFC 5321 2.3.8
  loop: { code: 554, status: '5.4.6', text: 'too many hops', reason: 'loop' }, // RFC 5321 6.3
  malware: { code: 554, status: '5.7.1', text: 'malware found', reason: 'malware' },
  scanner_down: { code: 451, status: '4.7.1', text: 'cannot scan mail now, try again later', reason: 'internal' },
  null_chunk: { code: 551, status: '5.7.1', text: 'null BDAT request' },
  discarded: { code: 551, status: '5.0.0', text: 'discarded, the message has failed already' },

  // Syntax and order of commands.
  bad_sender: { code: 501, status: '5.1.7', text: 'bad sender address' },
  no_sender_domain: { code: 501, status: '5.1.8', text: 'sender address without a domain' },
  bad_recipient: { code: 501, status: '5.1.3', text: 'bad recipient address' },
  bad_argument: { code: 501, status: '5.5.4', text: 'bad argument' },
  bad_literal: { code: 501, status: '5.5.2', text: 'bad address literal' },
  bad_chunk: { code: 501, status: '5.5.4', text: 'bad chunk size', closes: true }, // Where its octets end is anybody's guess.
  bad_parameter: { code: 501, status: '5.5.4', text: 'bad parameter value' },
  unknown_parameter: { code: 555, status: '5.5.4', text: 'parameter not recognized' }, // RFC 5321 4.1.1.11
  utf8_not_announced: { code: 553, status: '5.6.7', text: 'non-ASCII address without SMTPUTF8' }, // RFC 6531 3.5
  tls_required: { code: 523, status: '5.7.10', text: 'REQUIRETLS needs TLS' }, // RFC 8689 5
  bad_encoding: { code: 500, status: '5.5.2', text: 'octets beyond ASCII where none may be' },
  bare_lf: { code: 500, status: '5.5.2', text: 'a line ends with CRLF' },
  control: { code: 500, status: '5.5.2', text: 'control character in a command' },
  too_long: { code: 500, status: '5.5.2', text: 'line too long' },
  endless: { code: 500, status: '5.5.2', text: 'line too long', closes: true },
  client_hello: { code: 501, status: '5.5.2', text: 'TLS has not been negotiated', closes: true },
  unknown_command: { code: 500, status: '5.5.1', text: 'command not recognized' },
  unknown_at_first: { code: 500, status: '5.5.2', text: 'this is SMTP', closes: true },
  not_implemented: { code: 502, status: '5.5.1', text: 'command not implemented' },
  hello_first: { code: 503, status: '5.5.1', text: 'send EHLO first' },
  reset_first: { code: 503, status: '5.5.1', text: 'BDAT is under way, go on or send RSET' }, // RFC 3030 2
  nested_mail: { code: 503, status: '5.5.1', text: 'sender already given' },
  need_mail: { code: 503, status: '5.5.1', text: 'send MAIL first' },
  need_recipient: { code: 503, status: '5.5.1', text: 'send RCPT first' },
  no_valid_recipients: { code: 554, status: '5.5.1', text: 'no valid recipients' },
  out_of_step: { code: 554, status: '5.5.0', text: 'SMTP protocol synchronization', closes: true }, // RFC 2920 3.1
  tls_active: { code: 503, status: '5.5.1', text: 'TLS is active already' },
  need_tls: { code: 530, status: '5.7.0', text: 'send STARTTLS first' }, // RFC 3207 4
  need_tls_for_auth: { code: 538, status: '5.7.11', text: 'encryption required, send STARTTLS first' }, // RFC 4954 6
  need_auth: { code: 530, status: '5.7.0', text: 'authentication required' },
  auth_failed: { code: 535, status: '5.7.8', text: 'authentication credentials invalid' },
  auth_disabled: { code: 525, status: '5.7.13', text: 'account disabled' }, // RFC 5248 2.4
  auth_unavailable: { code: 454, status: '4.7.0', text: 'cannot authenticate now, try again later' },
  auth_limited: { code: 454, status: '4.7.0', text: 'too many failures, try again later' },
  auth_cancelled: { code: 501, status: '5.7.0', text: 'authentication cancelled' },
  auth_done: { code: 503, status: '5.5.1', text: 'authenticated already' },
  auth_line_too_long: { code: 500, status: '5.5.6', text: 'authentication line too long' },
  bad_base64: { code: 501, status: '5.5.2', text: 'cannot decode the answer' },
  unknown_mechanism: { code: 504, status: '5.5.4', text: 'unknown authentication mechanism' },
  sender_not_owned: { code: 550, status: '5.7.1', text: 'not allowed to send as this sender', reason: 'other' },
  no_proxy: { code: 550, status: '5.7.0', text: 'insufficient authorization' },
  early_talker: { code: 554, status: '5.5.1', text: 'wait for the greeting', closes: true },
  http: { code: 421, status: '4.7.0', text: 'this is SMTP', closes: true },
} as const satisfies Record<string, Reply>

export type ReplyName = keyof typeof REPLIES

/** Our name, and that extensions are spoken (RFC 5321 4.2). */
export const greeting = (hostname: string): Reply => ({ ...REPLIES.greeting, text: `${hostname} ESMTP` })

/** The answer to EHLO, with a line for each extension, and to HELO, with none (RFC 5321 4.1.1.1). */
export const hello = (hostname: string, extensions: readonly string[]): Reply => ({
  ...REPLIES.hello,
  text: hostname,
  more: extensions,
})

/** As it is written on the wire (RFC 5321 4.2.1). */
export function wireText({ code, status, text, more = [] }: Reply): string {
  const lines = [status === '' ? text : `${status} ${text}`, ...more]
  return lines.map((line, index) => `${code}${index < lines.length - 1 ? '-' : ' '}${line}\r\n`).join('')
}

/** The row of `name`, its text continued by `detail`. */
export function reply(name: ReplyName, detail = ''): Reply {
  const row: Reply = REPLIES[name]
  return detail === '' ? row : { ...row, text: `${row.text} ${detail}` }
}
