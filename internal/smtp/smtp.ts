// Package smtp is the front door: it speaks SMTP (RFC 5321 2.1) and answers 250 only when the message is durable in the spool (R3).
//
// reader.ts cuts octets into lines and content, commands.ts finds the step of a line, session.ts decides, replies.ts holds every
// reply, body.ts brings octets to disk, connection.ts is the loop around one socket, deadlines.ts says who took too long.
// Invariant: a reply of 250 to a message is sent after Draft.commit resolved, and never otherwise.

import { BlockList, createServer, isIP, isIPv6, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Registry } from '@prometheus-io/client'
import type { Authenticator } from '../authentication/authentication.ts'
import { checkSecret, type Directory, type TenantQuotas } from '../directory/directory.ts'
import { UNTRACED, type Clock, type Ids, type Log, type Tracer } from '../ports/ports.ts'
import { Attempts, Turns } from './attempts.ts'
import type { Spool } from './body.ts'
import type { Certificates } from './certificates.ts'
import { Connection, type Listening } from './connection.ts'
import { smtpMetrics, type ListenerName } from './metrics.ts'
import { RecentMessages } from './recent.ts'
import type { House, Limits } from './house.ts'
import type { InlineScan } from './inline-scan.ts'
import { Refusals, type Notes } from './refusals.ts'
import { Throttle } from './throttle.ts'

export type { Draft, Reservation, Spool } from './body.ts'
export { openCertificates, type Certificates, type KeyPair } from './certificates.ts'
export type { Limits } from './house.ts'
export type { ListenerName } from './metrics.ts'
export type { InlineScan } from './inline-scan.ts'
export type { ThrottleLimits } from './throttle.ts'
export { REFUSAL_REASONS } from './refusals.ts'
export { REPLIES, type Reply, type ReplyName } from './replies.ts'

export interface SmtpOptions {
  /** The name in banner, EHLO and Received. */
  hostname: string
  limits: Limits
  directory: Directory
  /** Without it there are none. */
  quotas?: TenantQuotas
  spool: Spool
  /** Where refusals go that tenants hear of. */
  notes: Notes
  /** Who finds out who sent a mail. */
  authenticator?: Authenticator
  /** Scans mail before its final reply; without it indexerd does it later, or nobody. */
  inlineScan?: InlineScan
  clock: Clock
  ids: Ids
  log: Log
  registry: Registry
  /** Where the spans of transactions go. */
  tracer?: Tracer
  /** Undefined: there is no TLS. */
  certificates?: Certificates
  /** Mail comes over TLS or not at all. */
  requireTls?: boolean
  /** Networks of balancers, which begin by PROXY. */
  proxies?: BlockList
  /** Stands in for the real one where a test counts. */
  checkSecret?: typeof checkSecret
}

/** What readiness is judged by. */
export interface SmtpFacts {
  listening: boolean
  draining: boolean
  sessions: number
}

export interface SmtpDoor {
  /**
   * Starts to listen; port 0 takes a free one. `smtps` speaks TLS from the first octet; `submission` takes mail of clients that log in,
   * for recipients of ours like the others: nothing is relayed. Rejects with the socket's error, such as EADDRINUSE.
   */
  listen(host: string, port: number, listener?: ListenerName): Promise<{ port: number }>
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
  const {
    registry,
    certificates,
    requireTls = false,
    proxies = new BlockList(),
    checkSecret: check = checkSecret,
    tracer = UNTRACED,
    notes,
    ...rest
  } = options
  const house: House = {
    ...rest,
    tracer,
    metrics: smtpMetrics(registry),
    recent: new RecentMessages(),
    throttle: new Throttle(options.limits),
    refusals: new Refusals({ ...options, notes, perMinute: options.limits.refusalRate }),
    certificates,
    requireTls,
    isProxy: (address) => isIP(address) !== 0 && proxies.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'),
    authority: { attempts: new Attempts(options.clock), turns: new Turns(), checkSecret: check },
  }
  const listener = new Listener(house, options.clock)
  return {
    listen: (host, port, name = 'smtp') => listener.start(host, port, name),
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
  readonly #servers: Server[] = []
  readonly #stopped = new AbortController()
  #checking: Promise<void> | undefined
  #whenEmpty: (() => void) | undefined
  draining = false

  constructor(house: House, clock: Clock) {
    this.house = house
    this.#clock = clock
  }

  get listening(): boolean {
    return this.#servers.some((server) => server.listening)
  }

  get full(): boolean {
    return this.#talking.size > this.house.limits.sessionsMax
  }

  closing(connection: Connection): void {
    this.#talking.delete(connection)
  }

  #connect(socket: Socket, listener: ListenerName): void {
    const connection = new Connection(socket, listener, this)
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

  start(host: string, port: number, name: ListenerName): Promise<{ port: number }> {
    const { limits, metrics, log } = this.house
    // A peer that closes its side after the last command still gets its replies.
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    server.maxConnections = limits.sessionsMax + spareSockets(limits.sessionsMax)
    server.on('connection', (socket) => this.#connect(socket, name))
    server.on('drop', () => metrics.limited('sessions'))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.removeListener('error', reject)
        // Accepting fails when there are no file descriptors left; it goes on by itself.
        server.on('error', (error) => log.error({ err: error }, 'listener failed'))
        this.#servers.push(server)
        this.#checking ??= this.#check(this.#stopped.signal)
        resolve({ port: (server.address() as AddressInfo).port })
      })
    })
  }

  async stop(drainMs: number): Promise<void> {
    this.draining = true
    const closed = Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    )
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
    this.house.refusals.flush(true)
  }

  /** One timer for all sessions, so that a deadline costs a message nothing; and for what tenants hear of. */
  async #check(signal: AbortSignal): Promise<void> {
    const { greetingTimeoutMs, idleTimeoutMs, dataTimeoutMs, sessionTimeoutMs } = this.house.limits
    const shortestMs = Math.min(greetingTimeoutMs, idleTimeoutMs, dataTimeoutMs, sessionTimeoutMs)
    const everyMs = Math.min(CHECK_MS, Math.ceil(shortestMs / 4))
    while (await this.#slept(everyMs, signal)) {
      const nowMs = this.#clock.monotonic()
      for (const connection of this.open) connection.check(nowMs)
      this.house.refusals.flush()
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
