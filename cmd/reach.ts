// Which engines a process reaches: readiness as a metric, for the alerts.

import { Gauge, type Registry } from '@prometheus-io/client'
import type { Watch } from '../internal/daemon/daemon.ts'

/** Declares the metric; each scrape tells what the watches saw last. */
export function showReach(registry: Registry, watches: readonly Pick<Watch, 'check'>[]): void {
  const up: Gauge<'engine'> = new Gauge({
    name: 'mail_ingest_engine_up',
    help: 'Whether an engine answered when this process last asked it, which is every few seconds: 0 or 1.',
    labelNames: ['engine'] as const,
    registers: [registry],
    collect() {
      for (const { check } of watches) up.set({ engine: labelOf(check.name) }, Number(check.problem() === undefined))
    },
  })
  for (const { check } of watches) up.set({ engine: labelOf(check.name) }, 0)
}

const labelOf = (name: string): string => name.replaceAll(' ', '_')
