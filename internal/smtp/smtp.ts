// Package smtp is the front door: it speaks SMTP (RFC 5321 2.1) and answers 250 only when the message is durable in the spool (R3).
//
// smtp-server owns sockets and the order of commands; everything that is said and decided is ours: session.ts (the steps),
// replies.ts (the only reply codes), body.ts (octets on their way to disk), connection.ts and reader.ts (the bridge to the library).
// Invariant: a reply of 250 to a message is sent after Draft.commit resolved, and never otherwise.

import type { AddressInfo, Socket } from 'node:net'
import type { Registry } from '@prometheus-io/client'
import { SMTPServer } from 'smtp-server'
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js'
import type { Directory } from '../directory/directory.ts'
import type { Clock, Ids, Log } from '../ports/ports.ts'
import type { Spool } from './body.ts'
import { Connection, type Listening } from './connection.ts'
import { smtpMetrics } from './metrics.ts'
import { RecentMessages } from './recent.ts'
import type { House, Limits } from './session.ts'

export type { Draft, Reservation, Spool } from './body.ts'
export type { Limits } from './session.ts'
export { REPLIES, type Reply, type ReplyName } from './replies.ts'

export interface SmtpOptions {
  /** The name in banner, EHLO and Received. */
  hostname: string
  limits: Limits
  directory: Directory
  spool: Spool
  clock: Clock
  ids: Ids
  log: Log
  registry: Registry
}

/** What readiness is judged by. */
export interface SmtpFacts {
  listening: boolean
  draining: boolean
  sessions: number
}

export interface SmtpDoor {
  /** Starts to listen; port 0 takes a free one. Rejects with the socket's error, such as EADDRINUSE. */
  listen(host: string, port: number): Promise<{ port: number }>
  /**
   * Stops accepting, answers commands with 421 4.3.2, and lets transfers under way finish for at most `drainMs` milliseconds;
   * then cuts them. Resolves when every session has ended and every commit is decided.
   */
  close(drainMs: number): Promise<void>
  sessions(): number
  facts(): SmtpFacts
}

/** Makes a front door; nothing listens yet. */
export function smtpServer(options: SmtpOptions): SmtpDoor {
  const { registry, ...rest } = options
  const house: House = { ...rest, metrics: smtpMetrics(registry), recent: new RecentMessages() }
  const listener = new Listener(house, options.clock)
  return {
    listen: (host, port) => listener.start(host, port),
    close: (drainMs) => listener.stop(drainMs),
    sessions: () => listener.open.size,
    facts: () => ({ listening: listener.server.listening, draining: listener.draining, sessions: listener.open.size }),
  }
}

/** Commands of the library that are off: jokes, proxies' own, and those without a certificate or accounts to check against. */
const DISABLED = ['AUTH', 'STARTTLS', 'WIZ', 'SHELL', 'KILL', 'XCLIENT', 'XFORWARD']

class Listener extends SMTPServer implements Listening {
  readonly house: House
  /** Every session that has not ended, also those whose socket is closed and whose commit is under way. */
  readonly open = new Set<Connection>()
  readonly #clock: Clock
  #whenEmpty: (() => void) | undefined
  draining = false

  constructor(house: House, clock: Clock) {
    super({
      name: house.hostname,
      size: house.limits.messageBytesMax,
      socketTimeout: house.limits.idleTimeoutMs,
      disabledCommands: DISABLED,
      disableReverseLookup: true,
      hideENHANCEDSTATUSCODES: false,
      heloResponse: '%s',
      logger: false,
      // A peer that closes its side after the last command still gets its replies.
      allowHalfOpen: true,
    })
    this.house = house
    this.#clock = clock
    // Without a listener an error of one socket would end the process.
    this.on('error', (error: Error) => house.log.info({ err: error }, 'connection failed'))
  }

  /** Sessions that are about to close do not count. */
  get full(): boolean {
    return this.connections.size > this.house.limits.sessionsMax
  }

  override connect(socket: Socket, socketOptions?: SMTPConnectionOptions | null): void {
    const connection = new Connection(this, socket, socketOptions ?? null, this)
    this.connections.add(connection)
    this.open.add(connection)
    connection.on('error', (error: Error) => this._onError(error))
    connection.init()
    if (this.draining) connection.drain()
  }

  ended(connection: Connection): void {
    this.open.delete(connection)
    if (this.open.size === 0) this.#whenEmpty?.()
  }

  start(host: string, port: number): Promise<{ port: number }> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ host, port }, () => {
        this.server.removeListener('error', reject)
        resolve({ port: (this.server.address() as AddressInfo).port })
      })
    })
  }

  async stop(drainMs: number): Promise<void> {
    this.draining = true
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve
      if (this.open.size === 0) resolve()
    })
    for (const connection of this.open) connection.drain()
    const giveUp = new AbortController()
    const cut = this.#cutAfter(drainMs, giveUp.signal)
    await Promise.all([closed, empty])
    giveUp.abort()
    await cut
  }

  async #cutAfter(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(ms, signal)
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    for (const connection of this.open) connection.cut()
  }
}
