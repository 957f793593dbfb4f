// Picks the header field Message-ID out of a mail as it passes. Not a parser: folding is undone, comments are not looked at, and
// what is not found is the empty string.

/** Octets of the header block that are looked at. */
const SCAN_BYTES_MAX = 64 * 1024
/** Longest field that is taken; RFC 5322 2.1.1 allows 998 for a line. */
const FIELD_CHARS_MAX = 2000
const NAME = /^message-id[ \t]*:/i

export class MessageIdScanner {
  #scanned = 0
  #line = ''
  #field = ''
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

  /** The field's value as it stands now; call it when the mail has ended. */
  value(): string {
    return this.#field.replace(NAME, '').trim()
  }

  #take(line: string): void {
    const folded = /^[ \t]/.test(line)
    if (this.#field !== '' && folded) {
      this.#field = (this.#field + line).slice(0, FIELD_CHARS_MAX)
      return
    }
    // The first one counts; the header block ends with an empty line (RFC 5322 2.1).
    if (this.#field !== '' || line === '') {
      this.#done = true
      this.#line = ''
    } else if (NAME.test(line)) this.#field = line.slice(0, FIELD_CHARS_MAX)
  }
}
