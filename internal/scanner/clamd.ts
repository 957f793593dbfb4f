// clamd over TCP or a Unix socket: one connection for each scan. The protocol is in clamd(8): a command that begins with `z` ends with
// a NUL, and so does its answer; INSTREAM is followed by chunks, each after its length in four octets, until one of no octets.

import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../ports/ports.ts'
import { Gate } from './gate.ts'
import { ScannerError, type Verdict } from './outcome.ts'
import type { Scanner } from './scanner.ts'

export interface ClamdOptions {
  place: { host: string; port: number } | { path: string }
  /** For each step: connection and command, a chunk taken, the verdict. */
  timeoutMs: number
  /** Scans at one time; more wait. clamd's own MaxThreads should not be below. */
  connectionsMax: number
  /** Octets that are sent of one message. clamd says it when they are too many for it, but closes the connection, so that this may get lost. */
  streamMaxBytes: number
  clock: Clock
}

/** An answer names the first signature that matched; what is longer than this is none of clamd's. */
const ANSWER_CHARS_MAX = 4096
const SIGNATURE_CHARS_MAX = 200
const END_OF_STREAM = Buffer.alloc(4)

/** Connects when it is used. */
export function clamdScanner(options: ClamdOptions): Scanner {
  const gate = new Gate(options.connectionsMax, options.clock)
  return {
    scan: (body, signal) => gate.pass(() => scan(options, body, signal)),
    version: () => talking(options, undefined, (talk) => talk.ask('zVERSION\0')),
  }
}

async function scan(options: ClamdOptions, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<Verdict> {
  return talking(options, signal, async (talk) => {
    let early = await talk.send(Buffer.from('zINSTREAM\0'))
    let octets = 0
    for await (const chunk of body) {
      if ((octets += chunk.length) > options.streamMaxBytes) return { verdict: 'too_large' }
      // A chunk of no octets would end the stream.
      if (chunk.length > 0) early = await talk.send(lengthOf(chunk), chunk)
      if (early !== undefined) return verdictOf(early)
    }
    await talk.send(END_OF_STREAM)
    return verdictOf(await talk.answer())
  })
}

function lengthOf(chunk: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(chunk.length)
  return length
}

/** What an answer to INSTREAM says. Throws ScannerError for all that is no verdict. */
export function verdictOf(answer: string): Verdict {
  if (answer === 'stream: OK') return { verdict: 'clean' }
  // Of more octets than its StreamMaxLength.
  if (answer.includes('size limit exceeded')) return { verdict: 'too_large' }
  const signature = /^stream: (.+) FOUND$/.exec(answer)?.[1]
  if (signature === undefined) throw new ScannerError('failed', `clamd: ${printable(answer)}`)
  return { verdict: 'infected', signature: printable(signature) }
}

const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, SIGNATURE_CHARS_MAX)

/** Does `work` on a connection of its own, which is closed afterwards. */
async function talking<T>(
  options: ClamdOptions,
  signal: AbortSignal | undefined,
  work: (talk: Talk) => Promise<T>,
): Promise<T> {
  const { place } = options
  const socket = connect({ ...place, noDelay: true })
  const stop = () => socket.destroy()
  if (signal?.aborted === true) stop()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await work(new Talk(socket, options))
  } finally {
    signal?.removeEventListener('abort', stop)
    stop()
  }
}

/** Begins with `send`, so that somebody hears when the connection fails. */
class Talk {
  readonly #socket: Socket
  readonly #options: ClamdOptions
  readonly #answer: Promise<string>

  constructor(socket: Socket, options: ClamdOptions) {
    this.#socket = socket
    this.#options = options
    this.#answer = answerOf(socket)
  }

  /** Resolves when the pieces have left, with undefined, or with an answer that came before its time: then no more is wanted. */
  send(...pieces: readonly Uint8Array[]): Promise<string | undefined> {
    return this.#within(Promise.race([this.#answer, this.#leave(pieces)]))
  }

  async #leave(pieces: readonly Uint8Array[]): Promise<undefined> {
    // An answer that is here already is read first: a write to a connection that clamd has closed loses it.
    await nextTurn()
    const { promise: left, resolve } = Promise.withResolvers<undefined>()
    this.#socket.cork()
    // A write that fails is heard of by the answer that does not come.
    for (const [at, piece] of pieces.entries()) {
      this.#socket.write(piece, (error) => void (at === pieces.length - 1 && !error && resolve(undefined)))
    }
    this.#socket.uncork()
    return left
  }

  answer(): Promise<string> {
    return this.#within(this.#answer)
  }

  async ask(command: string): Promise<string> {
    return (await this.send(Buffer.from(command))) ?? (await this.answer())
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options
    const done = new AbortController()
    const late = clock.sleep(timeoutMs, done.signal).then(() => {
      throw new ScannerError('timeout', `clamd has not moved for ${timeoutMs} ms`)
    })
    try {
      return await Promise.race([work, late])
    } finally {
      done.abort()
    }
  }
}

function answerOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const fail = (why: string, cause?: unknown) => reject(new ScannerError('unreachable', `clamd: ${why}`, { cause }))
    socket.setEncoding('utf8')
    socket.on('data', (piece: string) => {
      text += piece
      const end = text.indexOf('\0')
      if (end >= 0) resolve(text.slice(0, end))
      else if (text.length > ANSWER_CHARS_MAX) fail('an answer without an end')
    })
    socket.on('error', (error) => fail(error.message, error))
    socket.on('close', () => fail('the connection ended without an answer'))
  })
}
