// Every reply that this server sends, but for the two that list names and extensions (220 and the 250 of EHLO). Nothing else
// writes reply codes. 4xx: the sender keeps the mail and tries again. 5xx: the sender bounces it, so a 5xx must be true tomorrow
// as well. Enhanced codes by RFC 3463 3; 354 and the greeting carry none (RFC 2034 3).

import type { Reason } from './metrics.ts'

export interface Reply {
  readonly code: number
  readonly status: string
  readonly text: string
  /** The connection ends after this reply. */
  readonly closes?: true
  /** Reason of the transaction's or recipient's fate, where the reply decides one. */
  readonly reason?: Reason
}

export const REPLIES = {
  ok: { code: 250, status: '2.0.0', text: 'ok' },
  sender_ok: { code: 250, status: '2.1.0', text: 'sender ok' },
  recipient_ok: { code: 250, status: '2.1.5', text: 'recipient ok' },
  go_ahead: { code: 354, status: '', text: 'end data with <CR><LF>.<CR><LF>' },
  accepted: { code: 250, status: '2.0.0', text: 'accepted' },
  help: { code: 214, status: '2.0.0', text: 'see RFC 5321 4.1.1' },
  cannot_verify: { code: 252, status: '2.0.0', text: 'cannot verify, send the mail and see' }, // RFC 5321 7.3
  bye: { code: 221, status: '2.0.0', text: 'bye' },

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
  too_large: { code: 552, status: '5.3.4', text: 'message too large', reason: 'too_large' }, // RFC 1870 6.1
  too_many_recipients: { code: 452, status: '4.5.3', text: 'too many recipients', reason: 'too_many_rcpt' },
  one_recipient_only: { code: 452, status: '4.5.3', text: 'one recipient for a bounce', reason: 'too_many_rcpt' },
  other_size_limit: { code: 452, status: '4.5.3', text: 'send to this recipient separately', reason: 'too_many_rcpt' },
  too_many_sessions: { code: 421, status: '4.7.0', text: 'too many sessions, try again later', closes: true },
  too_many_errors: { code: 421, status: '4.7.0', text: 'too many errors', closes: true },
  idle: { code: 421, status: '4.4.2', text: 'idle for too long', closes: true },
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
  disabled: { code: 550, status: '5.2.1', text: 'mailbox disabled', reason: 'suspended' },

  // Syntax and order of commands.
  bad_sender: { code: 501, status: '5.1.7', text: 'bad sender address' },
  bad_recipient: { code: 501, status: '5.1.3', text: 'bad recipient address' },
  bad_argument: { code: 501, status: '5.5.4', text: 'bad argument' },
  bad_parameter: { code: 501, status: '5.5.4', text: 'bad parameter value' },
  unknown_parameter: { code: 555, status: '5.5.4', text: 'parameter not recognized' }, // RFC 5321 4.1.1.11
  utf8_not_announced: { code: 553, status: '5.6.7', text: 'non-ASCII address without SMTPUTF8' }, // RFC 6531 3.5
  bad_encoding: { code: 500, status: '5.5.2', text: 'command is not valid UTF-8' },
  line_too_long: { code: 500, status: '5.5.2', text: 'line too long', closes: true },
  unknown_command: { code: 500, status: '5.5.1', text: 'command not recognized' },
  not_implemented: { code: 502, status: '5.5.1', text: 'command not implemented' },
  hello_first: { code: 503, status: '5.5.1', text: 'send EHLO first' },
  nested_mail: { code: 503, status: '5.5.1', text: 'sender already given' },
  need_mail: { code: 503, status: '5.5.1', text: 'send MAIL first' },
  need_recipient: { code: 503, status: '5.5.1', text: 'send RCPT first' },
  no_valid_recipients: { code: 554, status: '5.5.1', text: 'no valid recipients' },
  early_talker: { code: 554, status: '5.5.1', text: 'wait for the greeting', closes: true },
  http: { code: 421, status: '4.7.0', text: 'this is SMTP', closes: true },
} as const satisfies Record<string, Reply>

export type ReplyName = keyof typeof REPLIES

/** The row of `name`, its text continued by `detail`. */
export function reply(name: ReplyName, detail = ''): Reply {
  const row: Reply = REPLIES[name]
  return detail === '' ? row : { ...row, text: `${row.text} ${detail}` }
}

/** What smtp-server 3.21.6 says by itself, told apart by its texts, and the row that is sent in its place. */
const LIBRARY: readonly (readonly [number, RegExp, ReplyName])[] = [
  [221, /^Bye/, 'bye'],
  [250, /^OK/, 'ok'],
  [421, /talk too soon/, 'early_talker'],
  [421, /HTTP requests/, 'http'],
  [421, /unrecognized commands/, 'too_many_errors'],
  [421, /Command line too long/, 'line_too_long'],
  [421, /^Timeout/, 'idle'],
  [500, /not recognized/, 'unknown_command'],
  [501, /HELO hostname|EHLO hostname|Bad hostname/, 'bad_argument'],
  [503, /HELO\/EHLO first/, 'hello_first'],
]

/** Commands that exist elsewhere and not here (RFC 5321 4.2.4: 502, not 500). */
const NOT_IMPLEMENTED = new Set(['AUTH', 'BDAT', 'ETRN', 'EXPN', 'STARTTLS', 'TURN'])

/** Our row for a reply of the library's own. An unexpected one is trouble of ours, so it is temporary. */
export function libraryReply(code: number, text: string, command: string): ReplyName {
  const name = LIBRARY.find(([its, pattern]) => its === code && pattern.test(text))?.[2] ?? 'internal'
  return name === 'unknown_command' && NOT_IMPLEMENTED.has(command.toUpperCase()) ? 'not_implemented' : name
}
