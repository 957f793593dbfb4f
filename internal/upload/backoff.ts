// The one retry schedule of the uploader, and the knowledge of what is down.

import type { Clock, Log } from '../ports/ports.ts'

/** The pause after the first failure, in milliseconds; it doubles from there. */
const FIRST_PAUSE_MS = 100

/** Milliseconds before try `tries + 1`: doubling up to `maxMs`, of which 50 to 100 % by `spread` (0 to 1). */
export function pauseMs(tries: number, maxMs: number, spread: number): number {
  const full = Math.min(maxMs, FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 30))
  return full * (0.5 + spread / 2)
}

/** A place of its own for each id among those that wait: the random end of a UUID, as a number from 0 to 1. */
export const spreadOf = (id: string): number => (Number.parseInt(id.slice(-8), 16) || 0) / 0xffff_ffff

/** A try that is under way at a stop gets so many milliseconds to end, and is given up then: the next process does it again. */
const LAST_TRY_MS = 3000

/** The stage is stopping; what was under way stays in the spool. */
export class Stopped extends Error {
  constructor() {
    super('stopped')
    this.name = 'Stopped'
  }
}

/** Something that may be down: work on it is tried for ever, and one success ends everyone's pause. */
export interface Target {
  /** The result of `work`, tried at least once and until it succeeds. Rejects with Stopped, or with what `isFinal` says no further try would mend. */
  reach<T>(id: string, work: () => Promise<T>, isFinal?: (error: unknown) => boolean): Promise<T>
}

export interface TargetOptions {
  name: string
  clock: Clock
  log: Log
  retryMaxMs: number
  signal: AbortSignal
  /** Told how each try ended: why it failed, or undefined. */
  failed(error: Error | undefined): void
  /** Told when someone begins to wait, and when the wait is over. */
  waiting(id: string, waits: boolean): void
}

export function target(options: TargetOptions): Target {
  const { name, clock, log, retryMaxMs, signal } = options
  const pauses = new Set<AbortController>()
  let down = false
  const wakeAll = () => {
    for (const pause of pauses) pause.abort()
  }
  /** How the tries under way are given up. */
  const tries = new Set<() => void>()
  const stop = () => {
    wakeAll()
    void clock.sleep(LAST_TRY_MS).then(() => {
      for (const giveUp of tries) giveUp()
    })
  }
  signal.addEventListener('abort', stop, { once: true })

  const unlessGivenUp = <T>(work: Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      const giveUp = () => reject(new Stopped())
      tries.add(giveUp)
      void work.then(resolve, reject).finally(() => tries.delete(giveUp))
    })

  const wait = async (id: string, tries: number) => {
    const pause = new AbortController()
    pauses.add(pause)
    options.waiting(id, true)
    try {
      await clock.sleep(pauseMs(tries, retryMaxMs, spreadOf(id)), pause.signal)
    } catch (error) {
      if (!pause.signal.aborted) throw error
    } finally {
      options.waiting(id, false)
      pauses.delete(pause)
    }
  }
  return {
    async reach(id, work, isFinal = () => false) {
      for (let count = 1; ; count += 1) {
        try {
          const result = await unlessGivenUp(work())
          options.failed(undefined)
          if (down) log.info({ target: name }, 'target is back')
          down = false
          wakeAll()
          return result
        } catch (error) {
          if (error instanceof Stopped || isFinal(error)) throw error
          options.failed(error as Error)
          // One line for all that wait: each of their tries would say the same.
          log[down ? 'debug' : 'warn'](
            { target: name, entryId: id, tries: count, error: (error as Error).message },
            'target failed, will try again',
          )
          down = true
        }
        if (!signal.aborted) await wait(id, count)
        if (signal.aborted) throw new Stopped()
      }
    },
  }
}
