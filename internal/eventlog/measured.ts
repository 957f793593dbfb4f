// Counts what is published, how long the log takes to acknowledge it, and what groups cannot read. The names are Kafka's on every engine, so that
// dashboards and alerts stay when the engine changes.

import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import type { EventLog } from './eventlog.ts'
import { DEAD_LETTER_REASONS, deadLetterTopic, GROUPS, type DeadLetters } from './dead-letters.ts'
import { EVENT_TYPES } from './events.ts'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** `log` with its appends and dead letters counted in `registry`; every other ability of it is kept. */
export function measured<L extends EventLog>(log: L, registry: Registry, clock: Pick<Clock, 'monotonic'>): L {
  const { published, errors, seconds, deadLetters } = eventLogMetrics(registry)
  const append: EventLog['append'] = async (events) => {
    const began = clock.monotonic()
    const count = (counter: Counter<'type'>) => {
      for (const { type } of events) counter.inc({ type })
    }
    try {
      await log.append(events)
      count(published)
    } catch (error) {
      count(errors)
      throw error
    } finally {
      seconds.observe((clock.monotonic() - began) / 1000)
    }
  }
  const consume: EventLog['consume'] = (want) =>
    log.consume({
      ...want,
      unreadable: (record) => {
        const { group } = want
        if (group !== undefined) deadLetters.inc({ group, reason: record.reason })
        return want.unreadable?.(record)
      },
    })
  return { ...log, append, consume }
}

/** How often dead letters are counted. */
const COUNT_EVERY_MS = 10_000

/** Shows how many dead letters wait for a person, until the signal aborts. */
export async function watchDeadLetters(
  deadLetters: Pick<DeadLetters, 'counts'>,
  { registry, clock, log, signal }: { registry: Registry; clock: Clock; log: Log; signal: AbortSignal },
): Promise<void> {
  const pending = deadLetterGauge(registry)
  // Once for each series of failures: a gauge that stays as it was looks like health.
  let failures = 0
  const trouble = (fields: object, message: string) => log[++failures === 1 ? 'warn' : 'debug']({ ...fields }, message)
  while (!signal.aborted) {
    try {
      const counts = await deadLetters.counts()
      for (const [group, of] of Map.groupBy(counts, (each) => each.group))
        pending.set(
          { group },
          of.reduce((sum, { count }) => sum + count, 0),
        )
      const missing = counts.filter((each) => each.missing).map(({ group, topic }) => deadLetterTopic(group, topic))
      if (missing.length === 0) failures = 0
      else
        trouble(
          { missing },
          'dead letters cannot be kept, a record that cannot be read stops its partition: make the topics',
        )
    } catch (error) {
      if (!signal.aborted) trouble({ err: error }, 'dead letters cannot be counted')
    }
    await Promise.allSettled([clock.sleep(COUNT_EVERY_MS, signal)])
  }
}

/** Declares the metrics in `registry`; once for each registry. */
export function eventLogMetrics(registry: Registry) {
  const common = { labelNames: ['type'] as const, registers: [registry] }
  const published = new Counter({
    name: 'mail_ingest_kafka_published_total',
    help: 'Events that the event log acknowledged, by type.',
    ...common,
  })
  const errors = new Counter({
    name: 'mail_ingest_kafka_publish_errors_total',
    help: 'Events that the event log did not acknowledge, by type, counted at each try.',
    ...common,
  })
  const seconds = new Histogram({
    name: 'mail_ingest_event_publish_duration_seconds',
    help: 'Time of one append to the event log, whether acknowledged or not.',
    buckets: SECONDS,
    registers: [registry],
  })
  const deadLetters = new Counter({
    name: 'mail_ingest_dead_letters_total',
    help: 'Records that a consumer group could not read and kept as dead letters, by reason.',
    labelNames: ['group', 'reason'] as const,
    registers: [registry],
  })
  for (const group of Object.keys(GROUPS))
    for (const reason of DEAD_LETTER_REASONS) deadLetters.inc({ group, reason }, 0)
  for (const type of EVENT_TYPES) {
    published.inc({ type }, 0)
    errors.inc({ type }, 0)
  }
  return { published, errors, seconds, deadLetters }
}

/** Declares what `watchDeadLetters` shows. */
export function deadLetterGauge(registry: Registry): Gauge<'group'> {
  const pending = new Gauge({
    name: 'mail_ingest_dead_letters_pending',
    help: 'Dead letters that nobody has replayed or dropped, by consumer group.',
    labelNames: ['group'] as const,
    registers: [registry],
  })
  for (const group of Object.keys(GROUPS)) pending.set({ group }, 0)
  return pending
}
