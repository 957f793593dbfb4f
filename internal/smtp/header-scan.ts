// Picks what the front door wants to know out of a mail's header block as it passes: the field Message-ID, and how many hops there
// were. Not a parser: folding is undone, comments are not looked at, and what is not found is the empty string.

/** Octets of the header block that are looked at. */
const SCAN_BYTES_MAX = 64 * 1024
/** Longest field that is taken; RFC 5322 2.1.1 allows 998 for a line. */
const FIELD_CHARS_MAX = 2000
const MESSAGE_ID = /^message-id[ \t]*:/i
const RECEIVED = /^received[ \t]*:/i

export class HeaderScan {
  #scanned = 0
  #line = ''
  /** Message-ID as it stands now. */
  #field = ''
  /** Lines that begin with a blank belong to `#field`. */
  #folding = false
  #hops = 0
  #done = false

  /** The next octets of the mail. */
  feed(chunk: Buffer): void {
    if (this.#done) return
    const text = chunk.toString('latin1', 0, SCAN_BYTES_MAX - this.#scanned)
    this.#scanned += text.length
    const lines = (this.#line + text).split('\n')
    this.#line = (lines.pop() ?? '').slice(0, FIELD_CHARS_MAX)
    for (const line of lines) {
      this.#take(line.replace(/\r$/, ''))
      if (this.#done) return
    }
    if (this.#scanned >= SCAN_BYTES_MAX) this.#done = true
  }

  /** The first field Message-ID, whole when the mail has ended. */
  get messageId(): string {
    return this.#field.replace(MESSAGE_ID, '').trim()
  }

  /** Received fields so far (RFC 5321 6.3). */
  get hops(): number {
    return this.#hops
  }

  #take(line: string): void {
    // RFC 5322 2.1: the header block ends with an empty line.
    if (line === '') this.#done = true
    else if (/^[ \t]/.test(line)) {
      if (this.#folding) this.#field = (this.#field + line).slice(0, FIELD_CHARS_MAX)
    } else {
      this.#folding = this.#field === '' && MESSAGE_ID.test(line)
      if (this.#folding) this.#field = line.slice(0, FIELD_CHARS_MAX)
      if (RECEIVED.test(line)) this.#hops += 1
    }
  }
}
