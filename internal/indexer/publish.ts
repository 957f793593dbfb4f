// The outbox on its way to the log: in the order it was written, taken out once the log has it. Doing it twice is harmless,
// since ids are stable.

import type { EventLog, MailEvent } from '../eventlog/eventlog.ts'
import type { Clock, Log } from '../ports/ports.ts'
import { deliveredOutbox, nextOutbox, type Store } from '../store/store.ts'
import { Bell, pause, pauseMs, Stopped } from './waiting.ts'

/** Events of one append. */
const BATCH_MAX = 200
/** After a ring, for the commits that follow it: each append and each removal is an fsync. */
const GATHER_MS = 20
/** How often the outbox is looked at without a ring: another process may have written to it. */
const LOOK_MS = 1000

export interface PublisherOptions {
  log: Pick<EventLog, 'append'>
  store: Store
  clock: Clock
  logger: Log
  signal: AbortSignal
  /** Rung after each commit. */
  bell: Bell
}

/** Publishes until the signal aborts. */
export async function publishOutbox(options: PublisherOptions): Promise<void> {
  const { clock, logger, signal, bell } = options
  let tries = 0
  while (!signal.aborted) {
    try {
      const sent = await publishOnce(options)
      tries = 0
      if (sent === BATCH_MAX) continue
      await bell.wait(clock, LOOK_MS, signal)
      await pause(clock, GATHER_MS, signal)
    } catch (error) {
      if (signal.aborted || error instanceof Stopped) return
      tries += 1
      logger.warn({ err: error, tries }, 'outbox events cannot be published; trying again')
      await pause(clock, pauseMs(tries, 'outbox'), signal).catch((stopped: unknown) => {
        if (!signal.aborted) throw stopped
      })
    }
  }
}

/** How many were sent. */
async function publishOnce({ log, store }: PublisherOptions): Promise<number> {
  const rows = await nextOutbox(store, BATCH_MAX)
  if (rows.length === 0) return 0
  await log.append(rows.map((row) => row.payload as unknown as MailEvent))
  const seqs = rows.map((row) => row.seq)
  await deliveredOutbox(store, seqs)
  return rows.length
}
