import { Counter, type Registry } from '@prometheus-io/client'
import { QUARANTINE_REASONS, type FailureKind } from './reasons.ts'

/** Messages that could not be parsed, by kind of failure. */
export function parseFailures(registry: Registry): Counter<'kind'> {
  const failures = new Counter({
    name: 'mail_ingest_parse_failures_total',
    help: 'Messages that could not be parsed, by kind: beyond a limit, beyond the deadline, malformed, or the parser died of it.',
    labelNames: ['kind'] as const,
    registers: [registry],
  })
  for (const kind of new Set<FailureKind>(Object.values(QUARANTINE_REASONS).map((reason) => reason.kind))) {
    failures.inc({ kind }, 0)
  }
  return failures
}
