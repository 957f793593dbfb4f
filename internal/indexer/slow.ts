// What takes long is found by one look at all that is under way: a timer for each costs more than most take.

import type { Clock } from '../ports/ports.ts'
import { pause } from './waiting.ts'

/** Looks in the time after which something is slow. */
const LOOKS = 5

/** Things under way, and those of them that are slow. */
export class Slow<T> {
  /** Tells of one that is slow, once. Never rejects. */
  readonly #tell: (item: T) => Promise<void>
  /** The look before each began, in the order they did. */
  readonly #begun = new Map<T, number>()
  readonly #telling = new Map<T, Promise<void>>()
  #looks = 0

  constructor(tell: (item: T) => Promise<void>) {
    this.#tell = tell
  }

  begin(item: T): void {
    this.#begun.set(item, this.#looks)
  }

  /** Resolves when it is not told of any more. */
  async end(item: T): Promise<void> {
    this.#begun.delete(item)
    await this.#telling.get(item)
    this.#telling.delete(item)
  }

  /** Tells of what takes `ms`, a fifth of that later at most. Rejects with Stopped when `signal` aborts. */
  async watch(clock: Clock, ms: number, signal: AbortSignal): Promise<never> {
    for (;;) {
      await pause(clock, ms / LOOKS, signal)
      this.#looks += 1
      for (const [item, look] of this.#begun) {
        if (this.#looks - look <= LOOKS) break
        this.#begun.delete(item)
        this.#telling.set(item, this.#tell(item))
      }
    }
  }
}
