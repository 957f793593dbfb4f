// The DNS as the checks see it: one cache for all mails, and a time that is up for one mail. What the DNS cannot tell now (timeout,
// SERVFAIL, REFUSED) is an error that passes, and never the same as a name that is not there.

import { Resolver } from 'node:dns/promises'
import type { Clock } from '../ports/ports.ts'
import { askOddName, failure, isOdd } from './odd-names.ts'

/** Rows of the DNS as `node:dns` gives them; rejects with its error codes. */
export type Lookup = (name: string, type: string) => Promise<string[] | string[][]>

export interface Lookups {
  /** A lookup that answers ETIMEOUT from when `signal` aborts. */
  until(signal: AbortSignal): Lookup
}

export interface LookupOptions {
  /** `address` or `address:port`; none for those of the system. */
  servers: readonly string[]
  clock: Pick<Clock, 'monotonic'>
  /** For the first try of one server; the next ones take longer. */
  timeoutMs?: number
  tries?: number
  cacheBytesMax?: number
}

const TIMEOUT_MS = 2000
const TRIES = 2
const CACHE_BYTES_MAX = 8 * 1024 * 1024
/** An answer that takes more of the cache than this is not kept. */
const ANSWER_BYTES_MAX = 16 * 1024

/** How long an answer is kept, milliseconds. `node:dns` tells the TTL of addresses alone. */
const KEEP_MS = {
  /** Bounds of the TTL of an address. */
  least: 5000,
  most: 3_600_000,
  /** Other records. */
  record: 300_000,
  /** No such name, or no such record (RFC 2308 5 takes it from the SOA, which is not told either). */
  nothing: 60_000,
  /** The server failed (RFC 2308 7.1 and 7.2 allow 5 minutes): long enough to spare a server in trouble, and no longer. */
  failure: 5000,
} as const

const NOTHING = new Set(['ENOTFOUND', 'ENODATA'])
const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** An error of the DNS that says nothing of the name. */
export const isPassing = (error: unknown): boolean => !NOTHING.has(codeOf(error)) && codeOf(error) !== 'EBADNAME'

interface Answer {
  rows: string[] | string[][]
  keepMs: number
}

interface Kept {
  answer: Promise<Answer>
  /** Infinity while it is asked for. */
  untilMs: number
  bytes: number
}

/** Asks `servers`, over TCP where an answer does not fit (RFC 7766 5). */
export function dnsLookups(options: LookupOptions): Lookups {
  const { servers, timeoutMs = TIMEOUT_MS, tries = TRIES } = options
  const resolver = new Resolver({ timeout: timeoutMs, tries })
  if (servers.length > 0) resolver.setServers(servers)
  const cache = new Cache((name, type) => ask(resolver, name, type, timeoutMs), options)
  return {
    until(signal) {
      const over = new Promise<never>((_resolve, reject) => {
        const timeUp = () => reject(Object.assign(new Error('time is up'), { code: 'ETIMEOUT' }))
        if (signal.aborted) timeUp()
        else signal.addEventListener('abort', timeUp, { once: true })
      })
      // Whoever waits for a lookup hears of it; without one nobody needs to.
      over.catch(() => 'heard')
      return async (name, type) => (await Promise.race([cache.answer(name, type), over])).rows
    },
  }
}

async function ask(resolver: Resolver, name: string, type: string, timeoutMs: number): Promise<Answer> {
  const answer = await answered(resolver, name, type, timeoutMs)
  // Of an alias that leads nowhere Node tells an empty answer and no error.
  if (answer.rows.length === 0) throw failure('ENODATA')
  return answer
}

async function answered(resolver: Resolver, name: string, type: string, timeoutMs: number): Promise<Answer> {
  if (isOdd(name)) {
    const { rows, ttlSeconds } = await askOddName(name, type, { servers: resolver.getServers(), timeoutMs })
    return { rows, keepMs: keptMs(ttlSeconds) }
  }
  if (type === 'A' || type === 'AAAA') {
    const rows = await (type === 'A' ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }))
    return { rows: rows.map((row) => row.address), keepMs: keptMs(Math.min(...rows.map((row) => row.ttl))) }
  }
  return { rows: (await resolver.resolve(name, type)) as string[] | string[][], keepMs: KEEP_MS.record }
}

const keptMs = (ttlSeconds: number): number => Math.min(Math.max(ttlSeconds * 1000, KEEP_MS.least), KEEP_MS.most)

/** Answers by question, least recently used first. Bounded in bytes; one question is asked once at a time. */
class Cache {
  readonly #ask: (name: string, type: string) => Promise<Answer>
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #bytesMax: number
  readonly #kept = new Map<string, Kept>()
  #bytes = 0

  constructor(askDns: (name: string, type: string) => Promise<Answer>, options: LookupOptions) {
    this.#ask = askDns
    this.#clock = options.clock
    this.#bytesMax = options.cacheBytesMax ?? CACHE_BYTES_MAX
  }

  answer(name: string, type: string): Promise<Answer> {
    const key = `${type} ${name.toLowerCase()}`
    const known = this.#kept.get(key)
    if (known !== undefined) {
      this.#kept.delete(key)
      if (known.untilMs > this.#clock.monotonic()) {
        this.#kept.set(key, known)
        return known.answer
      }
      this.#bytes -= known.bytes
    }
    const kept: Kept = { answer: this.#ask(name, type), untilMs: Number.POSITIVE_INFINITY, bytes: 0 }
    this.#kept.set(key, kept)
    kept.answer.then(
      ({ rows, keepMs }) => this.#keep(key, kept, keepMs, JSON.stringify(rows).length),
      (error: unknown) => this.#keep(key, kept, isPassing(error) ? KEEP_MS.failure : KEEP_MS.nothing, 0),
    )
    return kept.answer
  }

  #keep(key: string, kept: Kept, keepMs: number, answerBytes: number): void {
    if (this.#kept.get(key) !== kept) return
    if (answerBytes > ANSWER_BYTES_MAX) {
      this.#kept.delete(key)
      return
    }
    kept.untilMs = this.#clock.monotonic() + keepMs
    kept.bytes = ENTRY_BYTES + key.length + answerBytes
    this.#bytes += kept.bytes
    for (const [oldest, { bytes, untilMs }] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) break
      // What is asked for now weighs nothing yet.
      if (untilMs === Number.POSITIVE_INFINITY) continue
      this.#kept.delete(oldest)
      this.#bytes -= bytes
    }
  }
}

/** What an entry takes besides its texts, roughly. */
const ENTRY_BYTES = 300
