// The parser processes: one message at a time each, a deadline, a memory bound, and a replacement for each that dies.

import type { Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import type { ParseInput, ParseLimits, ParseOutcome } from './message.ts'

export interface PoolOptions {
  /** Child processes, started when first needed. */
  processes: number
  /** Time for one message, plus one second for each MiB of it. */
  deadlineMs: number
  /** Resident memory of one child. */
  memoryMaxBytes: number
  limits: ParseLimits
  clock: Clock
  log: Log
  registry: Registry
}

export interface ParserPool {
  /** Parses one message. Never rejects: every failure is an outcome. Waits for a free child. */
  parse(input: ParseInput): Promise<ParseOutcome>
  /** Kills the children and ends what is under way with `trouble` `closed`. Resolves when no child is left. */
  close(): Promise<void>
}

/** Starts no child yet. */
export function parserPool(_options: PoolOptions): ParserPool {
  throw new Error('not built yet')
}
