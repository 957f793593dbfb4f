// How many ask the scanner at one time, and how often while it does not answer.

import type { Clock } from '../ports/ports.ts'
import { ScannerError } from './outcome.ts'

/** Failures in a row after which the scanner counts as down. One alone may be a message's doing. */
const FAILURES_MAX = 3
/** While it is down one may try after each pause; the others are refused at once, so that nobody waits out a deadline in vain. */
export const DOWN_PAUSE_MS = 5000

export class Gate {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #queue: (() => void)[] = []
  #free: number
  #failures = 0
  /** While down: when the next one may try. */
  #nextMs = 0

  constructor(places: number, clock: Pick<Clock, 'monotonic'>) {
    this.#free = places
    this.#clock = clock
  }

  /** Does `work` when there is a place. Rejects with ScannerError at once while the scanner is down. */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    await this.#take()
    try {
      this.#try()
      const result = await work()
      this.#failures = 0
      return result
    } catch (error) {
      this.#note(error)
      throw error
    } finally {
      this.#give()
    }
  }

  #try(): void {
    if (this.#failures < FAILURES_MAX) return
    const now = this.#clock.monotonic()
    if (now < this.#nextMs) throw new Refused()
    this.#nextMs = Number.POSITIVE_INFINITY
  }

  #note(error: unknown): void {
    if (error instanceof Refused) return
    // An answer, whatever it says, and a body that cannot be read are no sign that the scanner is down.
    const down = error instanceof ScannerError && error.fault !== 'failed'
    this.#failures = down ? this.#failures + 1 : 0
    this.#nextMs = this.#clock.monotonic() + DOWN_PAUSE_MS
  }

  async #take(): Promise<void> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#queue.push(resolve))
  }

  #give(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}

class Refused extends ScannerError {
  constructor() {
    super('unreachable', 'the scanner did not answer a moment ago')
  }
}
