// The bridge between smtp-server 3.21.6 (pinned) and a session. The library owns sockets and the order of commands; what is
// overridden here, and why:
//   send                          one reply table; the library has one enhanced code for each number
//   init                          no wait of 100 ms before the greeting
//   _createParser                 our reader
//   handler_MAIL/RCPT/DATA/RSET   parameters that nobody announced, codes, one reply for each command whatever a step throws,
//                                 and a refusal in place of the 354
//   handler_VRFY/HELP             texts
//   _resetSession, _onClose       the session follows EHLO and the end of the connection
// Members with an underscore are the library's; they are used in this file and in reader.ts only. The dialogs in test/dialogs
// guard an upgrade.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { SMTPServer } from 'smtp-server'
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js'
import type { Body } from './body.ts'
import { Reader } from './reader.ts'
import { libraryReply, reply, REPLIES, type Reply } from './replies.ts'
import { Session, type Ending, type House } from './session.ts'

type Resume = () => void

/** What a connection asks of the listener that it came in by. */
export interface Listening {
  readonly house: House
  readonly draining: boolean
  /** More sessions than allowed are open, this one included. */
  readonly full: boolean
  ended(connection: Connection): void
}

export class Connection extends SMTPConnection {
  readonly #listening: Listening
  readonly #talk: Session
  readonly #openedMs: number
  #hello = { name: '', extended: false }
  /** Command that waits for its reply; empty while none does. */
  #command = ''
  #ending: Ending = 'aborted'
  #over = false
  /** Resolves when the step that is under way is over; what was received in full is committed before the session ends. */
  #step: Promise<void> = Promise.resolve()

  constructor(
    server: SMTPServer,
    socket: Socket | TLSSocket,
    options: SMTPConnectionOptions | null,
    listening: Listening,
  ) {
    super(server, socket, options)
    this.#listening = listening
    this.#openedMs = listening.house.clock.monotonic()
    this.#talk = new Session(listening.house, { address: this.remoteAddress, port: this.remotePort })
  }

  override init(): void {
    const { house, full } = this.#listening
    house.metrics.opened(full ? 'limit' : 'accepted')
    if (full) house.metrics.limited('sessions')
    this._setListeners(() => {
      if (full) this.#write(reply('too_many_sessions'))
      // One turn, so that what was sent before the greeting is seen as such.
      else setImmediate(() => this.connectionReady())
    })
  }

