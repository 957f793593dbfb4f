// Package ports names what the product takes from its surroundings: time, log lines, fresh ids. The real ones are made in
// internal/daemon and passed in from cmd, so that a test decides what time it is and two runs with one seed are the same run.

/** Time as an argument. All units are milliseconds. */
export interface Clock {
  /** Wall clock, milliseconds since 1970 UTC. It may jump; use it for records, not for deadlines. */
  now(): number
  /** Milliseconds from an arbitrary start; never goes back. Use it for durations and deadlines. */
  monotonic(): number
  /** Resolves after `ms`; rejects when `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

type LogLine = (fields: Record<string, unknown>, message: string) => void

/** Structured log: fields first, a fixed message second. pino's logger fits as it is. */
export interface Log {
  debug: LogLine
  info: LogLine
  warn: LogLine
  error: LogLine
}

/** Source of ids that are new each time. Ids that derive from others are in internal/envelope/identity.ts. */
export interface Ids {
  /** UUIDv7 (RFC 9562 5.7): later calls in one process sort after earlier ones, also when the clock steps back. */
  entryId(): string
  /** W3C traceparent `00-<32 hex>-<16 hex>-01` of a new trace. */
  traceparent(): string
}
