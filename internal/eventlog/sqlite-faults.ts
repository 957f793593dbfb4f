// SQLite's troubles as the event log's, and patience with locks.

import type { Clock } from '../ports/ports.ts'
import { EventLogError, type EventLogFault } from './fault.ts'

/** A write gives up on a locked file after so long; the caller's backoff goes on from there. */
const BUSY_MAX_MS = 2000
const BUSY_PAUSE_MS = 25

/** `work` until the file is not locked, at most BUSY_MAX_MS, with this thread free between the tries. */
export async function patiently(clock: Clock, work: () => void): Promise<void> {
  const deadline = clock.monotonic() + BUSY_MAX_MS
  for (;;) {
    try {
      return guarded(work)
    } catch (error) {
      if (!(error instanceof EventLogError) || error.fault !== 'busy' || clock.monotonic() >= deadline) throw error
      await clock.sleep(BUSY_PAUSE_MS)
    }
  }
}

/** SQLite's result codes, by prefix: extended codes begin with their primary one. */
const FAULTS: readonly [string, EventLogFault][] = [
  ['SQLITE_BUSY', 'busy'],
  ['SQLITE_LOCKED', 'busy'],
  ['SQLITE_FULL', 'full'],
  ['SQLITE_READONLY', 'readonly'],
]

/** `work`, its errors as EventLogError. */
export function guarded<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw asEventLogError(error)
  }
}

function asEventLogError(error: unknown): EventLogError {
  const { code = '', message } = error as { code?: string; message: string }
  const fault = FAULTS.find(([prefix]) => code.startsWith(prefix))?.[1]
  const closed = error instanceof TypeError && message.includes('not open')
  return new EventLogError(fault ?? (closed ? 'closed' : 'server'), `event log: ${message}`, { cause: error })
}
