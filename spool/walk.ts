// Goes through a segment frame by frame and believes nothing: recovery, reader and inspection all read the log by these rules.
import { crc32 } from 'node:zlib'
import type { FsFile } from './fs.ts'
import { decodeHeader, findMagic, HEADER_BYTES, type FrameHeader } from './frame.ts'
import { Ranges } from './ranges.ts'
import { decodeSegmentHeader, isReadable, SEGMENT_HEADER_BYTES, type Segment } from './segment.ts'

/** A whole valid frame and where it is. */
export interface Frame extends FrameHeader {
  segment: string
  offset: number
  end: number
  envelope: unknown
}

/** `bad`: bytes that are no frame, before one that is. `foreign`: a format version that this code must leave alone. */
export type Found =
  | { kind: 'frame'; frame: Frame }
  | { kind: 'bad'; offset: number; end: number; problem: string; ids: string[] }
  | { kind: 'foreign'; version: number }

const WINDOW_BYTES = 512 * 1024
// The headers named in the report of one bad stretch.
const IDS_MAX = 100

/** A stretch of a file in memory that moves forward. */
class Window {
  readonly #file: FsFile
  #buffer = Buffer.allocUnsafe(WINDOW_BYTES)
  #start = 0
  #length = 0

  constructor(file: FsFile) {
    this.#file = file
  }

  /** Up to `length` bytes at `offset`, fewer only at the end of the file. Valid until the next call. */
  async at(offset: number, length: number): Promise<Buffer> {
    if (offset < this.#start || offset + length > this.#start + this.#length) await this.#fill(offset, length)
    const from = offset - this.#start
    return this.#buffer.subarray(from, Math.min(from + length, Math.max(this.#length, from)))
  }

  /** The same, but only what is in memory already, and nothing where a part of it is not. */
  held(offset: number, length: number): Buffer | undefined {
    const from = offset - this.#start
    return from < 0 || from + length > this.#length ? undefined : this.#buffer.subarray(from, from + length)
  }

  forget(): void {
    this.#length = 0
  }

  async #fill(offset: number, length: number): Promise<void> {
    if (length > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(length)
    this.#start = offset
    this.#length = 0
    while (this.#length < length) {
      const read = await this.#file.read(this.#buffer.subarray(this.#length), offset + this.#length)
      if (read === 0) return
      this.#length += read
    }
  }
}

export class Walk {
  /** Where the next frame is expected. After next() found nothing more: the end of what is valid. */
  offset = 0
  /** After next(true) found nothing more: entries whose headers are readable behind the offset. */
  tailIds: string[] = []
  readonly #segment: Segment
  readonly #window: Window
  readonly #skip: Ranges
  #headerRead = false
  #headerBad = false
  #bad: { offset: number; end: number; problem: string; ids: string[] } | undefined
  #ahead: Frame | undefined

  /** Starts at the front; `skip` is passed over unread. */
  constructor(file: FsFile, segment: Segment, skip = new Ranges()) {
    this.#segment = segment
    this.#window = new Window(file)
    this.#skip = skip
  }

