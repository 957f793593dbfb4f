// What the spool's writer shows. The spool itself is reusable and knows no metrics library, so its observer is wired here.

import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import type { Log } from '../internal/ports/ports.ts'
import type { SpoolObserver, SpoolWriter } from '../spool/spool.ts'

const FSYNC_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1]
const RECOVERED = ['requeued', 'partial', 'corrupt'] as const

/** Declares the metrics: the observer to open the writer with, and what to call with the open writer. */
export function spoolMetrics(registry: Registry): {
  observe: Pick<SpoolObserver, 'fsync' | 'recovered' | 'notesDropped'>
  watch(writer: Pick<SpoolWriter, 'stats'>): void
} {
  const registers = [registry]
  const fsync = new Histogram({
    name: 'mail_ingest_spool_fsync_duration_seconds',
    help: 'Time of one fsync of the spool, each covering every message that waited.',
    buckets: FSYNC_SECONDS,
    registers,
  })
  const recovered = new Counter({
    name: 'mail_ingest_spool_recovered_total',
    help: 'What recovery found at the start: entries to hand on, bytes never acknowledged, damage set aside.',
    labelNames: ['outcome'] as const,
    registers,
  })
  const dropped = new Counter({
    name: 'mail_ingest_spool_notes_dropped_total',
    help: 'Refusals that the spool had taken and that did not get on the disk.',
    registers,
  })
  for (const outcome of RECOVERED) recovered.inc({ outcome }, 0)
  return {
    observe: {
      fsync: (ms) => fsync.observe(ms / 1000),
      recovered: (outcome, count) => recovered.inc({ outcome }, count),
      notesDropped: (notes) => dropped.inc(notes),
    },
    watch: (writer) => {
      gauge('mail_ingest_spool_poisoned', 'Whether a disk error has closed the spool to new mail: 0 or 1.', () =>
        Number(writer.stats().poisoned),
      )
      gauge('mail_ingest_spool_free_bytes', "Free space of the spool's file system.", () => writer.stats().freeBytes)
      gauge('mail_ingest_spool_capacity_bytes', "Size of the spool's file system.", () => writer.stats().capacityBytes)
    },
  }
  function gauge(name: string, help: string, read: () => number): void {
    const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(read()) })
  }
}

/** Declares what the spool's reader counts: the observer to open it with. */
export function spoolReaderMetrics(registry: Registry, log: Log): Pick<SpoolObserver, 'damaged'> {
  const damage = new Counter({
    name: 'mail_ingest_spool_damage_total',
    help: 'Places of the spool that are not as they were written, found while reading it; their bytes are kept aside.',
    registers: [registry],
  })
  damage.inc(0)
  return {
    damaged: (what) => {
      damage.inc()
      log.error({ what }, 'the spool is damaged')
    },
  }
}
