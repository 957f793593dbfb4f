// Package smtp is the front door: it speaks SMTP (RFC 5321 2.1) and answers 250 only when the message is durable in the spool (R3).
//
// reader.ts cuts octets into lines and content, commands.ts finds the step of a line, session.ts decides, replies.ts holds every
// reply, body.ts brings octets to disk, connection.ts is the loop around one socket, deadlines.ts says who took too long.
// Invariant: a reply of 250 to a message is sent after Draft.commit resolved, and never otherwise.

import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Registry } from '@prometheus-io/client'
import type { Authenticator } from '../authentication/authentication.ts'
import type { Directory } from '../directory/directory.ts'
import type { Clock, Ids, Log } from '../ports/ports.ts'
import type { Spool } from './body.ts'
import { Connection, type Listening } from './connection.ts'
import { smtpMetrics } from './metrics.ts'
import { RecentMessages } from './recent.ts'
import type { House, Limits } from './house.ts'
import { Throttle } from './throttle.ts'

export type { Draft, Reservation, Spool } from './body.ts'
export type { Limits } from './house.ts'
export type { ThrottleLimits } from './throttle.ts'
export { REPLIES, type Reply, type ReplyName } from './replies.ts'

export interface SmtpOptions {
  /** The name in banner, EHLO and Received. */
  hostname: string
  limits: Limits
  directory: Directory
  spool: Spool
  /** Who finds out who sent a mail. */
  authenticator?: Authenticator
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
  const house: House = {
    ...rest,
    metrics: smtpMetrics(registry),
    recent: new RecentMessages(),
    throttle: new Throttle(options.limits),
  }
  const listener = new Listener(house, options.clock)
  return {
    listen: (host, port) => listener.start(host, port),
    close: (drainMs) => listener.stop(drainMs),
    sessions: () => listener.open.size,
    facts: () => ({ listening: listener.listening, draining: listener.draining, sessions: listener.open.size }),
  }
}

/** How often sessions are asked whether their time is over, milliseconds; less where a deadline is short. */
const CHECK_MS = 1000
/** Sockets beyond the sessions, for clients that are told 421 and those that take their time to close. */
const spareSockets = (sessionsMax: number): number => sessionsMax + 100

class Listener implements Listening {
  readonly house: House
  /** Every session that has not ended, also those whose socket is closed and whose commit is under way. */
  readonly open = new Set<Connection>()
  readonly #clock: Clock
  /** Those of `open` that have not had their last reply. */
  readonly #talking = new Set<Connection>()
  // A peer that closes its side after the last command still gets its replies.
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true })
  readonly #stopped = new AbortController()
  #checking: Promise<void> | undefined
  #whenEmpty: (() => void) | undefined
  draining = false

  constructor(house: House, clock: Clock) {
    this.house = house
    this.#clock = clock
    const { sessionsMax } = house.limits
    this.#server.maxConnections = sessionsMax + spareSockets(sessionsMax)
    this.#server.on('connection', (socket) => this.#connect(socket))
    this.#server.on('drop', () => house.metrics.limited('sessions'))
  }

  get listening(): boolean {
    return this.#server.listening
  }

  get full(): boolean {
    return this.#talking.size > this.house.limits.sessionsMax
  }

  closing(connection: Connection): void {
    this.#talking.delete(connection)
  }

  #connect(socket: Socket): void {
    const connection = new Connection(socket, this)
    this.open.add(connection)
    this.#talking.add(connection)
    const ended = () => {
      this.open.delete(connection)
      this.#talking.delete(connection)
      if (this.open.size === 0) this.#whenEmpty?.()
    }
    connection
      .run()
      .catch((error: unknown) => this.house.log.error({ err: error }, 'session could not be ended'))
      .finally(ended)
  }

  start(host: string, port: number): Promise<{ port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.removeListener('error', reject)
        // Accepting fails when there are no file descriptors left; it goes on by itself.
        this.#server.on('error', (error) => this.house.log.error({ err: error }, 'listener failed'))
        this.#checking = this.#check(this.#stopped.signal)
        resolve({ port: (this.#server.address() as AddressInfo).port })
      })
    })
  }

  async stop(drainMs: number): Promise<void> {
    this.draining = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve
      if (this.open.size === 0) resolve()
    })
    for (const connection of this.open) connection.drain()
    const giveUp = new AbortController()
    const cut = this.#cutAfter(drainMs, giveUp.signal)
    await Promise.all([closed, empty])
    giveUp.abort()
    this.#stopped.abort()
    await Promise.all([cut, this.#checking])
  }

  /** One timer for all sessions, so that a deadline costs a message nothing. */
  async #check(signal: AbortSignal): Promise<void> {
    const { greetingTimeoutMs, idleTimeoutMs, dataTimeoutMs, sessionTimeoutMs } = this.house.limits
    const shortestMs = Math.min(greetingTimeoutMs, idleTimeoutMs, dataTimeoutMs, sessionTimeoutMs)
    const everyMs = Math.min(CHECK_MS, Math.ceil(shortestMs / 4))
    while (await this.#slept(everyMs, signal)) {
      const nowMs = this.#clock.monotonic()
      for (const connection of this.open) connection.check(nowMs)
    }
  }

  async #cutAfter(ms: number, signal: AbortSignal): Promise<void> {
    if (!(await this.#slept(ms, signal))) return
    for (const connection of this.open) connection.cut()
  }

  /** False when `signal` came first. */
  async #slept(ms: number, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#clock.sleep(ms, signal)
      return true
    } catch (error) {
      if (signal.aborted) return false
      throw error
    }
  }
}
