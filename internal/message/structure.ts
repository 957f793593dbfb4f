// Our own reading of a message's structure: one pass over the raw bytes that finds the header fields and where each MIME part
// begins and ends, and refuses what is beyond the limits before anything is decoded.
//
// Why not the parser's: it loses the body at boundary lines with trailing space (RFC 2046 5.1.1 transport padding), takes the last
// of two headers, and throws the whole message away at its limits. It is given one part at a time, under headers we wrote.

import { FieldCollector, isField, type Field } from './fields.ts'
import { LIMITS } from './limits.ts'
import { LineReader, type Line } from './lines.ts'
import type { ParseLimits } from './message.ts'
import { parameter, structured, type Structured } from './parameters.ts'
import type { Flag, QuarantineReason } from './reasons.ts'

export interface Part {
  type: Structured
  /** Empty value if there is no Content-Disposition. */
  disposition: Structured
  /** Content-Transfer-Encoding in lower case, empty if there is none. */
  encoding: string
  /** Without its angle brackets (RFC 2392 2), empty if there is none. */
  contentId: string
  /** Offsets of the body in the message; `bodyEnd` is not part of it. Of a multipart: everything inside. */
  bodyStart: number
  bodyEnd: number
  children: Part[]
  parent?: Part
}

export interface Structure {
  root: Part
  /** Wanted fields of the message's own header, in order. */
  fields: Field[]
  receivedCount: number
  bareCr: boolean
  flags: Set<Flag>
}

/** Thrown by the scanner when a message is beyond a limit. */
export class Refused extends Error {
  readonly reason: QuarantineReason

  constructor(reason: QuarantineReason, detail: string) {
    super(detail)
    this.name = 'Refused'
    this.reason = reason
  }
}

const PART_FIELDS = new Set(['content-type', 'content-disposition', 'content-transfer-encoding', 'content-id'])

interface Open {
  part: Part
  depth: number
  collector: FieldCollector
  headerBytes: number
  headerLines: number
  state: 'header' | 'body'
  boundary?: string
  closed: boolean
}

/** Reads a whole message from `chunks`. `wanted` names the fields to keep of its header. Throws Refused. */
export async function readStructure(
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  options: { sizeBytes: number; limits: ParseLimits; wanted: (name: string) => boolean },
): Promise<Structure> {
  const scanner = new Scanner(options)
  let reader: LineReader | undefined
  for await (const chunk of chunks) {
    if (!reader) {
      const sample = chunk.subarray(0, LIMITS.lineEndSampleBytes)
      const bareCr = sample.includes('\r') && !sample.includes('\n') && sample.length > 1
      scanner.sampled(bareCr, sample.includes(0))
      reader = new LineReader({ onLine: (line) => scanner.line(line), keepBytes: LIMITS.fieldBytesMax, bareCr })
    }
    if (!reader.write(chunk)) break
  }
  reader?.end()
  return scanner.finish()
}

class Scanner {
  private bareCr = false
  private binary = false
  private readonly limits: ParseLimits
  private readonly sizeBytes: number
  private readonly flags = new Set<Flag>()
  private readonly root: Open
  /** From the message down to the part that is being read. */
  private readonly path: Open[]
  /** Boundary to its place in `path`; of two equal ones the inner. */
  private boundaries = new Map<string, number>()
  private parts = 1
  private receivedCount = 0
  private previousEnd = 0

  constructor(options: { sizeBytes: number; limits: ParseLimits; wanted: (name: string) => boolean }) {
    this.limits = options.limits
    this.sizeBytes = options.sizeBytes
    const wanted = (name: string): boolean => {
      if (name === 'received') this.receivedCount += 1
      return options.wanted(name) || PART_FIELDS.has(name)
    }
    this.root = opened(0, new FieldCollector(wanted, LIMITS.fieldBytesMax))
    this.path = [this.root]
  }

  /** What the first bytes say: lines end with CR alone, there are NULs. */
  sampled(bareCr: boolean, binary: boolean): void {
    this.bareCr = bareCr
    this.binary = binary
  }

  /** False once nothing that follows can matter: the rest is one body. */
  line(line: Line): boolean {
    const { bytes } = line
    if (bytes[0] === 0x2d && bytes[1] === 0x2d && this.delimiter(line)) {
      this.previousEnd = line.end
      return true
    }
    const open = this.current()
    if (open.state === 'header') this.headerLine(open, line)
    this.previousEnd = line.end
    return open.state === 'header' || this.boundaries.size > 0
  }

  finish(): Structure {
    for (const open of this.path.toReversed()) this.endPart(open, this.sizeBytes, this.sizeBytes)
    if (this.root.headerBytes === 0 && this.binary) throw new Refused('malformed', 'binary data without any header')
    if (this.sizeBytes === 0) this.flags.add('empty')
    else if (this.root.headerBytes === 0) this.flags.add('no_header')
    if (this.bareCr) this.flags.add('bare_cr')
    const { fields } = this.root.collector
    const { receivedCount, bareCr, flags } = this
    return { root: this.root.part, fields, receivedCount, bareCr, flags }
  }

  private current(): Open {
    return this.path.at(-1) ?? this.root
  }

  private headerLine(open: Open, line: Line): void {
    if (line.bytes.length === 0 && line.whole) return this.headerDone(open, line.next)
    if (open.headerLines === 0 && !isField(line.bytes)) {
      // mbox separators stand before real headers; anything else means that there are none.
      const isMbox = open === this.root && line.start === 0 && /^>?From /.test(line.bytes.toString('latin1', 0, 8))
      if (!isMbox) return this.headerDone(open, line.start)
      return
    }
    open.headerBytes += line.next - line.start
    open.headerLines += 1
    const { headerBytesMax } = this.limits
    if (open.headerBytes > headerBytesMax) {
      throw new Refused('header_size', `a header block of more than ${headerBytesMax} bytes`)
    }
    if (open.headerLines > LIMITS.headerLinesMax) {
      throw new Refused('header_count', `a header block of more than ${LIMITS.headerLinesMax} lines`)
    }
    open.collector.add(line.bytes, line.whole)
  }