  /**
   * The next thing in the segment. Without `search` the first byte that is no valid frame ends the walk: more may come. With it, bytes
   * before a later valid frame are told as bad, and what remains at the end has no valid frame behind it. Call again to look again.
   */
  async next(search: boolean): Promise<Found | undefined> {
    const foreign = this.#headerRead ? undefined : await this.#readHeader(search)
    if (foreign !== undefined || !this.#headerRead) return foreign
    if (this.#ahead === undefined) {
      this.offset = this.#skip.after(this.offset)
      this.#ahead = search ? await this.#search() : await this.#frameAt(this.offset)
    }
    if (this.#ahead === undefined) this.#window.forget()
    return this.#take()
  }

  /** A copy of the inline body of the frame that next() has just found, where it is still in memory. */
  body({ kind, end, bodyBytes }: Frame): Buffer | undefined {
    const held = kind === 'inline' ? this.#window.held(end - bodyBytes, bodyBytes) : undefined
    return held && Buffer.from(held)
  }

  /** Hands out what #search() found: first the bad bytes, then the frame behind them. */
  #take(): Found | undefined {
    if (this.#bad !== undefined) {
      const { end, ...bad } = this.#bad
      this.#bad = undefined
      this.offset = end
      return { kind: 'bad', ...bad, end }
    }
    const frame = this.#ahead
    if (frame === undefined) return undefined
    this.#ahead = undefined
    this.offset = frame.end
    return { kind: 'frame', frame }
  }

  async #readHeader(search: boolean): Promise<Found | undefined> {
    const bytes = await this.#window.at(0, SEGMENT_HEADER_BYTES)
    const version = decodeSegmentHeader(bytes, this.#segment)
    if (version === 'bad') {
      this.#window.forget()
      if (!search || bytes.length < SEGMENT_HEADER_BYTES) return undefined
      this.#headerBad = !this.#skip.covers(0, SEGMENT_HEADER_BYTES)
    } else if (!isReadable(version)) return { kind: 'foreign', version }
    this.#headerRead = true
    // Where the header is damaged and no frame follows, the header belongs to what is not valid.
    if (version !== 'bad') this.offset = SEGMENT_HEADER_BYTES
    return undefined
  }

  /** The next valid frame at or behind the offset. What lies before it, or before what is skipped, becomes #bad. */
  async #search(): Promise<Frame | undefined> {
    const start = this.offset
    let at = this.#headerBad ? SEGMENT_HEADER_BYTES : start
    let bad = this.#headerBad ? { offset: start, problem: 'segment header', ids: [] as string[] } : undefined
    for (;;) {
      const skipped = this.#skip.after(at) > at
      const frame = skipped ? undefined : await this.#frameAt(at)
      if (skipped || frame !== undefined) {
        this.#headerBad = false
        if (bad !== undefined) this.#bad = { ...bad, end: at }
        return frame
      }
      if ((await this.#window.at(at, 1)).length === 0) break
      const header = await this.#headerAt(at)
      bad ??= { offset: at, problem: header === undefined ? 'frame header' : 'frame payload', ids: [] }
      if (header !== undefined && bad.ids.length < IDS_MAX) bad.ids.push(header.id)
      const next = await this.#nextHeader(at + 1)
      if (next === undefined) break
      at = next
    }
    this.tailIds = bad?.ids ?? []
    return undefined
  }

  async #headerAt(offset: number): Promise<FrameHeader | undefined> {
    return decodeHeader(await this.#window.at(offset, HEADER_BYTES), this.#segment.salt)
  }

  async #nextHeader(from: number): Promise<number | undefined> {
    for (let at = from; ;) {
      const bytes = await this.#window.at(at, WINDOW_BYTES)
      if (bytes.length < HEADER_BYTES) return undefined
      const found = findMagic(bytes, 0)
      // The last bytes may be the front of a magic that the next window shows whole.
      if (found === -1) at += bytes.length - 3
      else if (decodeHeader(bytes.subarray(found), this.#segment.salt) !== undefined) return at + found
      else if (bytes.length - found >= HEADER_BYTES) at += found + 1
      else if (found === 0) return undefined
      else at += found
    }
  }

  async #frameAt(offset: number): Promise<Frame | undefined> {
    const header = await this.#headerAt(offset)
    if (header === undefined) return undefined
    const inline = header.kind === 'inline' ? header.bodyBytes : 0
    if (header.inlineBytes !== inline) return undefined
    const bodyAt = offset + HEADER_BYTES + header.envelopeBytes
    const end = bodyAt + inline
    const text = await this.#window.at(offset + HEADER_BYTES, header.envelopeBytes)
    if (text.length < header.envelopeBytes) return undefined
    const envelope = parsed(text)
    const crc = await this.#crc(crc32(text), bodyAt, end)
    if (crc !== header.payloadCrc || envelope === undefined) return undefined
    return { ...header, segment: this.#segment.name, offset, end, envelope }
  }

  async #crc(start: number, from: number, end: number): Promise<number | undefined> {
    let crc = start
    for (let at = from; at < end;) {
      const bytes = await this.#window.at(at, Math.min(end - at, WINDOW_BYTES))
      if (bytes.length === 0) return undefined
      crc = crc32(bytes, crc)
      at += bytes.length
    }
    return crc
  }
}

function parsed(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString())
  } catch {
    return undefined // the same as a payload that fails its CRC: not a frame
  }
}
