// The handle that every query takes, and the store that gives it.

import type { Kysely } from 'kysely'
import type { Dialect } from './dialect.ts'
import type { PoolNow } from './metrics.ts'
import type { Schema } from './schema.ts'

/** What a query runs on: the store, or a transaction of it. */
export interface Queries {
  readonly kysely: Kysely<Schema>
  readonly dialect: Dialect
}

/** An open transaction. It ends when the work that got it ends. */
export interface Tx extends Queries {
  readonly transaction?: never
  /** Names that others wait for until it ends, see hold.ts. */
  readonly held: Set<string>
}

/** Work that only one process does at a time. */
export interface SingleRunner {
  /**
   * Waits for its turn, then runs `work` while no other process that shares the database runs work of this name. The signal that
   * `work` gets aborts with `signal`, or with `unavailable` when the turn is lost: then another may have begun, so the work must be
   * harmless twice. Rejects with the signal's reason, the work's error, or `unavailable`.
   */
  singleRunner<T>(name: string, work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T>
}

export interface Store extends Queries, SingleRunner {
  /** Its connections as they are now, where it has some. */
  pool?: () => PoolNow
  /** Runs `work` in one write transaction: all of it, or nothing. Never query the store itself within. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  close(): Promise<void>
}
