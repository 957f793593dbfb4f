// Whether the spool takes mail, looked at also while none comes. Without that a node that was short of space once, and to which a
// balancer therefore sends nothing, would never hear that there is space again.

import type { Clock } from '../internal/ports/ports.ts'
import { SpoolError, type SpoolWriter } from '../spool/spool.ts'

/** Readiness and metrics tell the truth within 5 s (durability.md I8). */
const EVERY_MS = 1000

export interface SpoolSpace {
  /** Looks until `signal` aborts. Rejects on bugs only. */
  run(signal: AbortSignal): Promise<void>
  /** Why the spool takes no mail, in one sentence; undefined while it does. */
  problem(): string | undefined
}

/** Each look refreshes what `stats` says of the disk. */
export function spoolSpace(spool: Pick<SpoolWriter, 'check' | 'stats'>, clock: Pick<Clock, 'sleep'>): SpoolSpace {
  let trouble: SpoolError | undefined
  const look = async () => {
    try {
      await spool.check(0)
      trouble = undefined
    } catch (error) {
      if (!(error instanceof SpoolError)) throw error
      trouble = error
    }
  }
  return {
    async run(signal) {
      while (!signal.aborted) {
        await look()
        await clock.sleep(EVERY_MS, signal).catch((error: unknown) => {
          if (!signal.aborted) throw error
        })
      }
    },
    problem() {
      const { poisoned, short } = spool.stats()
      if (poisoned) return 'the spool met a disk error and takes no more mail; restart after a look at the disk'
      if (short) return 'free space is below SPOOL_FREE_MIN'
      return trouble?.message
    },
  }
}
