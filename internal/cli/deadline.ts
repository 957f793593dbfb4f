// A bound on how long somebody at the command line waits.

import type { Clock } from '../ports/ports.ts'

/** What `asked` resolves with, or undefined after `ms`; it is then left alone, and its outcome is nobody's any more. */
export async function inTime<T>(clock: Pick<Clock, 'sleep'>, ms: number, asked: Promise<T>): Promise<T | undefined> {
  const answered = new AbortController()
  const late = clock.sleep(ms, answered.signal).then(() => undefined)
  try {
    return await Promise.race([asked, late])
  } finally {
    answered.abort()
  }
}
