// How long a request may take. It may be slow, but it has to move, and it has to end.

import type { Clock } from '../ports/ports.ts'
import { BlobError } from './fault.ts'

export interface Patience {
  clock: Pick<Clock, 'monotonic' | 'sleep'>
  /** Milliseconds without a byte accepted or an answer. */
  idleMs: number
  /** Milliseconds in all. */
  wholeMs: number
}

/** Ends the watch of each request that is done. One for all: making an error costs more than the watch. */
const DONE = new Error('done')

/** What a request is held by. */
export interface Hold {
  /** Aborts the request when patience ends. */
  signal: AbortSignal
  /** Something of it went on: the idle time begins anew. */
  moved(): void
}

/** Does `work`; rejects with `timeout` and aborts it when it idles or takes too long, also if it heeds no signal. */
export async function patiently<T>(
  { clock, idleMs, wholeMs }: Patience,
  what: string,
  work: (hold: Hold) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const request = new AbortController()
  const began = clock.monotonic()
  let moved = began
  const watch = async (): Promise<never> => {
    for (;;) {
      const left = Math.min(moved + idleMs, began + wholeMs) - clock.monotonic()
      if (left <= 0) break
      await clock.sleep(left, over.signal)
    }
    request.abort()
    throw new BlobError('timeout', `${what}: nothing moved for ${idleMs} ms, or not done in ${wholeMs} ms`)
  }
  const hold: Hold = {
    signal: request.signal,
    moved() {
      moved = clock.monotonic()
    },
  }
  try {
    return await Promise.race([watch(), work(hold)])
  } finally {
    over.abort(DONE)
  }
}
