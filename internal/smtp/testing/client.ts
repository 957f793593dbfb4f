// A client that sends what it is told, byte for byte, and shows every reply.

import { connect, type Socket } from 'node:net'
import { connect as secure, type ConnectionOptions, type TLSSocket } from 'node:tls'

/** A raw client: what it sends is what goes out, and replies come back one by one. */
export class Client {
  socket: Socket
  closed: Promise<void>
  #text = ''
  #wake: () => void = () => undefined
  #ended = false

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.closed = this.#listen(this.socket)
  }

  #listen(socket: Socket): Promise<void> {
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('utf8')
      this.#wake()
    })
    return new Promise((resolve) => {
      const end = () => {
        this.#ended = true
        this.#wake()
        socket.end()
        resolve()
      }
      socket.on('end', end).on('close', end).on('error', end)
    })
  }

  /** Goes on over TLS, whosever certificate it is; undefined where the handshake fails. */
  async secure(options: ConnectionOptions = {}): Promise<TLSSocket | undefined> {
    const plain = this.socket
    plain.removeAllListeners()
    const socket = secure({ socket: plain, rejectUnauthorized: false, ...options })
    this.socket = socket
    this.closed = this.#listen(socket)
    const done = new Promise<boolean>((resolve) => {
      socket.once('secureConnect', () => resolve(true)).once('close', () => resolve(false))
    })
    return (await done) ? socket : undefined
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** The next reply, its lines joined by a newline; undefined when the server has closed. */
  async reply(): Promise<string | undefined> {
    for (;;) {
      const match = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(this.#text)
      if (match !== null) {
        this.#text = this.#text.slice(match[0].length)
        return match[0].trimEnd().replaceAll('\r\n', '\n')
      }
      if (this.#ended) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Sends one line and takes its reply. */
  async say(line: string): Promise<string | undefined> {
    this.send(`${line}\r\n`)
    return this.reply()
  }

  /** Greeting and EHLO. */
  async hello(): Promise<void> {
    await this.reply()
    await this.say('EHLO client.example')
  }

  /** One transaction from MAIL to the reply to the final dot; `content` ends with CRLF and is dot-stuffed here. */
  async mail(content: Buffer | string, to = ['orders+acme@mail.example']): Promise<string | undefined> {
    const rcpts = to.map((address) => `RCPT TO:<${address}>\r\n`).join('')
    this.send(`MAIL FROM:<ann@sender.example>\r\n${rcpts}DATA\r\n`)
    for (let replies = 0; replies < to.length + 2; replies += 1) await this.reply()
    const bytes = Buffer.from(content)
      .toString('latin1')
      .replaceAll(/(^|\r\n)\./g, '$1..')
    this.send(Buffer.from(`${bytes}.\r\n`, 'latin1'))
    return this.reply()
  }
}
