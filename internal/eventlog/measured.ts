// Counts what is published and how long the log takes to acknowledge it. The names are Kafka's on every engine, so that
// dashboards and alerts stay when the engine changes.

import { Counter, Histogram, type Registry } from '@prometheus-io/client'
import type { Clock } from '../ports/ports.ts'
import type { EventLog } from './eventlog.ts'
import { EVENT_TYPES } from './events.ts'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** `log` with its appends counted in `registry`; every other ability of it is kept. */
export function measured<L extends EventLog>(log: L, registry: Registry, clock: Pick<Clock, 'monotonic'>): L {
  const { published, errors, seconds } = declare(registry)
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
  return { ...log, append }
}

function declare(registry: Registry) {
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
  for (const type of EVENT_TYPES) {
    published.inc({ type }, 0)
    errors.inc({ type }, 0)
  }
  return { published, errors, seconds }
}
