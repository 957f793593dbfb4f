// The gauges that are read off the store and the log rather than counted: lag, outbox, quarantine.

import { QUARANTINE_REASONS } from '../message/message.ts'
import type { EventLog } from '../eventlog/eventlog.ts'
import type { Clock, Log } from '../ports/ports.ts'
import { countByReason, listCheckpoints, outboxState, type Store } from '../store/store.ts'
import type { IndexerMetrics } from './metrics.ts'
import { pause, Stopped } from './waiting.ts'

/** Metrics tell the truth within 5 s (durability.md I8). */
const EVERY_MS = 2500

export interface ObserveOptions {
  log: Pick<EventLog, 'ends'>
  store: Store
  clock: Clock
  logger: Log
  metrics: IndexerMetrics
  groups: readonly string[]
  signal: AbortSignal
}

/** Looks until the signal aborts. */
export async function observeState(options: ObserveOptions): Promise<void> {
  const { clock, logger, signal } = options
  try {
    for (;;) {
      await observeOnce(options).catch((error: unknown) => {
        if (!signal.aborted) logger.debug({ err: error }, 'the state of the indexer cannot be read')
      })
      await pause(clock, EVERY_MS, signal)
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  }
}

async function observeOnce(options: ObserveOptions): Promise<void> {
  const { store, metrics } = options
  const { pending, oldestAt } = await outboxState(store)
  metrics.outboxPending.set({ queue: 'events' }, pending)
  metrics.outboxOldest.set({ queue: 'events' }, (oldestAt ?? 0) / 1000)
  const reasons = await countByReason(store, { status: 'QUARANTINED' })
  for (const reason of Object.keys(QUARANTINE_REASONS)) metrics.inQuarantine.set({ reason }, reasons[reason] ?? 0)
  await observeLag(options)
}

async function observeLag({ log, store, metrics, groups }: ObserveOptions): Promise<void> {
  const lag = new Map<string, { group: string; topic: string; events: number }>()
  const ends = new Map<string, Map<number, number>>()
  for (const { group, topic, partition, offset } of await listCheckpoints(store)) {
    if (!groups.includes(group)) continue
    const known = ends.get(topic) ?? new Map((await log.ends(topic)).map((end) => [end.partition, end.offset]))
    ends.set(topic, known)
    const row = lag.get(`${group} ${topic}`) ?? { group, topic, events: 0 }
    row.events += Math.max(0, (known.get(partition) ?? offset) - offset)
    lag.set(`${group} ${topic}`, row)
  }
  for (const { group, topic, events } of lag.values()) metrics.lag.set({ group, topic }, events)
}
