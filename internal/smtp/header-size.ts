// How long the header block of a mail is, as the mail passes. It ends with an empty line (RFC 5322 2.1); in a chunk that line may have ended with LF alone.

const LF = 0x0a
const CR = 0x0d

export class HeaderSize {
  #octets = 0
  #done = false
  /** Octets of the line so far, but for a CR. */
  #lineHasText = false

  /** Octets up to the empty line, that one included, or so far. */
  get octets(): number {
    return this.#octets
  }

  /** The next octets of the mail. */
  feed(chunk: Buffer): void {
    let from = 0
    while (!this.#done && from < chunk.length) {
      const end = chunk.indexOf(LF, from)
      const until = end < 0 ? chunk.length : end
      if (until - from > 1 || (until > from && chunk[from] !== CR)) this.#lineHasText = true
      this.#octets += (end < 0 ? until : until + 1) - from
      if (end < 0) return
      this.#done = !this.#lineHasText
      this.#lineHasText = false
      from = end + 1
    }
  }
}
