// Dot transparency (RFC 5321 4.5.2), strictly: a line begins after CRLF and nowhere else, the mail ends with CRLF . CRLF and with
// nothing else. What only looks like an end is content (CVE-2023-51764 to 51766). Every other octet comes out as it went in.

const LF = 0x0a
const CR = 0x0d
const DOT = 0x2e

// Numbers rather than names: this loop runs once for every octet of every mail.
const TEXT = 0
const AFTER_CR = 1
const LINE_START = 2
const AFTER_DOT = 3
const AFTER_DOT_CR = 4

export interface Decoded {
  content: Buffer
  /** Octets of the chunk that belong to the mail, its end included. */
  taken: number
  ended: boolean
}

/** Decodes one mail, in chunks cut anywhere; the same work for every octet, whatever it is. */
export class DotDecoder {
  #state = LINE_START
  #bare = false

  /** A CR or LF stood alone, outside a CRLF (RFC 5321 2.3.8). */
  get bare(): boolean {
    return this.#bare
  }

  /** `content` never shares memory with `chunk`. */
  decode(chunk: Buffer): Decoded {
    // One more than came in: a CR that the chunk before ended with may turn out to be content.
    const out = Buffer.allocUnsafe(chunk.length + 1)
    let length = 0
    let state = this.#state
    for (let index = 0; index < chunk.length; index += 1) {
      const octet = chunk[index] ?? 0
      if (state === LINE_START && octet === DOT) {
        state = AFTER_DOT
        continue
      }
      if (state === AFTER_DOT && octet === CR) {
        state = AFTER_DOT_CR
        continue
      }
      if (state === AFTER_DOT_CR) {
        if (octet === LF) {
          this.#state = LINE_START
          return { content: out.subarray(0, length), taken: index + 1, ended: true }
        }
        out[length] = CR
        length += 1
        state = AFTER_CR
      }
      if (state === AFTER_CR ? octet !== LF : octet === LF) this.#bare = true
      state = octet === CR ? AFTER_CR : octet === LF && state === AFTER_CR ? LINE_START : TEXT
      out[length] = octet
      length += 1
    }
    this.#state = state
    return { content: out.subarray(0, length), taken: chunk.length, ended: false }
  }
}
