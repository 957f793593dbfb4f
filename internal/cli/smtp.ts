// A small SMTP client for test mail. It sends the bytes it is given and no others: libraries repair line ends, and a test of a
// receiver must not. RFC 5321 3.3 (transaction), 4.5.2 (transparency).

import { connect, type Socket } from 'node:net'
import type { Clock } from '../ports/ports.ts'
import { CliError } from './exit.ts'

export interface Reply {
  code: number
  /** The text of all lines, without codes, joined by spaces. */
  text: string
}

export interface Server {
  host: string
  port: number
}

/** One transaction. `body` is read once. */
export interface Submission {
  from: string
  to: readonly string[]
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
  /** Announced with SIZE (RFC 1870 6) where it is known. */
  sizeBytes?: number
}

/** What became of a transaction: the last reply, and the command it answers. */
export interface Outcome {
  accepted: boolean
  command: 'MAIL' | 'RCPT' | 'DATA' | 'content'
  reply: Reply
  /** Recipients that were refused while others were taken. */
  refused: { address: string; reply: Reply }[]
}

/** RFC 5321 4.5.3.2: the client waits minutes, the longest of them for the reply to the final dot (10 min). */
const REPLY_TIMEOUT_MS = 600_000
const CONNECT_TIMEOUT_MS = 10_000
/** A server's reply line is 512 octets (RFC 5321 4.5.3.1.5); far more is not SMTP. */
const REPLY_BYTES_MAX = 64 * 1024

