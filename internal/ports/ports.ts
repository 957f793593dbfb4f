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

/** What a span says of itself: short values that name nobody. */
export type SpanFacts = Readonly<Record<string, string | number | boolean | undefined>>

/** One timed step on a message's way. */
export interface Span {
  /** W3C traceparent of what happens within it. */
  readonly traceparent: string
  /** Ends it; once. */
  end(facts?: SpanFacts, error?: unknown): void
}

/** Where spans go. Never throws, and nothing waits for it. */
export interface Tracer {
  /** The first span of a trace: the one whose ids `traceparent` has. */
  root(name: string, traceparent: string): Span
  /** A span within that of `traceparent`; a `link` also leads to what happened before, in a log's past. */
  span(name: string, traceparent: string, link?: string): Span
}

/** No spans: what there is unless somebody asks for them. */
export const UNTRACED: Tracer = {
  root: (_name, traceparent) => ({ traceparent, end: ignored }),
  span: (_name, traceparent) => ({ traceparent, end: ignored }),
}

function ignored(): void {}

/** The outcome of `work`, which ends these spans. */
export async function traced<T>(spans: Span | readonly Span[], work: () => Promise<T>): Promise<T> {
  let failure: unknown
  try {
    return await work()
  } catch (error) {
    failure = error
    throw error
  } finally {
    for (const span of [spans].flat()) span.end({}, failure)
  }
}
