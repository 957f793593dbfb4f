// What one message may cost beyond the settings of ParseLimits: named bounds with their units.

const KIB = 1024
const MIB = 1024 * KIB

export const LIMITS = {
  /** Header lines of one block; real mail has well below 1 000. */
  headerLinesMax: 10_000,
  /** Bytes kept of one header field; the rest of it is not read. */
  fieldBytesMax: 64 * KIB,
  /** Bytes kept of a field of a part (the Content-* of RFC 2045 3): up to 1 000 parts are held at one time. */
  partFieldBytesMax: 16 * KIB,
  /** Bytes of a boundary. RFC 2046 5.1.1 allows 70; a line of RFC 5322 2.1.1 holds 998. */
  boundaryBytesMax: 998,
  attachmentsMax: 500,
  /** Bytes of an encoded text part that are decoded. */
  textInBytesMax: 2 * MIB,
  /** UTF-16 units of searchable text. */
  textOutMax: 64 * KIB,
  snippetMax: 200,
  subjectMax: 2_000,
  /** Addresses of one header, names and addresses cut to `addressMax` each. */
  addressesMax: 500,
  addressMax: 320,
  /** A longer Message-ID cannot stand on one line (RFC 5322 2.1.1) and is not used. */
  messageIdMax: 998,
  inReplyToMax: 10,
  referencesMax: 100,
  searchHeadersMax: 64,
  headerValueMax: 1_000,
  /** Bytes of a delivery report, and of what it returns, that are read. */
  reportBytesMax: 64 * KIB,
  /** Recipients of a delivery report; the rest is left out. */
  reportedRecipientsMax: 100,
  /** UTF-16 units of one of its values. */
  reportValueMax: 500,
  filenameBytesMax: 255,
  originalFilenameMax: 1_000,
  /** Bytes at the start of a message in which its line end is looked for. */
  lineEndSampleBytes: 64 * KIB,
} as const

/** What was parsed how: changes whenever the same bytes may give another ParsedMessage. */
export const PARSER = 'mailparser@3.9.31/4'
