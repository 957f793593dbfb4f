// What the index keeps of a message's own header. Of a field that may occur once the first counts, as in mail clients; the parser
// would take the last, so that a second From could change the sender after checks had seen the first.

import { isMark } from './automatic.ts'
import { cut, oneLine } from './clean.ts'
import { isoDate } from './date.ts'
import { decodeFields, type DecodedFields } from './decode.ts'
import type { Field } from './fields.ts'
import { LIMITS } from './limits.ts'
import type { Address, HeaderField, ParsedMessage } from './message.ts'
import type { Flag } from './reasons.ts'

/** RFC 5322 3.6: at most once. The MIME ones by RFC 2045 3. */
const ONCE = new Set(
  'from sender reply-to to cc bcc message-id in-reply-to references subject date content-type content-transfer-encoding mime-version'.split(
    ' ',
  ),
)

const DECODED = ['from', 'sender', 'to', 'cc', 'bcc', 'reply-to', 'subject']

/** Worth searching. A repeated field of ONCE is kept with them. */
const SEARCHABLE = new Set(
  [
    'authentication-results arc-authentication-results received-spf return-path delivered-to x-original-to x-envelope-to',
    'list-id list-unsubscribe list-unsubscribe-post list-post mailing-list precedence auto-submitted x-auto-response-suppress',
    'x-mailer user-agent x-originating-ip organization importance priority x-priority x-spam-status x-spam-flag x-spam-score',
    'x-failed-recipients feedback-id x-campaign x-entity-ref-id errors-to thread-topic thread-index content-type content-language',
  ].flatMap((line) => line.split(' ')),
)

export const isWanted = (name: string): boolean => ONCE.has(name) || SEARCHABLE.has(name) || isMark(name)

type HeaderPart = Pick<
  ParsedMessage,
  | 'headerMessageId'
  | 'inReplyTo'
  | 'references'
  | 'subject'
  | 'from'
  | 'sender'
  | 'to'
  | 'cc'
  | 'bcc'
  | 'replyTo'
  | 'fromRaw'
  | 'toRaw'
  | 'subjectRaw'
  | 'dateRaw'
  | 'date'
  | 'headers'
>

/** Reads the fields and adds to `flags` what is odd about them. */
export function readHeaders(fields: Field[], receivedCount: number, flags: Set<Flag>): HeaderPart {
  const first = new Map<string, Field>()
  for (const field of fields) {
    if (!first.has(field.name)) first.set(field.name, field)
    else if (ONCE.has(field.name)) flags.add('duplicate_header')
    if (field.latin1) flags.add('header_8bit')
    if (field.cut) flags.add('header_cut')
  }
  const raw = (name: string): string | undefined => first.get(name)?.value
  const decoded = decode(first, flags)
  const addresses = (name: string): Address[] => bounded(decoded.addresses.get(name) ?? [], first.get(name), flags)
  const from = addresses('from')
  if (!from.some(({ address }) => address.includes('@'))) flags.add('no_from')
  const [sender] = addresses('sender')
  const subject = decoded.subject ?? raw('subject')
  return {
    ...messageId(raw('message-id'), flags),
    inReplyTo: someIds(raw('in-reply-to') ?? '', LIMITS.inReplyToMax),
    references: someIds(raw('references') ?? '', LIMITS.referencesMax),
    ...(subject !== undefined && { subject: cut(oneLine(subject), LIMITS.subjectMax) }),
    from,
    ...(sender && { sender }),
    to: addresses('to'),
    cc: addresses('cc'),
    bcc: addresses('bcc'),
    replyTo: addresses('reply-to'),
    ...present({ fromRaw: raw('from'), toRaw: raw('to'), subjectRaw: raw('subject'), dateRaw: raw('date') }),
    ...date(raw('date'), flags),
    headers: searchable(fields, receivedCount, flags),
  }
}

type Raw = 'fromRaw' | 'toRaw' | 'subjectRaw' | 'dateRaw'

const present = (values: Record<Raw, string | undefined>): Partial<Record<Raw, string>> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))

function decode(first: Map<string, Field>, flags: Set<Flag>): DecodedFields {
  const fields = DECODED.flatMap((name) => first.get(name) ?? [])
  try {
    const decoded = decodeFields(fields)
    if (decoded.unknownCharset) flags.add('charset_unknown')
    return decoded
  } catch {
    // The subject and the addresses then stand as they were sent.
    flags.add('parse_failed')
    const addresses = new Map(fields.map(({ name, value }) => [name, plainAddresses(value)]))
    return { addresses, unknownCharset: false }
  }
}

const plainAddresses = (value: string): Address[] =>
  (value.match(/[^\s<>,;:"()]{1,256}@[^\s<>,;:"()]{1,256}/g) ?? []).map((address) => ({ name: '', address }))

function bounded(addresses: Address[], field: Field | undefined, flags: Set<Flag>): Address[] {
  // The last address of a field that was cut is half an address.
  const whole = field?.cut ? addresses.slice(0, -1) : addresses
  if (whole.length > LIMITS.addressesMax) flags.add('header_cut')
  return whole
    .slice(0, LIMITS.addressesMax)
    .map(({ name, address }) => ({
      name: cut(oneLine(name), LIMITS.addressMax),
      address: cut(oneLine(address), LIMITS.addressMax),
    }))
    .filter(({ name, address }) => name !== '' || address !== '')
}

const ID = /<[^<>]+>/g

function messageId(raw: string | undefined, flags: Set<Flag>): { headerMessageId?: string } {
  if (raw === undefined) return {}
  const id = firstId(raw)
  if (id !== undefined) return { headerMessageId: id }
  flags.add('bad_message_id')
  return {}
}

/** Cut ids would make different messages one, so an id that is too long is none. */
export function firstId(raw: string): string | undefined {
  const text = oneLine(raw)
  const id = text.match(ID)?.[0] ?? (/^[^\s<>]+$/.test(text) ? `<${text}>` : undefined)
  return id !== undefined && Buffer.byteLength(id) <= LIMITS.messageIdMax ? id : undefined
}

/** Of too many ids the first (where the conversation began) and the last (the nearest) are kept. */
function someIds(raw: string, max: number): string[] {
  const text = oneLine(raw)
  const bare = /^[^\s<>@]+@[^\s<>@]+$/.test(text) ? [`<${text}>`] : []
  const all = [...new Set(text.match(ID) ?? bare)].filter((id) => Buffer.byteLength(id) <= LIMITS.messageIdMax)
  return all.length <= max ? all : [...all.slice(0, 1), ...all.slice(1 - max)]
}

function date(raw: string | undefined, flags: Set<Flag>): { date?: string } {
  if (raw === undefined) {
    flags.add('no_date')
    return {}
  }
  const iso = isoDate(raw)
  if (iso === undefined) flags.add('bad_date')
  return iso === undefined ? {} : { date: iso }
}

function searchable(fields: Field[], receivedCount: number, flags: Set<Flag>): HeaderField[] {
  const seen = new Set<string>()
  const kept = fields.filter(({ name }) => {
    const again = seen.has(name)
    seen.add(name)
    return SEARCHABLE.has(name) || again
  })
  if (kept.length > LIMITS.searchHeadersMax) flags.add('header_cut')
  const found = kept
    .slice(0, LIMITS.searchHeadersMax)
    .map(({ name, value }) => ({ name, value: cut(oneLine(value), LIMITS.headerValueMax) }))
  return [...found, { name: 'received-count', value: String(receivedCount) }]
}
