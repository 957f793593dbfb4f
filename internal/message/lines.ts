// Cuts a stream of bytes into lines without holding more than `keepBytes` of any line.

const LF = 0x0a
const CR = 0x0d

export interface Line {
  /** Without its line end, and at most `keepBytes` of it. */
  bytes: Buffer
  /** False if `bytes` is not all of the line. */
  whole: boolean
  /** Offset of the first byte. */
  start: number
  /** Offset behind the last byte that is not line end. */
  end: number
  /** Offset of the next line. */
  next: number
}

/** Return false to stop reading. */
export type OnLine = (line: Line) => boolean

export class LineReader {
  private readonly onLine: OnLine
  private readonly keepBytes: number
  private readonly terminator: number
  /** What is kept of the line under way, where it starts, and how long it is so far. */
  private held: Buffer[] = []
  private heldBytes = 0
  private start = 0
  private length = 0
  private lastByte = 0

  /** `bareCr`: lines end with a single CR. Otherwise with LF, a CR before it belonging to the line end. */
  constructor(options: { onLine: OnLine; keepBytes: number; bareCr: boolean }) {
    this.onLine = options.onLine
    this.keepBytes = options.keepBytes
    this.terminator = options.bareCr ? CR : LF
  }

  /** False once onLine has said so. */
  write(chunk: Buffer): boolean {
    let from = 0
    for (;;) {
      const at = chunk.indexOf(this.terminator, from)
      if (at < 0) break
      this.take(chunk.subarray(from, at))
      if (!this.emit(1)) return false
      from = at + 1
    }
    this.take(chunk.subarray(from))
    return true
  }

  /** The last line may have no end. */
  end(): void {
    if (this.length > 0) this.emit(0)
  }

  private take(bytes: Buffer): void {
    if (bytes.length === 0) return
    const room = this.keepBytes - this.heldBytes
    if (room > 0) {
      const kept = bytes.subarray(0, room)
      this.held.push(kept)
      this.heldBytes += kept.length
    }
    this.length += bytes.length
    this.lastByte = bytes[bytes.length - 1] ?? 0
  }

  private emit(terminatorBytes: number): boolean {
    const crBefore = this.terminator === LF && terminatorBytes === 1 && this.length > 0 && this.lastByte === CR ? 1 : 0
    const contentBytes = this.length - crBefore
    const [first] = this.held
    const held = this.held.length === 1 && first ? first : Buffer.concat(this.held)
    const line = {
      bytes: held.subarray(0, contentBytes),
      whole: contentBytes <= this.keepBytes,
      start: this.start,
      end: this.start + contentBytes,
      next: this.start + this.length + terminatorBytes,
    }
    this.start = line.next
    this.held = []
    this.heldBytes = 0
    this.length = 0
    return this.onLine(line)
  }
}
