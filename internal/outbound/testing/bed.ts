// The outbound channel among real peers: a store in a file, and a relay that answers as a test wants.

import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { onTestFinished } from 'vitest'
import type { Clock, Log } from '../../ports/ports.ts'
import { openSqliteStore } from '../../store/sqlite.ts'
import { getOutbound, queueOutbound, type Outbound, type Store } from '../../store/store.ts'
import { makePair } from '../../smtp/testing/certificates.ts'
import { outboundChannel, type ChannelOptions, type Relay } from '../outbound.ts'

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Waits are fifty times shorter than they say, and the hands can be turned. */
export class TurnedClock implements Clock {
  #turnedMs = 0
  now = () => Date.now() + this.#turnedMs
  monotonic = () => performance.now()
  sleep = (ms: number, signal?: AbortSignal) => sleep(ms / 50, undefined, signal && { signal })
  turn(ms: number): void {
    this.#turnedMs += ms
  }
}

export interface Taken {
  from: string
  to: string[]
  text: string
}

/** A relay, and what it took; `answer` may throw an error with `responseCode`. */
export interface FakeRelay {
  relay: Relay
  taken: Taken[]
  sessions: () => number
}

export interface Answers {
  onConnect?(): Error | undefined
  onRecipient?(address: string): Error | undefined | Promise<Error | undefined>
  onContent?(taken: Taken): Error | undefined | Promise<Error | undefined>
}

/** An error that the server answers with this code. */
export const saying = (responseCode: number, text: string): Error => Object.assign(new Error(text), { responseCode })

/** A certificate for localhost, of our own signing. */
export function localhostPair(): { key: string; cert: string } {
  const dir = mkdtempSync(join(tmpdir(), 'outbound-tls-'))
  const { key, cert } = makePair(dir, 'relay', ['localhost'])
  const pair = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  rmSync(dir, { recursive: true, force: true })
  return pair
}
const PAIR = localhostPair()

/** A real SMTP server on a free port, until the test ends. */
export async function startRelay(answers: Answers = {}, options: SMTPServerOptions = {}): Promise<FakeRelay> {
  const taken: Taken[] = []
  let sessions = 0
  const server = new SMTPServer({
    authOptional: true,
    disableReverseLookup: true,
    closeTimeout: 100,
    ...PAIR,
    onConnect(_session, done) {
      sessions += 1
      done(answers.onConnect?.())
    },
    onRcptTo({ address }, _session, done) {
      const answered = async () => done(await answers.onRecipient?.(address))
      void answered()
    },
    onData(stream, { envelope }, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address
        const mail = { from, to: envelope.rcptTo.map(({ address }) => address), text: Buffer.concat(chunks).toString() }
        const answered = async () => {
          const error = await answers.onContent?.(mail)
          if (error === undefined) taken.push(mail)
          done(error)
        }
        void answered()
      })
    },
    ...options,
  })
  server.on('error', () => undefined)
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  onTestFinished(() => new Promise<void>((closed) => server.close(() => closed())))
  const { port } = listening.address() as AddressInfo
  const relay = {
    host: '127.0.0.1',
    port,
    secure: false,
    tls: 'opportunistic',
    name: 'mail.localhost',
    timeoutMs: 2000,
  } as const
  return { relay, taken, sessions: () => sessions }
}

export interface Bed {
  store: Store
  clock: TurnedClock
  queue(n: number, change?: { to?: string; tenant?: string }): Promise<string>
  state(id: string): Promise<Outbound>
  /** Starts a channel to `relay`. */
  start(relay: Relay, change?: Partial<ChannelOptions>): { registry: Registry; stop: () => Promise<void> }
}

export async function openBed(): Promise<Bed> {
  const dir = mkdtempSync(join(tmpdir(), 'outbound-'))
  const store = await openSqliteStore({ file: join(dir, 'store.db') })
  const clock = new TurnedClock()
  const stops: (() => Promise<void>)[] = []
  onTestFinished(async () => {
    for (const stop of stops) await stop()
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  })
  return {
    store,
    clock,
    async queue(n, { to = `ann-${n}@example.org`, tenant = 'acme' } = {}) {
      const id = `00000000-0000-5000-8000-${String(n).padStart(12, '0')}`
      const mail = {
        from: 'sales@mail.localhost',
        to,
        subject: `Auto: ${n}`,
        text: 'away\n',
        date: 1000,
        inReplyTo: null,
        references: [],
        autoSubmitted: 'auto-replied' as const,
      }
      const about = { tenant, purpose: 'auto_reply' as const, aboutMessageId: null }
      const headerMessageId = `<auto-${n}@mail.localhost>`
      await store.transaction((tx) => queueOutbound(tx, { ...about, id, headerMessageId, mail, now: clock.now() }))
      return id
    },
    state: (id) => getOutbound(store, id),
    start(relay, change = {}) {
      const stopping = new AbortController()
      const registry = new Registry()
      const options = { store, relay, clock, logger: silent, registry, connections: 2, keepDays: 30, ...change }
      const ended = outboundChannel(options).run(stopping.signal)
      const stop = async () => {
        stopping.abort()
        await ended
      }
      stops.push(stop)
      return { registry, stop }
    },
  }
}

/** Waits until it holds, at most 15 s. */
export async function eventually(holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + 15_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('not within 15 s')
    await sleep(10)
  }
}
