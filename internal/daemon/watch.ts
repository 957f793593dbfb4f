// Whether an engine can be reached, asked now and then by the process itself: readiness must not wait for mail to show it.

import type { Clock, Log } from '../ports/ports.ts'
import type { Check } from './health.ts'

const EVERY_MS = 5000
/** An engine that has not answered for so long is out of reach; its answer is waited for all the same. */
const PATIENCE_MS = 5000

export interface WatchOptions {
  /** Names the engine in /readyz and in the log. */
  name: string
  /** A small question that only an engine in order answers. */
  ask: () => Promise<unknown>
  clock: Clock
  log: Pick<Log, 'info' | 'warn'>
}

export interface Watch {
  check: Check
  /** Asks until `signal` aborts, and waits for the answer that is under way. */
  run: (signal: AbortSignal) => Promise<void>
}

/** The check tells how the last question ended; the log tells each change once. */
export function watch({ name, ask, clock, log }: WatchOptions): Watch {
  let asked = false
  let down: { since: string; error: string } | undefined

  const failed = (error: string) => {
    if (down === undefined || kindOf(down.error) !== kindOf(error))
      log.warn({ engine: name, error }, 'an engine is out of reach or refuses; trying again')
    down = { since: down?.since ?? new Date(clock.now()).toISOString(), error }
    asked = true
  }
  const answered = () => {
    if (down !== undefined) log.info({ engine: name, since: down.since }, 'an engine is in reach again')
    down = undefined
    asked = true
  }
  const look = async (signal: AbortSignal) => {
    const over = new AbortController()
    void clock.sleep(PATIENCE_MS, AbortSignal.any([over.signal, signal])).then(
      () => down === undefined && failed(`no answer for ${PATIENCE_MS / 1000} s`),
      () => undefined,
    )
    const error = await ask().then(
      () => undefined,
      (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
    )
    over.abort()
    if (signal.aborted) return
    if (error === undefined) answered()
    else failed(error)
  }
  return {
    check: {
      name,
      problem: () =>
        down === undefined ? (asked ? undefined : 'not asked yet') : `since ${down.since}: ${down.error}`,
    },
    async run(signal) {
      while (!signal.aborted) {
        await look(signal)
        await clock.sleep(EVERY_MS, signal).catch((error: unknown) => {
          if (!signal.aborted) throw error
        })
      }
    },
  }
}

/** Times and counts in an error's text make no new one of it. */
const kindOf = (error: string): string => error.replaceAll(/\d+/g, '')
