// A small SMTP client for tests and measurements: one session, replies as they come, bytes exactly as given (RFC 5321 4.5.2).

import { connect, type Socket } from 'node:net'

export class Session {
  readonly #socket: Socket
  #buffered = ''
  readonly #waiting: { resolve(reply: string): void; reject(error: Error): void }[] = []
  #ended: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk.toString('latin1')))
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => this.#end(new Error('connection closed')))
  }

  /** Connects, reads the banner and says EHLO. */
  static async open(port: number, helo = 'client.example'): Promise<Session> {
    const session = await Session.connect(port)
    await session.expect(220, undefined)
    await session.expect(250, `EHLO ${helo}`)
    return session
  }

  /** Connects and nothing more. */
  static connect(port: number): Promise<Session> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new Session(socket))
      })
    })
  }

  /** Sends a line, if any, and resolves with the whole reply. */
  command(line: string | undefined): Promise<string> {
    if (line !== undefined) this.#socket.write(`${line}\r\n`)
    return this.reply()
  }

  reply(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#deliver()
    })
  }

  async expect(code: number, line: string | undefined): Promise<string> {
    const reply = await this.command(line)
    if (!reply.startsWith(String(code))) throw new Error(`expected ${code} to ${line}, got ${reply}`)
    return reply
  }

  /** Envelope and body; resolves with the reply to the final dot, or with the first refusal. */
  async send(from: string, to: readonly string[], body: Buffer): Promise<string> {
    const envelope = [`MAIL FROM:<${from}> SIZE=${body.length}`, ...to.map((address) => `RCPT TO:<${address}>`), 'DATA']
    for (const line of envelope) {
      const reply = await this.command(line)
      if (!/^[23]/.test(reply)) return reply
    }
    await this.write(dotStuffed(body))
    return this.command('.')
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    this.#buffered += text
    this.#deliver()
  }

  #deliver(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const whole = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(this.#buffered)?.[0]
      if (whole === undefined) {
        if (this.#ended) for (const each of this.#waiting.splice(0)) each.reject(this.#ended)
        return
      }
      this.#buffered = this.#buffered.slice(whole.length)
      this.#waiting.shift()
      next.resolve(whole.trimEnd())
    }
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#deliver()
  }
}

/** Doubles the dots that begin a line and ends the last line (RFC 5321 4.5.2). */
export function dotStuffed(body: Buffer): Buffer {
  const text = body.toString('latin1')
  const stuffed = text.replaceAll('\r\n.', '\r\n..').replace(/^\./, '..')
  return Buffer.from(stuffed.endsWith('\r\n') || stuffed === '' ? stuffed : `${stuffed}\r\n`, 'latin1')
}

/** A mail of about `sizeBytes`, told apart by `token`. */
export function mailOf(token: string, sizeBytes: number, headers: readonly string[] = []): Buffer {
  const head = [
    'From: Ann <ann@sender.example>',
    'To: orders+acme@mail.localhost',
    `Subject: token ${token}`,
    `Message-ID: <${token}@sender.example>`,
    'Date: Sat, 21 Nov 2026 10:00:00 +0000',
    ...headers,
    '',
    `body ${token}`,
    '',
  ].join('\r\n')
  const line = `${'x'.repeat(76)}\r\n`
  const count = Math.max(0, Math.ceil((sizeBytes - head.length) / line.length))
  return Buffer.from(head + line.repeat(count))
}

/** The entry id that a 250 quotes. */
export const entryIdOf = (reply: string): string | undefined => /^250 2\.0\.0 accepted id=(\S+)/.exec(reply)?.[1]
