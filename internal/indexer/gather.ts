// Mail that is late already loses nothing by waiting for more: a commit of several costs little more than a commit of one, and so a
// backlog is gone sooner.

import type { LoggedEvent } from '../eventlog/eventlog.ts'
import type { Clock } from '../ports/ports.ts'
import { pause, Stopped } from './waiting.ts'

/** So old is no mail that comes at its usual pace, this wait included, milliseconds. */
const LATE_MS = 3000
/** Events of a batch that is worth having: two for each message. */
const ENOUGH = 32
/** How long more is waited for, milliseconds. */
const GATHER_MS = 500

type Batch = readonly Pick<LoggedEvent, 'event' | 'partition'>[]

/** The batches of `source`. After a small one of late mail what comes next is waited for, once in a round of the partitions. */
export async function* gathering<T extends Batch>(
  source: AsyncIterable<T>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<T> {
  /** Those that came since the last wait. One that comes again begins a new round: the log has been asked anew. */
  const round = new Set<number>()
  let waited = false
  for await (const batch of source) {
    const partition = batch[0]?.partition ?? -1
    if (round.has(partition)) {
      round.clear()
      waited = false
    }
    round.add(partition)
    yield batch
    if (waited || batch.length >= ENOUGH || !isLate(batch, clock.now())) continue
    waited = true
    await moment(clock, signal)
  }
}

/** What is told again was late long ago, and others are not to wait for it. */
const isLate = (batch: Batch, now: number): boolean =>
  batch.some(({ event }) => event.replay === undefined && now - Date.parse(event.time) > LATE_MS)

async function moment(clock: Clock, signal: AbortSignal): Promise<void> {
  try {
    await pause(clock, GATHER_MS, signal)
  } catch (error) {
    if (!(error instanceof Stopped)) throw error // the source ends as well
  }
}
