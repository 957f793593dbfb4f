// What a client sends, cut into what it means: command lines, and the content of mail. Pure: octets in, tokens out, and however
// the octets are cut into chunks the tokens say the same.
//
// A command line ends with CRLF and with nothing else (RFC 5321 2.3.8). What is no line of ours is a fault, and the reader goes on
// behind it, so that one bad line is one reply. The caller says what follows a command: `readMail` after the 354, `readOctets` after BDAT.
// STARTTLS needs nothing here: the session refuses octets that wait behind it, and TLS begins with a reader of its own.

import { DotDecoder } from './dots.ts'

/** Octets with the line end. RFC 5321 4.5.3.1.4 asks for 512, and extensions for some hundred more; AUTH has room of its own. */
export const LINE_BYTES_MAX = 2048
/** Octets of an AUTH command and of an answer to it, with the line end (RFC 4954 4). */
export const AUTH_LINE_BYTES_MAX = 12_288
/** A line that has not ended after so many times its length never will. */
const ENDLESS = 2

export type LineFault =
  /** Ended by an LF without its CR. */
  | 'bare_lf'
  /** A control character, a CR among them, inside the line. */
  | 'control'
  | 'too_long'
  /** So long that nobody waits for its end; the reader reads no more. */
  | 'endless'
  /** TLS where no TLS is (RFC 8446 5.1, a handshake record); the reader reads no more. */
  | 'client_hello'

export type Token =
  /** One command, without its line end. */
  | { kind: 'line'; line: Buffer }
  | { kind: 'fault'; fault: LineFault }
  /** The next octets of a mail, its dots as they were before the client doubled them. */
  | { kind: 'content'; octets: Buffer }
  /** The mail, or the chunk of it, has ended. `bare`: it held a CR or LF that is no CRLF, where these matter. */
  | { kind: 'end'; bare: boolean }

const LF = 0x0a
const CR = 0x0d
const NOTHING: Buffer = Buffer.alloc(0)

type Mode =
  | { read: 'lines' }
  | { read: 'mail'; decoder: DotDecoder }
  | { read: 'octets'; left: number }
  /** The content is told, its end is not. */
  | { read: 'end'; bare: boolean }
  | { read: 'nothing more' }

export class Reader {
  #mode: Mode = { read: 'lines' }
  #buffer = NOTHING
  #at = 0
  /** From `#at` on, octets that hold no LF. */
  #searched = 0
  #lineBytesMax: number

  /** Lines may have so many octets, with their end. */
  constructor(lineBytesMax = LINE_BYTES_MAX) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Takes the next octets from the wire. Call it when `next` has nothing more to say, so that at most one chunk waits here. */
  push(chunk: Buffer): void {
    this.#buffer = this.waiting === 0 ? chunk : Buffer.concat([this.#buffer.subarray(this.#at), chunk])
    this.#at = 0
  }

  /** Octets that came and were not told of yet. */
  get waiting(): number {
    return this.#buffer.length - this.#at
  }

  /** From here on one mail, up to CRLF . CRLF; then lines again. */
  readMail(): void {
    this.#mode = { read: 'mail', decoder: new DotDecoder() }
  }

  /** From here on so many octets, kept as they are (RFC 3030 2); then lines again. */
  readOctets(count: number): void {
    this.#mode = { read: 'octets', left: count }
  }

  /** The next token; undefined when more octets are needed. */
  next(): Token | undefined {
    const mode = this.#mode
    switch (mode.read) {
      case 'lines':
        return this.#line()
      case 'mail':
        return this.#mail(mode.decoder)
      case 'octets':
        return this.#octets(mode)
      case 'end':
        this.#mode = { read: 'lines' }
        return { kind: 'end', bare: mode.bare }
      case 'nothing more':
        this.#take(this.waiting)
        return undefined
    }
  }

  #line(): Token | undefined {
    if (this.#buffer[this.#at] === 0x16 && this.#buffer[this.#at + 1] === 0x03) return this.#giveUp('client_hello')
    const end = this.#buffer.indexOf(LF, this.#at + this.#searched)
    const length = end === -1 ? this.waiting : end + 1 - this.#at
    if (length > ENDLESS * this.#lineBytesMax) return this.#giveUp('endless')
    this.#searched = end === -1 ? length : 0
    return end === -1 ? undefined : lineToken(this.#take(length), this.#lineBytesMax)
  }

  #giveUp(fault: LineFault): Token {
    this.#mode = { read: 'nothing more' }
    return { kind: 'fault', fault }
  }

  #mail(decoder: DotDecoder): Token | undefined {
    if (this.waiting === 0) return undefined
    const { content, taken, ended } = decoder.decode(this.#buffer.subarray(this.#at))
    this.#take(taken)
    if (ended) this.#mode = { read: 'end', bare: decoder.bare }
    if (content.length > 0) return { kind: 'content', octets: content }
    return ended ? this.next() : undefined
  }

  #octets(mode: { left: number }): Token | undefined {
    if (mode.left === 0) {
      this.#mode = { read: 'end', bare: false }
      return this.next()
    }
    if (this.waiting === 0) return undefined
    const octets = this.#take(Math.min(mode.left, this.waiting))
    mode.left -= octets.length
    return { kind: 'content', octets }
  }

  #take(count: number): Buffer {
    const taken = this.#buffer.subarray(this.#at, this.#at + count)
    this.#at += count
    if (this.waiting === 0) {
      // An idle session must not hold on to the last chunk of its mail.
      this.#buffer = NOTHING
      this.#at = 0
    }
    return taken
  }
}

/** Control characters of ASCII without the tab, which may stand among the blanks at a line's end. */
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/

function lineToken(octets: Buffer, lineBytesMax: number): Token {
  if (octets.length > lineBytesMax) return { kind: 'fault', fault: 'too_long' }
  if (octets.at(-2) !== CR) return { kind: 'fault', fault: 'bare_lf' }
  const line = octets.subarray(0, -2)
  return CONTROL.test(line.toString('latin1')) ? { kind: 'fault', fault: 'control' } : { kind: 'line', line }
}
