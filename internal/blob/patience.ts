// How long a request may take. It may be slow, but it has to move, and it has to end.

import type { Clock } from '../ports/ports.ts'
import { BlobError } from './fault.ts'

export interface PatienceOptions {
  clock: Pick<Clock, 'monotonic' | 'sleep'>
  /** Milliseconds without a byte accepted or an answer. */
  idleMs: number
  /** Milliseconds in all. */
  wholeMs: number
}

/** What a request is held by. */
export interface Hold {
  /** Aborts the request when patience ends. Made when first asked for: it costs more than all the rest. */
  readonly signal: AbortSignal
  /** Calls `cut` when patience ends, or at once if it has. */
  onCut(cut: () => void): void
  /** Something of it went on: the idle time begins anew. */
  moved(): void
}

/** Does `work`; rejects with `timeout` and aborts it when it idles or takes too long, also if it heeds no signal. */
export type Patience = <T>(what: string, work: (hold: Hold) => Promise<T>) => Promise<T>

/** Ends the sleep when no request is left to watch. */
const DONE = new Error('done')

/** One watch for all requests: nearly all end long before their time, and a timer for each would be for nothing. */
export function patience({ clock, idleMs, wholeMs }: PatienceOptions): Patience {
  const held = new Set<Held>()
  let sleeping: AbortController | undefined

  const dueAt = ({ beganAt, movedAt }: Held) => Math.min(movedAt + idleMs, beganAt + wholeMs)
  const letGo = (hold: Held) => {
    held.delete(hold)
    if (held.size > 0) return
    sleeping?.abort(DONE)
    sleeping = undefined
  }
  const watch = async ({ signal }: AbortController) => {
    while (!signal.aborted) {
      const now = clock.monotonic()
      for (const each of held) {
        if (dueAt(each) > now) continue
        letGo(each)
        each.expire()
      }
      // None that begins later is due sooner than the first of these.
      const next = held.values().reduce((first, each) => Math.min(first, dueAt(each)), Infinity)
      try {
        if (held.size > 0) await clock.sleep(next - now, signal)
      } catch (error) {
        if (!signal.aborted) throw error
      }
    }
  }
  return async (what, work) => {
    const { promise: expired, reject } = Promise.withResolvers<never>()
    const hold = new Held(clock, () =>
      reject(new BlobError('timeout', `${what}: nothing moved for ${idleMs} ms, or not done in ${wholeMs} ms`)),
    )
    held.add(hold)
    if (sleeping === undefined) void watch((sleeping = new AbortController()))
    try {
      return await Promise.race([expired, work(hold)])
    } finally {
      letGo(hold)
    }
  }
}

class Held implements Hold {
  readonly beganAt: number
  movedAt: number
  readonly #clock: PatienceOptions['clock']
  readonly #cuts: (() => void)[]
  #isOver = false
  #controller: AbortController | undefined

  constructor(clock: PatienceOptions['clock'], expired: () => void) {
    this.#clock = clock
    this.#cuts = [expired]
    this.beganAt = this.movedAt = clock.monotonic()
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = (this.#controller = new AbortController())
      this.onCut(() => controller.abort())
    }
    return this.#controller.signal
  }

  onCut(cut: () => void): void {
    if (this.#isOver) cut()
    else this.#cuts.push(cut)
  }

  moved(): void {
    this.movedAt = this.#clock.monotonic()
  }

  expire(): void {
    this.#isOver = true
    for (const cut of this.#cuts) cut()
  }
}
