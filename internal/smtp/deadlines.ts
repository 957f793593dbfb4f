// How long a client may take, decided without a timer: the listener asks every session now and then.

import type { ReplyName } from './replies.ts'

/** All in milliseconds but for the last. */
export interface Timeouts {
  /** From connect, and anew from STARTTLS, to EHLO or HELO, whatever comes before. */
  greetingTimeoutMs: number
  /** For one command, from its invitation to its line end (RFC 5321 4.5.3.2.7: at least 5 minutes), however it drips in. */
  idleTimeoutMs: number
  /** For the content of one mail, or of one chunk. */
  dataTimeoutMs: number
  /** For the whole session; a mail that is coming in may end. */
  sessionTimeoutMs: number
  /** Octets of content a second; slower clients use up `idleTimeoutMs`. 0: no such floor. */
  dataRateMin: number
}

export type Expected = 'greeting' | 'command' | 'content'

/** Deadlines of one session. Times are a monotonic clock's. While it is our turn nothing runs out. */
export class Deadlines {
  readonly #timeouts: Timeouts
  readonly #openedMs: number
  #expected: Expected = 'greeting'
  #expectedMs: number
  /** What is left for the client's next octets. */
  #allowanceMs: number
  #waitingSinceMs: number | undefined

  constructor(timeouts: Timeouts, nowMs: number) {
    this.#timeouts = timeouts
    this.#openedMs = nowMs
    this.#expectedMs = nowMs
    this.#allowanceMs = timeouts.idleTimeoutMs
  }

  /** It is the client's turn. */
  get waiting(): boolean {
    return this.#waitingSinceMs !== undefined
  }

  /** From here on the client owes us this. */
  expect(expected: Expected, nowMs: number): void {
    // What comes before EHLO earns no time for it.
    if (expected !== 'greeting' || this.#expected !== 'greeting') this.#expectedMs = nowMs
    this.#expected = expected
    this.#allowanceMs = this.#timeouts.idleTimeoutMs
  }

  /** Its turn begins. */
  wait(nowMs: number): void {
    this.#waitingSinceMs ??= nowMs
  }

  /** It sent something, so it is our turn. Content earns time, up to what there was at the start; a part of a command does not. */
  heard(octets: number, nowMs: number): void {
    const { dataRateMin, idleTimeoutMs } = this.#timeouts
    this.#allowanceMs -= nowMs - (this.#waitingSinceMs ?? nowMs)
    this.#waitingSinceMs = undefined
    if (this.#expected !== 'content') return
    const earnedMs = dataRateMin === 0 ? idleTimeoutMs : (octets * 1000) / dataRateMin
    this.#allowanceMs = Math.min(idleTimeoutMs, this.#allowanceMs + earnedMs)
  }

  /** What to say to a client that took too long; undefined while it is in time. */
  overdue(nowMs: number): ReplyName | undefined {
    if (this.#waitingSinceMs === undefined) return undefined
    const { greetingTimeoutMs, dataTimeoutMs, sessionTimeoutMs } = this.#timeouts
    const content = this.#expected === 'content'
    if (nowMs - this.#waitingSinceMs >= this.#allowanceMs) return content ? 'too_slow' : 'idle'
    if (this.#expected === 'greeting' && nowMs - this.#expectedMs >= greetingTimeoutMs) return 'no_greeting'
    if (content) return nowMs - this.#expectedMs >= dataTimeoutMs ? 'too_slow' : undefined
    return nowMs - this.#openedMs >= sessionTimeoutMs ? 'session_too_long' : undefined
  }
}