  private headerDone(open: Open, bodyStart: number): void {
    const { part, collector } = open
    collector.end()
    open.state = 'body'
    part.bodyStart = bodyStart
    describe(part, collector.fields)
    if (open !== this.root && collector.fields.some((field) => field.cut)) this.flags.add('header_cut')
    if (!part.type.value.startsWith('multipart/')) return
    // RFC 2046 5.1.1: a boundary does not end with white space.
    const boundary = parameter(part.type, 'boundary')?.trimEnd() ?? ''
    if (boundary === '' || Buffer.byteLength(boundary) > LIMITS.boundaryBytesMax) return
    open.boundary = Buffer.from(boundary).toString('latin1')
    this.indexBoundaries()
  }

  /** Ends and begins parts if this line is a delimiter of an open multipart (RFC 2046 5.1.1). Exact match, then white space only. */
  private delimiter(line: Line): boolean {
    if (this.boundaries.size === 0 || line.bytes.length > LIMITS.boundaryBytesMax * 2) return false
    const text = line.bytes.toString('latin1', 2).replace(/[ \t]+$/, '')
    const begins = this.boundaries.get(text)
    const closes = begins === undefined && text.endsWith('--') ? this.boundaries.get(text.slice(0, -2)) : undefined
    const at = begins ?? closes
    if (at === undefined) return false
    this.endParts(at + 1, line)
    const multipart = this.path[at] ?? this.root
    if (begins !== undefined) this.beginPart(multipart, line)
    else multipart.closed = true
    return true
  }

  /** Ends everything below `depth`. The line end before a delimiter belongs to the delimiter. */
  private endParts(depth: number, delimiter: Line): void {
    for (const open of this.path.splice(depth).toReversed()) this.endPart(open, delimiter.start, this.previousEnd)
    this.indexBoundaries()
  }

  private endPart(open: Open, headerEnd: number, bodyEnd: number): void {
    if (open.state === 'header') this.headerDone(open, headerEnd)
    open.part.bodyEnd = Math.max(open.part.bodyStart, bodyEnd)
    if (open.boundary !== undefined && !open.closed) this.flags.add('unclosed')
    if (open.part.type.value.startsWith('multipart/') && open.part.children.length === 0) this.flags.add('no_parts')
  }

  private beginPart(parent: Open, delimiter: Line): void {
    this.parts += 1
    if (this.parts > this.limits.partsMax) {
      throw new Refused('mime_parts', `more than ${this.limits.partsMax} MIME parts`)
    }
    if (parent.depth + 1 > this.limits.depthMax) {
      throw new Refused('mime_depth', `MIME parts nested deeper than ${this.limits.depthMax}`)
    }
    const collector = new FieldCollector((name) => PART_FIELDS.has(name), LIMITS.partFieldBytesMax)
    const child = opened(parent.depth, collector)
    child.part.bodyStart = delimiter.next
    child.part.parent = parent.part
    parent.part.children.push(child.part)
    this.path.push(child)
  }

  private indexBoundaries(): void {
    this.boundaries = new Map()
    for (const [at, open] of this.path.entries())
      if (open.boundary !== undefined) this.boundaries.set(open.boundary, at)
  }
}

const NOTHING: Structured = { value: '', params: [] }

function opened(parentDepth: number, collector: FieldCollector): Open {
  const part = {
    type: NOTHING,
    disposition: NOTHING,
    encoding: '',
    contentId: '',
    bodyStart: 0,
    bodyEnd: 0,
    children: [],
  }
  return { part, depth: parentDepth + 1, collector, headerBytes: 0, headerLines: 0, state: 'header', closed: false }
}

const FILE = 'application/octet-stream'

const hasParameter = (from: Structured, name: string): boolean =>
  from.params.some((each) => each.name.split('*')[0] === name)

/** Has a file name, in either place. */
export const isNamed = ({ type, disposition }: Pick<Part, 'type' | 'disposition'>): boolean =>
  hasParameter(disposition, 'filename') || hasParameter(type, 'name')

/** Says so itself: disposition attachment, or a file name. */
export function isFile(part: Pick<Part, 'type' | 'disposition'>): boolean {
  const { disposition } = part
  const other = disposition.value !== '' && disposition.value !== 'inline' && disposition.value !== 'attachment'
  // RFC 2183 2.8: an unknown disposition is taken as attachment.
  return disposition.value === 'attachment' || other || isNamed(part)
}

/** The first field of each name counts. */
function describe(part: Part, fields: Field[]): void {
  const first = (name: string): string | undefined => fields.find((field) => field.name === name)?.value
  const type = structured(first('content-type') ?? '')
  // RFC 2046 5.1.5: parts of a digest are messages. RFC 2045 5.2: anything else without a usable type is plain text.
  part.disposition = structured(first('content-disposition') ?? '')
  const fallback =
    part.parent?.type.value === 'multipart/digest' ? 'message/rfc822' : isFile(part) ? FILE : 'text/plain'
  part.type = /^[\w.+-]+\/[\w.+-]+$/.test(type.value) ? type : { value: fallback, params: type.params }
  part.encoding = structured(first('content-transfer-encoding') ?? '').value
  part.contentId = (first('content-id') ?? '').trim().replace(/^<|>$/g, '')
}
