// Waiting: the one retry schedule of the indexer, a bound on what runs at once, and a bell.

import type { Clock, Log } from '../ports/ports.ts'

/** Pauses double from the first to the longest, in milliseconds. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000

/** Milliseconds before try `tries + 1`, 50 to 100 % of the schedule, spread by id so that not all come back at once. */
export function pauseMs(tries: number, id: string): number {
  const full = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 20))
  const spread = (Number.parseInt(id.slice(-8), 16) || 0) / 0xffff_ffff
  return full * (0.5 + spread / 2)
}

/** The stage is stopping; what was under way begins again at the next start. */
export class Stopped extends Error {
  constructor() {
    super('stopped')
    this.name = 'Stopped'
  }
}

/** Sleeps; rejects with Stopped when `signal` aborts. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw new Stopped()
  try {
    await clock.sleep(ms, signal)
  } catch (error) {
    if (signal.aborted) throw new Stopped()
    throw error
  }
}

export interface Patience {
  clock: Clock
  logger: Log
  /** What waits, in hex: it spreads the tries. */
  id: string
  signal: AbortSignal
}

/** The outcome of `work` on the store, tried again whatever goes wrong until `signal` aborts: then Stopped. */
export async function reachStore<T>(work: () => Promise<T>, { clock, logger, id, signal }: Patience): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (error instanceof Stopped) throw error
      logger.warn({ err: error, tries }, 'the store is out of reach; trying again')
      await pause(clock, pauseMs(tries, id), signal)
    }
  }
}

/**
 * Runs `work` again and again until `signal` aborts: at once when it ends, after a pause when it fails. Pauses grow until it ends or
 * says that it goes well.
 */
export async function persist(
  work: (well: () => void) => Promise<unknown>,
  { clock, logger, id, signal }: Patience,
  trouble: string,
): Promise<void> {
  let tries = 0
  const well = () => {
    tries = 0
  }
  try {
    while (!signal.aborted) {
      try {
        await work(well)
        well()
      } catch (error) {
        if (signal.aborted) return
        tries += 1
        logger.warn({ err: error, tries }, `${trouble}; trying again`)
        await pause(clock, pauseMs(tries, id), signal)
      }
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  }
}

/** The outcome of `work`, or Stopped as soon as `signal` aborts; the work then ends unheard. */
export function unlessStopped<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const stop = () => reject(new Stopped())
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  return promise
}

/** Lets `count` holders in at a time, in the order they asked. */
export class Slots {
  #free: number
  readonly #queue: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    await new Promise<void>((resolve) => this.#queue.push(resolve))
  }

  give(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}

/** Runs one piece of work at a time, in the order they came. */
export class Line {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work)
    this.#last = Promise.allSettled([turn])
    return turn
  }
}

/** Wakes one sleeper; a ring while nobody sleeps is remembered. */
export class Bell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Resolves at the next ring, or after `ms`. Rejects with Stopped. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung) {
      const early = new AbortController()
      this.#wake = () => early.abort()
      await pause(clock, ms, AbortSignal.any([early.signal, signal])).catch((error: unknown) => {
        if (signal.aborted || !(error instanceof Stopped)) throw error
      })
    }
    if (signal.aborted) throw new Stopped()
    this.#rung = false
    this.#wake = undefined
  }
}
