// The closed sets of what may be wrong with a message: reasons to set it aside, and flags of one that is indexed all the same.

/** Why a message is quarantined. `kind` is the label of parse_failures_total. */
export const QUARANTINE_REASONS = {
  mime_depth: { kind: 'limit', meaning: 'MIME parts are nested deeper than MIME_DEPTH_MAX' },
  mime_parts: { kind: 'limit', meaning: 'more MIME parts than MIME_PARTS_MAX' },
  header_size: { kind: 'limit', meaning: 'a header block larger than MIME_HEADER_MAX' },
  header_count: { kind: 'limit', meaning: 'more header lines than a message can need' },
  too_many_attachments: { kind: 'limit', meaning: 'more attachments than are recorded for one message' },
  parse_timeout: { kind: 'timeout', meaning: 'not parsed within PARSER_DEADLINE_MS' },
  parse_memory: { kind: 'limit', meaning: 'parsing took more memory than PARSER_MEMORY_MAX' },
  parse_crash: { kind: 'crash', meaning: 'the parser died of it, twice' },
  malformed: { kind: 'malformed', meaning: 'no part of it can be read as a message' },
} as const satisfies Record<string, { kind: FailureKind; meaning: string }>

export type FailureKind = 'limit' | 'timeout' | 'malformed' | 'crash'
export type QuarantineReason = keyof typeof QUARANTINE_REASONS

/** What is odd about a message that was parsed all the same. */
export const FLAGS = {
  empty: 'the message has no bytes',
  no_header: 'there is no header block; all of it was taken as the body',
  no_from: 'no From header with an address',
  no_date: 'no Date header',
  bad_date: 'a Date header that is no date, or outside the years 1970 to 2100',
  bad_message_id: 'a Message-ID header that is too long or holds no <id>',
  duplicate_header: 'a header that may occur once occurs again (RFC 5322 3.6); the first was taken',
  header_8bit: 'header bytes outside ASCII that are not UTF-8, read as Latin-1',
  header_cut: 'header values or lists were cut to their limit',
  bare_cr: 'line ends that are a single CR',
  charset_unknown: 'a charset that is unknown or refused; the text was read as UTF-8 or Latin-1',
  no_parts: 'a multipart without any part',
  unclosed: 'a multipart without its closing boundary',
  parse_failed: 'the parser gave up on a part or on the header, which stand as they were sent',
  html_skipped: 'HTML too large or too deep to read in full',
  text_cut: 'the text was cut to its limit',
} as const satisfies Record<string, string>

export type Flag = keyof typeof FLAGS