/** A connection that has been greeted. Every method rejects with CliError `unavailable` when the connection is lost. */
export class SmtpClient {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #replies: AsyncIterator<Reply>
  #extensions = new Set<string>()

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    this.#replies = replies(socket)
  }

  /** Connects, reads the banner and says EHLO. `helo` is our name (RFC 5321 4.1.1.1). */
  static async open(server: Server, helo: string, clock: Clock): Promise<SmtpClient> {
    const socket = await connected(server, clock)
    const client = new SmtpClient(socket, clock)
    const banner = await client.#reply()
    if (banner.code !== 220) throw refused('the connection', banner)
    const greeting = await client.#command(`EHLO ${helo}`)
    if (greeting.code !== 250) throw refused('EHLO', greeting)
    client.#extensions = new Set(
      greeting.text
        .toUpperCase()
        .split('\n')
        .map((line) => line.split(' ')[0] ?? ''),
    )
    return client
  }

  /** One transaction. A refusal is an outcome, not an error. */
  async send(mail: Submission): Promise<Outcome> {
    const mailReply = await this.#command(`MAIL FROM:<${mail.from}>${this.#parameters(mail)}`)
    if (mailReply.code !== 250) return await this.#given('MAIL', mailReply)
    const refusals: Outcome['refused'] = []
    for (const address of mail.to) {
      const reply = await this.#command(`RCPT TO:<${address}>`)
      if (reply.code !== 250 && reply.code !== 251) refusals.push({ address, reply })
    }
    const [first] = refusals
    if (first !== undefined && refusals.length === mail.to.length) {
      return { ...(await this.#given('RCPT', first.reply)), refused: refusals }
    }
    const go = await this.#command('DATA')
    if (go.code !== 354) return await this.#given('DATA', go)
    const reply = await this.#content(mail.body)
    return { accepted: reply.code === 250, command: 'content', reply, refused: refusals }
  }

  /** Says QUIT and closes; a server that is gone already is fine. */
  async close(): Promise<void> {
    try {
      if (!this.#socket.destroyed) await this.#command('QUIT')
    } catch (error) {
      if (!(error instanceof CliError)) throw error
    } finally {
      this.#socket.destroy()
    }
  }

  async #given(command: Outcome['command'], reply: Reply): Promise<Outcome> {
    if (!this.#socket.destroyed && reply.code !== 421) await this.#command('RSET')
    return { accepted: false, command, reply, refused: [] }
  }

  #parameters(mail: Submission): string {
    const has = (name: string) => this.#extensions.has(name)
    const size = mail.sizeBytes !== undefined && has('SIZE') ? ` SIZE=${mail.sizeBytes}` : ''
    const body = has('8BITMIME') ? ' BODY=8BITMIME' : '' // RFC 6152 3: the content may have eight-bit octets
    const international = [mail.from, ...mail.to].some((address) => /[^\x00-\x7f]/.test(address))
    return size + body + (international && has('SMTPUTF8') ? ' SMTPUTF8' : '') // RFC 6531 3.4
  }

  async #content(body: Submission['body']): Promise<Reply> {
    const stuffing = new Stuffing()
    const early = this.#reply() // a server may refuse while it still reads, and close
    const lost = early.then(
      () => true,
      () => true,
    )
    for await (const chunk of body) {
      if (this.#socket.destroyed) break
      if (!this.#socket.write(stuffing.pass(chunk))) await Promise.race([drained(this.#socket), lost])
    }
    if (!this.#socket.destroyed) this.#socket.write(stuffing.end())
    return await early
  }

  async #command(line: string): Promise<Reply> {
    // RFC 5321 4.1.1: a command is one line; an address with a line end in it would be two commands.
    if (/[\r\n]/.test(line)) throw new CliError('usage', 'an address must not contain a line end')
    this.#socket.write(`${line}\r\n`)
    return await this.#reply()
  }

  async #reply(): Promise<Reply> {
    const next = await inTime(this.#replies.next(), REPLY_TIMEOUT_MS, this.#clock)
    if (next === 'late') {
      this.#socket.destroy()
      throw new CliError('unavailable', 'the server did not answer in 10 minutes')
    }
    if (next.done === true) throw new CliError('unavailable', 'the server closed the connection')
    return next.value
  }
}

/** Dot-stuffing (RFC 5321 4.5.2): a dot that begins a line is doubled. A line begins after CRLF and nowhere else. */
export class Stuffing {
  /** The two bytes before the next one; content begins at the start of a line. */
  #before: [number, number] = [0x0d, 0x0a]

  /** `chunk` with dots doubled; the same buffer when none was. */
  pass(chunk: Uint8Array): Uint8Array {
    const pieces: Uint8Array[] = []
    let from = 0
    for (let at = chunk.indexOf(0x2e); at !== -1; at = chunk.indexOf(0x2e, at + 1)) {
      if (this.#byteAt(chunk, at - 1) !== 0x0a || this.#byteAt(chunk, at - 2) !== 0x0d) continue
      pieces.push(chunk.subarray(from, at), Buffer.from('.'))
      from = at
    }
    this.#before = [this.#byteAt(chunk, chunk.length - 2), this.#byteAt(chunk, chunk.length - 1)]
    return pieces.length === 0 ? chunk : Buffer.concat([...pieces, chunk.subarray(from)])
  }

  /** What ends the content: a CRLF where the last line has none, and the dot. */
  end(): string {
    const ended = this.#before[0] === 0x0d && this.#before[1] === 0x0a
    return ended ? '.\r\n' : '\r\n.\r\n'
  }

  #byteAt(chunk: Uint8Array, at: number): number {
    return (at >= 0 ? chunk[at] : this.#before[at + 2]) ?? 0
  }
}

/** The entry and trace ids that our server quotes in its 250. */
export function idsIn(text: string): { id?: string; traceId?: string; duplicate: boolean } {
  const id = /\bid=([0-9a-f-]{36})\b/.exec(text)?.[1]
  const traceId = /\btrace=([0-9a-f]{32})\b/.exec(text)?.[1]
  const duplicate = text.endsWith('(duplicate)')
  return { ...(id === undefined ? {} : { id }), ...(traceId === undefined ? {} : { traceId }), duplicate }
}

const refused = (what: string, reply: Reply): CliError =>
  new CliError('unavailable', `the server refused ${what}: ${reply.code} ${reply.text.replaceAll('\n', ' ')}`)

async function inTime<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T | 'late'> {
  const stop = new AbortController()
  const late = clock.sleep(ms, stop.signal).then(
    () => 'late' as const,
    () => 'late' as const,
  )
  try {
    return await Promise.race([work, late])
  } finally {
    stop.abort()
  }
}

async function connected({ host, port }: Server, clock: Clock): Promise<Socket> {
  const socket = connect({ host, port })
  const opening = new Promise<'open'>((resolve, reject) => {
    socket.once('connect', () => resolve('open'))
    socket.once('error', reject)
  })
  const failed = (why: string): CliError => {
    socket.destroy()
    return new CliError('unavailable', `cannot reach ${host}:${port}: ${why}`)
  }
  try {
    if ((await inTime(opening, CONNECT_TIMEOUT_MS, clock)) === 'late') throw failed('no answer in 10 s')
  } catch (error) {
    throw error instanceof CliError ? error : failed((error as Error).message)
  }
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy()) // what was lost is told by the reply that does not come
  return socket
}

const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.once('drain', done)
    socket.once('close', done)
  })

/** Replies as they come; lines of one reply share its code (RFC 5321 4.2.1). Ends when the connection does. */
async function* replies(socket: Socket): AsyncGenerator<Reply, undefined> {
  let rest = ''
  let lines: string[] = []
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      rest += chunk.toString('utf8')
      if (rest.length > REPLY_BYTES_MAX) return undefined
      for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end).replace(/\r$/, '')
        rest = rest.slice(end + 1)
        lines.push(line.slice(4))
        if (line[3] === '-') continue
        yield { code: Number(line.slice(0, 3)), text: lines.join('\n') }
        lines = []
      }
    }
  } catch {
    // A reset connection has ended as well; the caller reports it.
  }
  return undefined
}
