// What of a mail's octets the checks are given, so that no mail costs them more than others of its size: mailauth reads a line over
// again with each piece of it, looks at a header block octet by octet, and hashes the body once for each signature.

/** Octets of the header block; the rest of a longer one is left out. */
const HEADER_BYTES_MAX = 256 * 1024
/** Signatures that are tried, from the top (RFC 6376 6.1 leaves the number to us). */
export const SIGNATURES_MAX = 8
/** Past a line of so many octets nothing more is read, so that signatures of the body fail. RFC 5322 2.1.1 allows 998. */
const LINE_BYTES_MAX = 256 * 1024
/** Pieces are put together to this size. */
const BLOCK_BYTES = 64 * 1024

const LF = 0x0a
const CR = 0x0d
const CRLF = Buffer.from('\r\n')
const EMPTY_LINE = Buffer.from('\r\n\r\n')

export class IntakeGate {
  #pieces: Buffer[] = []
  #bytes = 0
  /** Still in the header block. */
  #inHeader = true
  #signatures = 0
  /** The last octets, where the empty line may have begun. A mail that begins with an empty line has no header block. */
  #seam = CRLF
  /** Octets since the last line end. */
  #line = 0
  #last = 0
  #closed = false

  /** The next octets; what is ready to be read. */
  take(chunk: Buffer): Buffer[] {
    if (this.#closed) return []
    const octets = this.#withLineEnds(chunk)
    this.#measure(octets)
    this.#pieces.push(octets)
    this.#bytes += octets.length
    if (this.#inHeader) return this.#header(octets)
    return this.#bytes >= BLOCK_BYTES || this.#closed ? [this.#block()] : []
  }

  /** What is left at the end. */
  rest(): Buffer {
    const block = this.#block()
    return this.#inHeader ? this.#fewSignatures(block) : block
  }

  #block(): Buffer {
    const block = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#bytes = 0
    return block
  }

  #header(octets: Buffer): Buffer[] {
    const seam = Buffer.concat([this.#seam, octets])
    this.#seam = seam.subarray(-3)
    const found = seam.includes(EMPTY_LINE)
    if (!found && this.#bytes < HEADER_BYTES_MAX) return []
    this.#inHeader = false
    const block = this.#block()
    const end = found ? Buffer.concat([CRLF, block]).indexOf(EMPTY_LINE) + 2 : Number.POSITIVE_INFINITY
    if (end <= HEADER_BYTES_MAX) return [this.#fewSignatures(block.subarray(0, end)), block.subarray(end)]
    // What follows is not read: it would pass for a body.
    this.#closed = true
    return [this.#fewSignatures(block.subarray(0, block.lastIndexOf(CRLF, HEADER_BYTES_MAX) + 2)), CRLF]
  }

  /** The header block without the signatures that are too many. */
  #fewSignatures(block: Buffer): Buffer {
    const text = block.toString('latin1')
    const kept = text.replaceAll(SIGNATURE, (field) => (++this.#signatures > SIGNATURES_MAX ? '' : field))
    return kept.length === text.length ? block : Buffer.from(kept, 'latin1')
  }

  #measure(octets: Buffer): void {
    let begin = 0
    for (let end = octets.indexOf(LF); end !== -1; end = octets.indexOf(LF, begin)) {
      if (this.#line + end - begin > LINE_BYTES_MAX) break
      this.#line = 0
      begin = end + 1
    }
    this.#line += octets.length - begin
    if (this.#line > LINE_BYTES_MAX) this.#closed = true
  }

  /** A line feed by itself becomes CRLF here in one pass, which mailauth does in a buffer for each. */
  #withLineEnds(chunk: Buffer): Buffer {
    const before = this.#last
    this.#last = chunk.at(-1) ?? before
    let bare = 0
    for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, at + 1)) {
      if ((at === 0 ? before : chunk[at - 1]) !== CR) bare += 1
    }
    if (bare === 0) return chunk
    const mended = Buffer.alloc(chunk.length + bare)
    let to = 0
    for (let at = 0; at < chunk.length; at += 1) {
      const octet = chunk[at] ?? 0
      if (octet === LF && (at === 0 ? before : chunk[at - 1]) !== CR) mended[to++] = CR
      mended[to++] = octet
    }
    return mended
  }
}

/** A field with its folded lines. */
const SIGNATURE = /^dkim-signature[ \t]*:.*\r\n(?:[ \t].*\r\n)*/gim
