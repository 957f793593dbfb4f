// The one place that calls mailparser: header values, text and files, each in a small message of our own making that holds nothing
// else, so that none of its limits and guesses about structure come into play. Its streams cost most of what a small mail costs, so
// header values go without them, and text that needs no decoder goes without it.

import { createWriteStream } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MailParser, type AttachmentStream, type EmailAddress, type HeaderValue, type MessageText } from 'mailparser'
import { charsetOf, guessed, withKnownCharsets } from './charset.ts'
import type { Field } from './fields.ts'
import type { Address } from './message.ts'
import { parameter } from './parameters.ts'
import { readRaw, type Raw } from './raw.ts'
import type { Part } from './structure.ts'

/** No conversions between HTML and text: 400 000 nested elements take them 40 s. */
const OPTIONS = {
  skipHtmlToText: true,
  skipTextToHtml: true,
  skipTextLinks: true,
  skipImageLinks: true,
  ignoreEmbedded: true,
  checksumAlgo: 'sha256',
}

/** Bytes of a message; `end` is not part of them. `bareCr`: its lines end with CR alone. */
export interface Range {
  raw: Raw
  start: number
  end: number
  bareCr: boolean
}

export interface DecodedFields {
  addresses: Map<string, Address[]>
  subject?: string
  unknownCharset: boolean
}

/** What the parser does with a header once it has its lines: of its own, not of its types. Values are the bytes as Latin-1. */
interface HeaderParser {
  processHeaders(lines: readonly { key: string; line: string }[]): Map<string, HeaderValue>
}

/** Keeps nothing of a header. */
const HEADER_PARSER = new MailParser(OPTIONS) as unknown as HeaderParser

/** As the parser's own for a header block, which bytes above ASCII may reach when they become UTF-8. */
const HEAD_BYTES_MAX = 1024 * 1024

/** Decodes address fields and the subject (RFC 2047 5). Give each name once. Throws what the parser throws. */
export function decodeFields(fields: readonly Field[]): DecodedFields {
  const mended = fields.map((field) => ({ name: field.name, ...withKnownCharsets(field.value) }))
  const lines = mended.map(({ name, value }) => ({ key: name, line: asLatin1(`${name}: ${value}`) }))
  const headBytes = lines.reduce((sum, { line }) => sum + line.length + 2, 2)
  if (headBytes > HEAD_BYTES_MAX) throw new RangeError(`a header of ${headBytes} bytes to decode`)
  const headers = HEADER_PARSER.processHeaders(lines)
  const addresses = new Map<string, Address[]>()
  for (const { name } of fields) {
    const value = headers.get(name)
    if (typeof value === 'object' && 'text' in value && 'html' in value) addresses.set(name, flat(value.value))
  }
  const subject = headers.get('subject')
  const unknownCharset = mended.some((field) => field.unknown)
  return { addresses, unknownCharset, ...(typeof subject === 'string' && { subject }) }
}

/** The members of groups stand in for them (RFC 5322 3.4). */
function flat(entries: EmailAddress[]): Address[] {
  const found: Address[] = []
  const left = entries.toReversed()
  for (let entry = left.pop(); entry; entry = left.pop()) {
    if (entry.group) for (const member of entry.group.toReversed()) left.push(member)
    else found.push({ name: entry.name, address: entry.address ?? '' })
  }
  return found
}

const asLatin1 = (text: string): string => Buffer.from(text).toString('latin1')

/** Text of a part: transfer encoding, charset and format=flowed (RFC 3676 4) undone. */
export async function decodeText(part: Part, range: Range): Promise<{ text: string; unknownCharset: boolean }> {
  const charset = charsetOf(parameter(part.type, 'charset'))
  const flowed = ['format', 'delsp'].map((name) => [name, parameter(part.type, name)?.toLowerCase()] as const)
  const params = flowed
    .filter(([, value]) => /^(flowed|yes)$/.test(value ?? ''))
    .map(([name, value]) => `; ${name}=${value}`)
  const encoding = encodingField(part)
  const unknownCharset = charset.unknown
  if (encoding === '' && params.length === 0 && (charset.guess || charset.name === 'utf-8')) {
    const bytes = await allBytes(range)
    const text = charset.guess ? guessed(bytes) : bytes.toString()
    // As the parser has it: a CR before CR LF stays.
    return { text: text.replaceAll('\r\n', '\n'), unknownCharset }
  }
  const head = `Content-Type: text/plain; charset=${charset.name}${params.join('')}\r\n${encoding}`
  let text = ''
  await run(head, bytesOf(range), { onText: (found) => (text = found) })
  return { text: charset.guess ? guessed(Buffer.from(text, 'latin1')) : text, unknownCharset }
}

