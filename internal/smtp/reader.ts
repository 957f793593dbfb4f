// The line reader of smtp-server 3.21.6 with its data half replaced. The library's own takes a dot away after a bare LF (so the
// bytes change), takes one turn of the event loop for each stuffed dot, and runs a last command that has no line end.
// Members with an underscore are the library's; they are used in this file and in connection.ts only.

import { SMTPStream } from 'smtp-server/lib/smtp-stream.js'
import { DotDecoder } from './dots.ts'

/** Where a mail goes as it arrives. Neither method may reject. */
export interface Sink {
  /** The next chunk is read when this resolves. */
  write(chunk: Buffer): Promise<void>
  /** The final dot was read; the next command is read when this resolves. */
  end(): Promise<void>
}

type Next = (error?: Error | null) => void

export class Reader extends SMTPStream {
  #decoder = new DotDecoder()
  #sink: Sink | undefined

  /** From the next octet on, one mail goes to `sink`; then commands again. */
  receive(sink: Sink): void {
    this.#decoder = new DotDecoder()
    this.#sink = sink
    this._dataMode = true
  }

  override _feedDataStream(chunk: Buffer, done: Next): void {
    void this.#feed(chunk, done)
  }

  async #feed(chunk: Buffer, done: Next): Promise<void> {
    let rest: Buffer | undefined
    try {
      rest = await this.#pass(chunk)
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
      return
    }
    if (rest === undefined) done()
    else this._write(rest, 'buffer', done)
  }

  /** Hands the chunk's content on; resolves with what follows the mail, if it ended. */
  async #pass(chunk: Buffer): Promise<Buffer | undefined> {
    const sink = this.#sink
    if (sink === undefined) throw new Error('data without a place to go')
    const { content, rest } = this.#decoder.decode(chunk)
    if (content.length > 0) await sink.write(content)
    if (rest === undefined) return undefined
    this._dataMode = false
    this._remainder = ''
    this.#sink = undefined
    await sink.end()
    return rest
  }

  /** RFC 5321 2.3.8: what has no line end is no command. */
  override _flushData(): void {
    this._remainder = ''
  }
}
