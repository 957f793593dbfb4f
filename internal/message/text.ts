// The searchable text of a message: of alternatives the plain one, of everything else all of it, in order.

import { beginningLines, cut, oneLine } from './clean.ts'
import { decodeText, type Range } from './decode.ts'
import { htmlText } from './html.ts'
import { LIMITS } from './limits.ts'
import type { Flag } from './reasons.ts'
import { isFile, type Part } from './structure.ts'
import { isFileSystemError } from './trouble.ts'

/** Reports and headers that are written for people as much as for programs (RFC 3464 2, RFC 8098 3, RFC 5965 3). */
const READABLE = new Set([
  'message/delivery-status',
  'message/global-delivery-status',
  'message/disposition-notification',
  'message/global-disposition-notification',
  'message/feedback-report',
])

/** Text in form, files in use: recorded as attachments also without a name. */
const DATA = new Set([
  'text/calendar',
  'text/csv',
  'text/vcard',
  'text/x-vcard',
  'text/directory',
  'text/xml',
  'text/rtf',
])

/** A part whose content is read as text. A multipart without parts is one body (RFC 2046 5.1 asks for one part at least). */
export function isText(part: Part): boolean {
  const { value } = part.type
  if (value.startsWith('multipart/')) return part.children.length === 0
  if (isFile(part) || DATA.has(value)) return false
  return value.startsWith('text/') || READABLE.has(value)
}

export const isHtml = (part: Part): boolean => isText(part) && part.type.value === 'text/html'

/** Has a name but is not said to be an attachment: mail programs show it, so it is text if there is no other. */
const isNamedText = (part: Part): boolean =>
  /^text\/(plain|html)$/.test(part.type.value) && part.disposition.value !== 'attachment' && part.children.length === 0

export interface TextSource {
  root: Part
  flags: Set<Flag>
  range(part: Part): Range
}

/** Reads parts until the text is as long as it may be. */
export async function searchableText(source: TextSource): Promise<{ text: string; snippet: string }> {
  const own = await textOf(source.root, { ...source, isRead: isText })
  const read = own.trim() === '' ? await textOf(source.root, { ...source, isRead: isNamedText }) : own
  const lines = beginningLines(read, LIMITS.textOutMax)
  const text = cut(lines, LIMITS.textOutMax)
  if (text.length < lines.length) source.flags.add('text_cut')
  return { text, snippet: cut(oneLine(text.slice(0, LIMITS.snippetMax * 4)), LIMITS.snippetMax) }
}

interface Reading extends TextSource {
  isRead(part: Part): boolean
}

async function textOf(part: Part, source: Reading, room: number = LIMITS.textOutMax): Promise<string> {
  if (source.isRead(part)) return leafText(part, source)
  const alternative = part.type.value === 'multipart/alternative'
  const inOrder = alternative ? part.children.toSorted((a, b) => rank(a) - rank(b)) : part.children
  let text = ''
  for (const child of inOrder) {
    if (text.length > room) {
      source.flags.add('text_cut')
      break
    }
    const more = await textOf(child, source, room - text.length)
    if (more.trim() === '') continue
    if (alternative) return more
    text += `${text === '' ? '' : '\n\n'}${more}`
  }
  return text
}

/** RFC 2046 5.1.4 puts the richest last; plain text needs no guessing, so it comes first. Equal ones stay in order. */
function rank(part: Part): number {
  if (part.type.value === 'text/plain' && isText(part)) return 0
  return part.type.value === 'text/html' || part.children.length > 0 ? 1 : 2
}

async function leafText(part: Part, { flags, ...source }: TextSource): Promise<string> {
  const { start, end, ...rest } = source.range(part)
  const cutEnd = Math.min(end, start + LIMITS.textInBytesMax)
  const html = part.type.value === 'text/html'
  if (cutEnd < end) flags.add(html ? 'html_skipped' : 'text_cut')
  const { text, unknownCharset } = await decodeText(part, { ...rest, start, end: cutEnd }).catch((thrown: unknown) => {
    if (isFileSystemError(thrown)) throw thrown
    flags.add('parse_failed')
    return { text: '', unknownCharset: false }
  })
  if (unknownCharset) flags.add('charset_unknown')
  return html ? htmlText(text) : text
}