export interface DecodedFile {
  /** As sent, decoded (RFC 2047 2, RFC 2231 4); may be anything. */
  filename?: string
  contentType: string
  sizeBytes: number
  sha256: string
  unknownCharset: boolean
}

/** Writes a part's decoded bytes to `target`. Rejects with the file system's error if it cannot. */
export async function decodeFile(part: Part, range: Range, target: string): Promise<DecodedFile> {
  const names = (['disposition', 'type'] as const).map((of) => {
    const wanted = of === 'type' ? 'name' : 'filename'
    return part[of].params
      .filter((p) => p.name.split('*')[0] === wanted)
      .map((p) => `; ${p.name}=${p.raw}`)
      .join('')
  })
  const [filename, name] = names.map((text) => withKnownCharsets(text))
  const type = `Content-Type: ${part.type.value}${name?.value ?? ''}\r\n`
  const head = `${type}Content-Disposition: attachment${filename?.value ?? ''}\r\n${encodingField(part)}`
  const found: AttachmentStream[] = []
  const onFile = async (file: AttachmentStream): Promise<void> => {
    found.push(file)
    await pipeline(Readable.from(file.content as Readable), createWriteStream(target))
  }
  await run(head, bytesOf(range), { onFile })
  const [file] = found
  if (!file || found.length > 1) throw new Error(`a part gave ${found.length} files`)
  return {
    ...(file.filename && { filename: file.filename }),
    contentType: file.contentType,
    sizeBytes: file.size,
    sha256: file.checksum,
    unknownCharset: filename?.unknown === true || name?.unknown === true,
  }
}

const encodingField = (part: Part): string =>
  /^(base64|quoted-printable)$/.test(part.encoding) ? `Content-Transfer-Encoding: ${part.encoding}\r\n` : ''

type Bytes = Iterable<Buffer> | AsyncIterable<Buffer>

function bytesOf({ raw, bareCr, ...place }: Range): Bytes {
  const bytes = readRaw(raw, place)
  return bareCr ? withLf(bytes) : bytes
}

async function* withLf(bytes: Bytes): AsyncIterable<Buffer> {
  for await (const chunk of bytes) yield chunk.map((byte) => (byte === 0x0d ? 0x0a : byte)) as Buffer
}

async function allBytes(range: Range): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of bytesOf(range)) chunks.push(chunk)
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
}

interface Handlers {
  onText?(text: string): void
  onFile?(file: AttachmentStream): Promise<void>
}

/** Parses `head`, a blank line and `body`. Rejects with what the parser, the source or a handler throws. */
async function run(head: string, body: Bytes, handlers: Handlers): Promise<void> {
  const parser = new MailParser(OPTIONS)
  // The parser may end before the last file is written.
  const takings: Promise<void>[] = []
  parser.on('data', (data: AttachmentStream | MessageText) => {
    if (data.type === 'text') return handlers.onText?.(data.text ?? '')
    const taken =
      handlers.onFile?.(data) ?? pipeline(Readable.from(data.content as Readable), new PassThrough().resume())
    takings.push(taken)
    void taken.then(
      () => data.release(),
      (thrown: Error) => parser.destroy(thrown),
    )
  })
  const over = new Promise<void>((resolve, reject) => parser.on('end', resolve).on('error', reject))
  const written = async (): Promise<void> => {
    parser.write(Buffer.from(`${head}\r\n`))
    for await (const chunk of body) {
      if (parser.destroyed) return
      if (!parser.write(chunk)) await Promise.race([new Promise((resolve) => parser.once('drain', resolve)), over])
    }
    parser.end()
  }
  try {
    await Promise.all([written(), over])
    await Promise.all(takings)
  } finally {
    parser.destroy()
  }
}
