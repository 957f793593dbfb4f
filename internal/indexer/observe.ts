// The gauges that are read off the store and the log rather than counted: lag, outbox, quarantine, residue. Of several indexers each tells
// the same of all of them.

import { QUARANTINE_MEANINGS } from './facts.ts'
import type { EventLog, Topic } from '../eventlog/eventlog.ts'
import type { Clock, Log } from '../ports/ports.ts'
import { countByReason, countRunning, listCheckpoints, outboxState, type Store } from '../store/store.ts'
import { Conservation } from './conservation.ts'
import type { IndexerMetrics } from './metrics.ts'
import { pause, Stopped } from './waiting.ts'

/** Metrics tell the truth within 5 s (durability.md I8). */
const EVERY_MS = 2500
/** The pause after a look is so many times as long as the look took: what takes a second to count costs no more than the rest. */
const REST = 20

export interface ObserveOptions {
  log: Pick<EventLog, 'ends'>
  store: Store
  clock: Clock
  logger: Log
  metrics: IndexerMetrics
  /** Consumer groups with the topics that each reads. */
  groups: Readonly<Record<string, readonly Topic[]>>
  /** The one that makes the rows. */
  indexer: string
  signal: AbortSignal
}

/** Looks until the signal aborts. */
export async function observeState(options: ObserveOptions): Promise<void> {
  const conservation = new Conservation(options)
  const looks = [observeOutbox, observeQuarantine, observeReplays, () => conservation.look()]
  await Promise.all([...looks.map((look) => looking(options, () => look(options))), ...observeLags(options)])
}

/** Each topic by itself: one that the log has not got leaves the lag of the others true. */
function observeLags(options: ObserveOptions): Promise<void>[] {
  const caughtUp: CaughtUp = new Map()
  const topics = new Set(Object.values(options.groups).flat())
  return [...topics].map((topic) => looking(options, () => observeLag(options, topic, caughtUp), { topic }))
}

/** `about` is told with a failure. */
async function looking(
  { clock, logger, signal }: ObserveOptions,
  look: () => Promise<void>,
  about: object = {},
): Promise<void> {
  let failures = 0
  try {
    for (;;) {
      const began = clock.monotonic()
      try {
        await look()
        failures = 0
      } catch (error) {
        // Gauges stay as they were, which may look like health: said once for each series.
        const level = ++failures === 1 ? 'warn' : 'debug'
        if (!signal.aborted)
          logger[level]({ err: error, failures, ...about }, 'the state of the indexer cannot be read')
      }
      await pause(clock, Math.max(EVERY_MS, REST * (clock.monotonic() - began)), signal)
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  }
}

async function observeOutbox({ store, metrics }: ObserveOptions): Promise<void> {
  const { pending, oldestAt, refused } = await outboxState(store)
  metrics.outboxPending.set({ queue: 'events' }, pending)
  metrics.outboxOldest.set({ queue: 'events' }, (oldestAt ?? 0) / 1000)
  metrics.outboxRefused.set({ queue: 'events' }, refused)
}

async function observeQuarantine({ store, metrics }: ObserveOptions): Promise<void> {
  // Of any status: an index has the reasons and nothing else, and those of a quarantine are of no other status.
  const reasons = await countByReason(store)
  for (const reason of Object.keys(QUARANTINE_MEANINGS)) metrics.inQuarantine.set({ reason }, reasons[reason] ?? 0)
}

async function observeReplays({ store, metrics }: ObserveOptions): Promise<void> {
  metrics.replaysActive.set(await countRunning(store, 'replay'))
}

/** When each partition of each group was seen without lag, or first. What waits there now came later, as far as can be told. */
type CaughtUp = Map<string, number>

async function observeLag(options: ObserveOptions, topic: Topic, caughtUp: CaughtUp): Promise<void> {
  const { log, store, clock, metrics, groups } = options
  const now = clock.now()
  const checkpoints = await listCheckpoints(store)
  const ends = await log.ends(topic)
  for (const [group, topics] of Object.entries(groups)) {
    if (!topics.includes(topic)) continue
    let lag = 0
    let oldestAt = Infinity
    for (const { partition, offset: end } of ends) {
      const done = checkpoints.find((at) => at.group === group && at.topic === topic && at.partition === partition)
      const events = Math.max(0, end - (done?.offset ?? 0))
      const place = `${group} ${topic}/${partition}`
      const since = events === 0 ? now : (caughtUp.get(place) ?? done?.eventTime ?? now)
      caughtUp.set(place, since)
      lag += events
      if (events > 0) oldestAt = Math.min(oldestAt, Math.max(since, done?.eventTime ?? 0))
    }
    metrics.lag.set({ group, topic }, lag)
    metrics.oldest.set({ group, topic }, lag === 0 ? 0 : oldestAt / 1000)
  }
}
