// How often one network may try to log in, and how many secrets are checked at one time: each check is dear on purpose.

import type { Clock } from '../ports/ports.ts'
import { clientOf } from './throttle.ts'

/** Failures of one network in a window. */
const FAILURES_MAX = 10
const WINDOW_MS = 600_000
/** Networks that are remembered; beyond these the one that came first is forgotten. */
const NETWORKS_MAX = 10_000

interface Tally {
  count: number
  sinceMs: number
}

export class Attempts {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #tallies = new Map<string, Tally>()

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Counts one attempt before it is looked at, so that many at once are many. False: there were too many. */
  begin(address: string): boolean {
    const client = clientOf(address)
    const nowMs = this.#clock.monotonic()
    let tally = this.#tallies.get(client)
    if (tally === undefined || nowMs - tally.sinceMs >= WINDOW_MS) {
      tally = { count: 0, sinceMs: nowMs }
      this.#tallies.delete(client)
      this.#tallies.set(client, tally)
    }
    this.#forgetOldest()
    if (tally.count >= FAILURES_MAX) return false
    tally.count += 1
    return true
  }

  /** The attempt was no failure. */
  forgive(address: string): void {
    const tally = this.#tallies.get(clientOf(address))
    if (tally !== undefined && tally.count > 0) tally.count -= 1
  }

  #forgetOldest(): void {
    if (this.#tallies.size <= NETWORKS_MAX) return
    const [oldest] = this.#tallies.keys()
    if (oldest !== undefined) this.#tallies.delete(oldest)
  }
}

/** Secrets that are checked at one time: 16 MiB and one thread each. */
const CHECKS_MAX = 2
/** Those who wait for their turn; more are told to come again. */
const WAITING_MAX = 64

/** Lets a few work at one time, in the order they came. */
export class Turns {
  #running = 0
  readonly #waiting: (() => void)[] = []

  /** Undefined: too many wait. Rejects with what `work` rejects with. */
  async take<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#running >= CHECKS_MAX) {
      if (this.#waiting.length >= WAITING_MAX) return undefined
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running += 1
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
