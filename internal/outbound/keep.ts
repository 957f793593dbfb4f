// What is over leaves the store: mail that was sent or has failed.

import type { Clock, Log } from '../ports/ports.ts'
import { forgetOutbound, type Store } from '../store/store.ts'
import { rest } from './rest.ts'

const EVERY_MS = 3_600_000
const DAY_MS = 86_400_000
/** Between two batches, so that SQLite's one writer is free for mail. */
const BREATH_MS = 50

export interface KeepOptions {
  store: Store
  clock: Clock
  logger: Log
  keepDays: number
}

/** Looks at once and then every hour, until the signal aborts. Trouble waits for the next time. */
export async function forgetOld({ store, clock, logger, keepDays }: KeepOptions, signal: AbortSignal): Promise<void> {
  const forget = () => forgetOutbound(store, clock.now() - keepDays * DAY_MS)
  while (!signal.aborted) {
    try {
      while (!signal.aborted && (await forget()) > 0) await rest(clock, BREATH_MS, signal)
    } catch (error) {
      if (!signal.aborted)
        logger.warn({ err: error }, 'old outbound mail could not be dropped; trying again in an hour')
    }
    await rest(clock, EVERY_MS, signal)
  }
}
