// A rate that is never exceeded.

import type { Clock } from '../ports/ports.ts'
import { pause, Stopped } from './waiting.ts'

/** Lets at most `perSecond` things pass each second, evenly; time that was lost is not made up for. */
export class Pace {
  readonly #clock: Clock
  readonly #perSecond: number
  #freeAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#perSecond = perSecond
  }

  /** Resolves when `count` more may pass. Rejects with Stopped when `signal` aborts. */
  async take(count: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new Stopped()
    const ms = this.#freeAt - this.#clock.monotonic()
    if (ms > 0) await pause(this.#clock, ms, signal)
    this.#freeAt = this.#clock.monotonic() + (1000 * count) / this.#perSecond
  }
}