  /** The server shuts down: says so as soon as nothing is under way. */
  drain(): void {
    if (!this._handlerPending && !this.#talk.receiving) this.#write(reply('draining'))
  }

  /** Ends the connection at once. */
  cut(): void {
    this._socket.destroy()
  }

  /** Only the greeting and the reply to EHLO and HELO keep the library's text. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const lines = [data ?? ''].flat()
    if (code === 220 || (code === 250 && context === false)) this.#put(code, lines)
    else this.#write(reply(libraryReply(code, lines[0] ?? '', context === false ? '' : (context ?? ''))))
  }

  #write(answer: Reply): void {
    if (answer === REPLIES.idle) this.#ending = 'timeout'
    this.#put(answer.code, [answer.status === '' ? answer.text : `${answer.status} ${answer.text}`])
    if (answer.closes) this.close()
  }

  /** The library's own would fall silent as soon as the peer closed its sending side. */
  #put(code: number, lines: string[]): void {
    if (this._closing || this._closed) return
    if (this.#command !== '') this.#listening.house.metrics.command(this.#command, code)
    this.#command = ''
    const text = lines.map((line, index) => `${code}${index < lines.length - 1 ? '-' : ' '}${line}\r\n`).join('')
    // While a TLS handshake runs the socket is still the one below it.
    if (!this._upgrading && this._socket.writable) this._socket.write(text)
  }

  override _createParser(): Reader {
    const parser = new Reader({ maxCommandLength: COMMAND_BYTES_MAX })
    parser.oncommand = (command: Buffer, resume: Resume) => this._onCommand(command, resume)
    parser.on('error', (error: Error) => {
      this.send(421, error.message)
      // A reader that failed reads no more.
      this.close()
    })
    // The peer closed its side, and everything it sent has been answered.
    parser.on('finish', () => this.close())
    return parser
  }

  override _onCommand(command: Buffer, resume?: Resume): void {
    this.#command = /^[a-z]*/i.exec(command.toString('latin1'))?.[0].toUpperCase() ?? ''
    if (this.#listening.draining) this.#write(reply('draining'))
    else super._onCommand(command, resume)
  }

  override handler_EHLO(command: Buffer, resume: Resume): void {
    this.#hello = { name: helloName(command), extended: true }
    super.handler_EHLO(command, resume)
  }

  override handler_HELO(command: Buffer, resume: Resume): void {
    this.#hello = { name: helloName(command), extended: false }
    super.handler_HELO(command, resume)
  }

  /** The library calls this when a greeting was good, and before there was any. */
  override _resetSession(): void {
    super._resetSession()
    const { name, extended } = this.#hello
    this.#track(this.#talk.hello(name, extended))
  }

  override handler_MAIL(command: Buffer, resume: Resume): void {
    this.#answer(resume, () => this.#talk.mail(command))
  }

  override handler_RCPT(command: Buffer, resume: Resume): void {
    this.#answer(resume, () => this.#talk.rcpt(command))
  }

  override handler_RSET(command: Buffer, resume: Resume): void {
    this.#answer(resume, () => this.#talk.reset(command))
  }

  override handler_VRFY(_command: Buffer, resume: Resume): void {
    this.#answer(resume, async () => reply('cannot_verify'))
  }

  override handler_HELP(_command: Buffer, resume: Resume): void {
    this.#answer(resume, async () => reply('help'))
  }

  override handler_DATA(command: Buffer, resume: Resume): void {
    this.#answer(resume, async () => {
      const opened = await this.#talk.data(command)
      if ('code' in opened) return opened
      if (this._parser instanceof Reader) this._parser.receive(this.#sink(opened))
      return reply('go_ahead')
    })
  }

  #sink(body: Body) {
    return {
      write: (chunk: Buffer) =>
        this.#busy(async () => {
          await body.write(chunk)
          // Replies and closes: nobody has to take what will be refused anyway (case 67 of the SMTP cases).
          if (body.runaway) this.#write({ ...reply('too_large'), closes: true })
        }),
      end: () =>
        this.#busy(async () => {
          this.#command = 'DATA'
          this.#write(await this.#safely(() => this.#talk.finish()))
          this._unrecognizedCommands = 0
          this.#drainWhenIdle()
        }),
    }
  }

  /** One reply for each command, whatever the step does. */
  #answer(resume: Resume, step: () => Promise<Reply>): void {
    const answered = async () => {
      this.#write(await this.#safely(step))
      this.#drainWhenIdle()
      resume()
    }
    this.#track(answered())
  }

  /** What was not foreseen is ours, so it is temporary, and its text stays home. */
  async #safely(step: () => Promise<Reply>): Promise<Reply> {
    try {
      return await step()
    } catch (error) {
      this.#listening.house.log.error({ err: error, client: this.remoteAddress }, 'unforeseen error in a session')
      return reply('internal')
    }
  }

  /** The idle timeout does not run while the peer waits for us (RFC 5321 4.5.3.2). */
  async #busy(step: () => Promise<void>): Promise<void> {
    this._handlerPending = true
    const done = step().finally(() => {
      this._handlerPending = false
    })
    this.#track(done)
    await done
  }

  #track(step: Promise<void>): void {
    this.#step = Promise.allSettled([this.#step, step]).then(() => undefined)
  }

  #drainWhenIdle(): void {
    if (this.#listening.draining && !this.#talk.receiving) this.#write(reply('draining'))
  }

  override _onClose(): void {
    super._onClose()
    if (this.#over) return
    this.#over = true
    const { house } = this.#listening
    const end = async () => {
      await this.#talk.end(this.#ending)
      await this.#step
      house.metrics.closed((house.clock.monotonic() - this.#openedMs) / 1000)
      this.#listening.ended(this)
    }
    end().catch((error: unknown) => house.log.error({ err: error }, 'session could not be ended'))
  }
}

/** Octets of a command line; more than RFC 5321 4.5.3.1.4 asks for, room for extensions. */
const COMMAND_BYTES_MAX = 2048

/** As it was given; the library keeps a lower-case copy. */
const helloName = (command: Buffer): string => command.toString().trim().split(/\s+/)[1] ?? ''
