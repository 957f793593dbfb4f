// Names of attachments for people: what the sender wrote, without anything that a path, a header line or a screen could be fooled by.

import { oneLine } from './clean.ts'
import { LIMITS } from './limits.ts'

/** Names that Windows takes for devices, whatever follows the first dot. */
const DEVICE = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)\s*(\.|$)/i

/** For files without a name. Others get `.bin`. */
const EXTENSIONS: Readonly<Record<string, string>> = {
  'application/ms-tnef': '.dat',
  'application/pdf': '.pdf',
  'application/pgp-signature': '.asc',
  'application/pkcs7-signature': '.p7s',
  'application/x-pkcs7-signature': '.p7s',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': '.xlsx',
  'application/xml': '.xml',
  'application/json': '.json',
  'application/zip': '.zip',
  'image/gif': '.gif',
  'image/jpeg': '.jpg',
  'image/png': '.png',
  'message/rfc822': '.eml',
  'message/global': '.eml',
  'text/calendar': '.ics',
  'text/csv': '.csv',
  'text/html': '.html',
  'text/plain': '.txt',
  'text/vcard': '.vcf',
  'text/x-vcard': '.vcf',
  'text/xml': '.xml',
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Display names of one message's attachments: each 1 to 255 bytes of UTF-8, none twice (letter case aside). */
export class Filenames {
  private readonly taken = new Set<string>()
  private count = 0

  next(sent: string | undefined, contentType: string): string {
    this.count += 1
    const name = displayName(sent ?? '') || `attachment-${this.count}${EXTENSIONS[contentType] ?? '.bin'}`
    for (let copy = 1; ; copy += 1) {
      const unique = fitted(name, copy === 1 ? '' : ` (${copy})`)
      if (this.taken.has(unique.toLowerCase())) continue
      this.taken.add(unique.toLowerCase())
      return unique
    }
  }
}

/** Empty if nothing of it can stand. */
function displayName(sent: string): string {
  const last = sent.split(/[/\\]/).at(-1) ?? ''
  // A dot or a space at the end is dropped by Windows, and would bring back what was refused.
  const name = oneLine(last.replaceAll('\0', '')).replace(/[. ]+$/, '')
  return DEVICE.test(name) ? `_${name}` : name
}

/** Cuts before the extension, so that `name` with `suffix` fits. */
function fitted(name: string, suffix: string): string {
  if (suffix === '' && Buffer.byteLength(name) <= LIMITS.filenameBytesMax) return name
  const dot = name.lastIndexOf('.')
  const extension = dot > 0 && Buffer.byteLength(name.slice(dot)) <= 20 ? name.slice(dot) : ''
  const room = LIMITS.filenameBytesMax - Buffer.byteLength(extension + suffix)
  let stem = ''
  let bytes = 0
  for (const { segment } of segmenter.segment(name.slice(0, name.length - extension.length).slice(0, room))) {
    bytes += Buffer.byteLength(segment)
    if (bytes > room) break
    stem += segment
  }
  return stem.trimEnd() + suffix + extension
}
