// The life of a process: it runs until a signal or the first failure of a part, then takes everything down in reverse order.

import type { Log } from '../ports/ports.ts'
import { systemClock } from './clock.ts'

/** Something that was started and must be stopped. */
export interface Part {
  name: string
  /** Rejects when the part failed by itself; resolves when it ended. Absent for parts that only wait to be stopped. */
  running?: Promise<void>
  stop(): Promise<void>
  /** Its stop has a bound of its own, a setting. */
  drains?: true
}

/** How a process ended: 0 by a signal, 1 when a part failed or a stop did. */
export type ExitStatus = 0 | 1

/** What all stops together may take beside those that drain, milliseconds: an engine that is frozen must not hold the process. */
const STOP_MAX_MS = 8000
/** What each stop gets all the same. */
const STOP_MIN_MS = 100

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Resolves with the first stop signal's name, or rejects with the failure of the first part that fails. A second signal ends the process at once. */
export function untilSignalOrFailure(parts: readonly Part[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let told = false
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (told) process.exit(130)
        told = true
        resolve(signal)
      })
    }
    for (const part of parts) part.running?.catch((error: unknown) => reject(new PartFailed(part.name, error)))
  })
}

/** One part ended with an error that it could not mend. */
export class PartFailed extends Error {
  constructor(part: string, cause: unknown) {
    super(`${part}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'PartFailed'
  }
}

/**
 * Runs `parts` until a signal or a failure, then stops them, the last started first, and says how it went. A part that does not stop
 * in time is left behind: the process is about to end, and what was begun is done again by whoever starts next.
 */
export async function runParts(parts: readonly Part[], log: Log, stopMaxMs = STOP_MAX_MS): Promise<ExitStatus> {
  let status: ExitStatus = 0
  try {
    const signal = await untilSignalOrFailure(parts)
    log.info({ signal }, 'stopping')
  } catch (error) {
    log.error({ error }, 'a part failed; stopping')
    status = 1
  }
  let leftMs = stopMaxMs
  for (const part of parts.toReversed()) {
    const began = systemClock.monotonic()
    try {
      await (part.drains ? part.stop() : within(Math.max(leftMs, STOP_MIN_MS), part.stop()))
    } catch (error) {
      log.error({ error, part: part.name }, 'could not stop cleanly')
      status = 1
    }
    if (!part.drains) leftMs -= systemClock.monotonic() - began
  }
  log.info({ status }, 'stopped')
  return status
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const over = new AbortController()
  const late = systemClock.sleep(ms, over.signal).then(() => {
    throw new Error('it did not stop in time')
  })
  try {
    await Promise.race([work, late])
  } finally {
    over.abort()
  }
}
