// The handle that every query takes, and the store that gives it.

import type { Kysely } from 'kysely'
import type { Dialect } from './dialect.ts'
import type { Schema } from './schema.ts'

/** What a query runs on: the store, or a transaction of it. */
export interface Queries {
  readonly kysely: Kysely<Schema>
  readonly dialect: Dialect
}

/** An open transaction. It ends when the work that got it ends. */
export interface Tx extends Queries {
  readonly transaction?: never
}

export interface Store extends Queries {
  /** Runs `work` in one write transaction: all of it, or nothing. Never query the store itself within. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  close(): Promise<void>
}
