// Dot transparency (RFC 5321 4.5.2), strictly: a line begins after CRLF and nowhere else, the mail ends with CRLF . CRLF and with
// nothing else. What only looks like an end is content (CVE-2023-51764 to 51766). Every other octet comes out as it went in.

const LF = 0x0a
const CR = 0x0d
const DOT = 0x2e

type State = 'text' | 'cr' | 'line' | 'dot' | 'dot_cr'

export interface Decoded {
  content: Buffer
  /** What follows the end of the mail in this chunk; undefined while the mail goes on. */
  rest: Buffer | undefined
}

/** Decodes one mail, in chunks cut anywhere. */
export class DotDecoder {
  #state: State = 'line'

  /** `content` never shares memory with `chunk`. */
  decode(chunk: Buffer): Decoded {
    // One more than came in: a CR that the chunk before ended with may turn out to be content.
    const out = Buffer.allocUnsafe(chunk.length + 1)
    let length = 0
    let state = this.#state
    for (let index = 0; index < chunk.length; index += 1) {
      const octet = chunk[index] ?? 0
      if (state === 'line' && octet === DOT) {
        state = 'dot'
        continue
      }
      if (state === 'dot' && octet === CR) {
        state = 'dot_cr'
        continue
      }
      if (state === 'dot_cr') {
        if (octet === LF) return { content: out.subarray(0, length), rest: chunk.subarray(index + 1) }
        out[length] = CR
        length += 1
        state = 'cr'
      }
      // The place to see a bare CR or LF: an LF in a state other than `cr`, anything but an LF in the state `cr`.
      state = octet === CR ? 'cr' : octet === LF && state === 'cr' ? 'line' : 'text'
      out[length] = octet
      length += 1
    }
    this.#state = state
    return { content: out.subarray(0, length), rest: undefined }
  }
}
