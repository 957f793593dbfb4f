// Waiting that ends early when it is no longer wanted.

import type { Clock } from '../ports/ports.ts'

/** Resolves after `ms`, or when `signal` aborts. */
export async function rest(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  try {
    await clock.sleep(ms, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
