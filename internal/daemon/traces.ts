// Whether spans go anywhere, by the standard variables of OpenTelemetry. Nothing of it is loaded where they do not.

import { UNTRACED, type Log, type Tracer } from '../ports/ports.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What the process does with its spans. */
export interface Traces {
  tracer: Tracer
  /** Sends what is left, in a bounded time. */
  close: () => Promise<void>
}

/** A variable has a value that nobody knows. */
export class TracesError extends Error {
  override name = 'TracesError'
}

/** On where an endpoint is named. Rejects with TracesError. */
export async function openTraces(
  environment: Environment,
  about: { service: string; version: string; log: Log },
): Promise<Traces> {
  const of = (name: string) => environment[name]?.trim() ?? ''
  const endpoint = of('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || of('OTEL_EXPORTER_OTLP_ENDPOINT')
  const off = of('OTEL_SDK_DISABLED').toLowerCase() === 'true' || of('OTEL_TRACES_EXPORTER') === 'none'
  if (endpoint === '' || off) return { tracer: UNTRACED, close: async () => {} }
  const { otlpTraces } = await import('./otlp.ts')
  return otlpTraces(of, about)
}
