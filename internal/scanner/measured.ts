// Counts and times what a scanner does (row 36 of the metric catalogue).

import { Counter, Histogram, type Registry } from '@prometheus-io/client'
import type { Clock } from '../ports/ports.ts'
import { SCANNER_FAULTS, ScannerError, VERDICTS } from './outcome.ts'
import type { Scanner } from './scanner.ts'

const RESULTS = [...VERDICTS, ...SCANNER_FAULTS] as const
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** `scanner` with its scans counted in `registry`; once for each registry. A body that cannot be read is no result. */
export function measured(
  scanner: Scanner,
  { registry, clock, name }: { registry: Registry; clock: Pick<Clock, 'monotonic'>; name: 'clamd' },
): Scanner {
  const { requests, seconds } = scannerMetrics(registry, name)
  return {
    version: () => scanner.version(),
    async scan(body, signal) {
      const began = clock.monotonic()
      const count = (result: (typeof RESULTS)[number]) => {
        requests.inc({ scanner: name, result })
        seconds.observe({ scanner: name }, (clock.monotonic() - began) / 1000)
      }
      try {
        const found = await scanner.scan(body, signal)
        count(found.verdict)
        return found
      } catch (error) {
        if (error instanceof ScannerError && signal?.aborted !== true) count(error.fault)
        throw error
      }
    },
  }
}

/** Declares the metrics in `registry`; once for each registry. */
export function scannerMetrics(registry: Registry, name: 'clamd') {
  const requests = new Counter({
    name: 'mail_ingest_scanner_requests_total',
    help: 'Scans for malware, by what came of them.',
    labelNames: ['scanner', 'result'] as const,
    registers: [registry],
  })
  const seconds = new Histogram({
    name: 'mail_ingest_scanner_duration_seconds',
    help: 'Time of one scan, with its wait for a free connection.',
    labelNames: ['scanner'] as const,
    buckets: SECONDS,
    registers: [registry],
  })
  seconds.zero({ scanner: name })
  for (const result of RESULTS) requests.inc({ scanner: name, result }, 0)
  return { requests, seconds }
}
