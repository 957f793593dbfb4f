// Old events leave the store, counts of days long over, and senders that may get another reply. The log was the truth of the events
// and keeps them for less long; what they made stays.

import { Counter, Gauge, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import { dayOf, dropEvents, dropReplied, dropUsageDays, type Store } from '../store/store.ts'
import { pause, Stopped } from './waiting.ts'

const EVERY_MS = 3_600_000
const DAY_MS = 86_400_000
/** No quota asks for more than one day; these are for people. */
const USAGE_DAYS = 100
/** Between two batches, so that SQLite's one writer is free for mail. */
const BREATH_MS = 50

export interface UpkeepOptions {
  store: Store
  clock: Clock
  logger: Log
  registry: Registry
  /** Days that events are kept; 0 for ever. */
  days: number
}

/** Looks at once and then every hour until the signal aborts; one process at a time drops events. Trouble waits for the next time. */
export async function keepEventsFor(options: UpkeepOptions, signal: AbortSignal): Promise<void> {
  const { store, clock, logger, registry, days } = options
  const metrics = retentionMetrics(registry)
  const work = async (until: AbortSignal) => {
    metrics.deleted.inc({ kind: 'events' }, await dropOld(options, until))
    metrics.lastSuccess.set({ kind: 'events' }, clock.now() / 1000)
  }
  // What was never done since the start is as late as the start is old.
  if (days > 0) metrics.lastSuccess.set({ kind: 'events' }, clock.now() / 1000)
  while (!signal.aborted) {
    try {
      await dropUsageDays(store, dayOf(clock.now()) - USAGE_DAYS)
      while ((await dropReplied(store, clock.now())) > 0) await pause(clock, BREATH_MS, signal)
      if (days > 0) await store.singleRunner('old events', work, signal)
    } catch (error) {
      if (!signal.aborted)
        logger.warn({ err: error }, 'old events and counts could not be dropped; trying again in an hour')
    }
    await pause(clock, EVERY_MS, signal).catch((stopped: unknown) => {
      if (!(stopped instanceof Stopped)) throw stopped
    })
  }
}

async function dropOld({ store, clock, logger, days }: UpkeepOptions, signal: AbortSignal): Promise<number> {
  const until = clock.now() - days * DAY_MS
  let dropped = 0
  for (;;) {
    const went = await dropEvents(store, until)
    if (went === 0) break
    dropped += went
    await pause(clock, BREATH_MS, signal)
  }
  const what = store.dialect.name === 'postgres' ? 'months' : 'rows'
  if (dropped > 0) logger.info({ [what]: dropped, until: new Date(until).toISOString() }, 'old events were dropped')
  return dropped
}

/** Declares the metrics in `registry`; once for each registry. */
export function retentionMetrics(registry: Registry) {
  const of = { labelNames: ['kind'] as const, registers: [registry] }
  const deleted = new Counter({
    name: 'mail_ingest_retention_deleted_total',
    help: 'What was dropped for its age: months of events in PostgreSQL, rows in SQLite.',
    ...of,
  })
  const lastSuccess = new Gauge({
    name: 'mail_ingest_retention_last_success_timestamp_seconds',
    help: 'When it was last looked for old data, or since when that is tried; 0 where all is kept for ever.',
    ...of,
  })
  deleted.inc({ kind: 'events' }, 0)
  lastSuccess.set({ kind: 'events' }, 0)
  return { deleted, lastSuccess }
}
