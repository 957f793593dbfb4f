// Header fields as they stand in the message (RFC 5322 2.2): names, folded lines, bytes beyond ASCII.

import { isUtf8 } from 'node:buffer'

export interface Field {
  /** In lower case. */
  name: string
  /** Unfolded (RFC 5322 2.2.3), controls replaced, with its encoded words and comments. */
  value: string
  /** There were bytes that are not UTF-8. */
  latin1: boolean
  /** There was more than is kept. */
  cut: boolean
}

/** `name:` with the white space before the colon that RFC 5322 4.5 allows. */
const FIELD = /^([!-9;-~]{1,128})[ \t]*:/

/** Latin-1 as everybody reads it (WHATWG Encoding 4.2): 0x80 to 0x9f are letters and marks. */
const WESTERN = new TextDecoder('windows-1252')

/** True if `line` starts a header field. */
export const isField = (line: Buffer): boolean => FIELD.test(line.toString('latin1', 0, 256))

/** True if `line` continues the field above it. */
export const isFold = (line: Buffer): boolean => line[0] === 0x20 || line[0] === 0x09

/** Collects the lines of one header block into fields. Only wanted fields are kept, each up to `bytesMax`. */
export class FieldCollector {
  readonly fields: Field[] = []
  private readonly wanted: (name: string) => boolean
  private readonly bytesMax: number
  private name = ''
  private lines: Buffer[] = []
  private bytes = 0
  private cut = false

  constructor(wanted: (name: string) => boolean, bytesMax: number) {
    this.wanted = wanted
    this.bytesMax = bytesMax
  }

  /** `line` is without its line end; `whole` is false if its rest was left out. A line that is neither field nor fold is passed over. */
  add(line: Buffer, whole: boolean): void {
    if (!isFold(line)) {
      this.end()
      const found = FIELD.exec(line.toString('latin1', 0, 256))
      const name = found?.[1]?.toLowerCase() ?? ''
      if (!found || !this.wanted(name)) return
      this.name = name
      this.keep(line.subarray(found[0].length), whole)
    } else if (this.name !== '') this.keep(line, whole)
  }

  /** Call it once the block is over. */
  end(): void {
    if (this.name === '') return
    const bytes = Buffer.concat(this.lines)
    const latin1 = !this.cut && !isUtf8(bytes)
    const text = latin1 ? WESTERN.decode(bytes) : bytes.toString()
    const value = text.replace(/\p{Cc}/gu, ' ').trim()
    this.fields.push({ name: this.name, value, latin1, cut: this.cut })
    this.name = ''
    this.lines = []
    this.bytes = 0
    this.cut = false
  }

  private keep(line: Buffer, whole: boolean): void {
    const room = this.bytesMax - this.bytes
    this.cut ||= !whole || line.length > room
    if (room <= 0) return
    // A copy: the chunk that it stands in must not stay in memory.
    const kept = Buffer.from(line.subarray(0, room))
    this.lines.push(kept)
    this.bytes += kept.length
  }
}
