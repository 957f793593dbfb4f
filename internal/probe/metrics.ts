// What the canary counts (row 48 of the metric catalogue).

import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import { FAILURES, type Failure } from './failures.ts'

const SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]

export interface ProbeMetrics {
  /** The target of this number, at this time (milliseconds since 1970), in so many seconds. */
  succeeded(at: number, nowMs: number, seconds: number): void
  failed(failure: Failure): void
}

/** Declares the metrics. A target that never succeeded counts from `startedMs`, so that a start alone looks like no failure. */
export function probeMetrics(registry: Registry, targets: number, startedMs: number): ProbeMetrics {
  const registers = [registry]
  const last = Array.from({ length: targets }, () => startedMs)
  const success = new Gauge({
    name: 'mail_ingest_probe_last_success_timestamp_seconds',
    help: 'When a probe last came through; of several front doors that of the one that has waited longest.',
    registers,
  })
  const show = () => success.set(Math.min(...last) / 1000)
  const duration = new Histogram({
    name: 'mail_ingest_probe_duration_seconds',
    help: 'From the connection to the far end, of probes that came through.',
    buckets: SECONDS,
    registers,
  })
  const failures = new Counter({
    name: 'mail_ingest_probe_failures_total',
    help: 'Probes that did not come through, by what went wrong.',
    labelNames: ['failure'] as const,
    registers,
  })
  for (const failure of Object.keys(FAILURES) as Failure[]) failures.inc({ failure }, 0)
  show()
  return {
    succeeded(at, nowMs, seconds) {
      last[at] = nowMs
      show()
      duration.observe(seconds)
    },
    failed: (failure) => failures.inc({ failure }),
  }
}
