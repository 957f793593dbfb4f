// Mail that is late already loses nothing by waiting for more: a commit of several costs little more than a commit of one, and so a
// backlog is gone sooner.

import type { LoggedEvent } from '../eventlog/eventlog.ts'
import type { Clock } from '../ports/ports.ts'
import { pause, Stopped } from './waiting.ts'

/** So old is no mail that comes at its usual pace, milliseconds. */
const LATE_MS = 2000
/** Events of a batch that is worth having: two for each message. */
const ENOUGH = 32
/** How long more is waited for, milliseconds. */
const GATHER_MS = 200

type Batch = readonly Pick<LoggedEvent, 'event'>[]

/** The batches of `source`. After a small one of late mail the next is asked for a moment later, and is larger. */
export async function* gathering<T extends Batch>(
  source: AsyncIterable<T>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<T> {
  for await (const batch of source) {
    yield batch
    if (batch.length < ENOUGH && isLate(batch, clock.now())) await moment(clock, signal)
  }
}

const isLate = (batch: Batch, now: number): boolean => batch.some(({ event }) => now - Date.parse(event.time) > LATE_MS)

async function moment(clock: Clock, signal: AbortSignal): Promise<void> {
  try {
    await pause(clock, GATHER_MS, signal)
  } catch (error) {
    if (!(error instanceof Stopped)) throw error // the source ends as well
  }
}
