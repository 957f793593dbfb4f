// What the store shows of itself: how long statements take, its connections and its size.

import { Gauge, Histogram, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import type { Queries } from './database.ts'

/** Kinds of statements; `other` is what begins with another word, as `with` or `begin` do. */
export const STATEMENTS = ['select', 'insert', 'update', 'delete', 'other'] as const
export type Statement = (typeof STATEMENTS)[number]

/** `busy`: in use; `idle`: open and free; `waiting`: work that waits for one. */
export const POOL_STATES = ['busy', 'idle', 'waiting'] as const
export type PoolNow = Record<(typeof POOL_STATES)[number], number>

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** Asking for the size reads the whole directory of the database. */
const SIZE_EVERY_MS = 60_000

export interface StoreMetrics {
  queried: (statement: Statement, seconds: number) => void
  /** From now on shows the connections of a store that has some. */
  show(pool: (() => PoolNow) | undefined): void
  size(bytes: number): void
}

/** Declares the metrics in `registry`; once for each registry. */
export function storeMetrics(registry: Registry): StoreMetrics {
  const registers = [registry]
  let pool = (): PoolNow => ({ busy: 0, idle: 0, waiting: 0 })
  const seconds = new Histogram({
    name: 'mail_ingest_db_query_duration_seconds',
    help: 'Time of one statement on the store; in PostgreSQL an insert that nobody waits for takes none.',
    labelNames: ['op'] as const,
    buckets: SECONDS,
    registers,
  })
  const connections: Gauge<'state'> = new Gauge({
    name: 'mail_ingest_db_pool_connections',
    help: 'Connections to the store, and work that waits for one; 0 where the store is a file.',
    labelNames: ['state'] as const,
    registers,
    collect() {
      const now = pool()
      for (const state of POOL_STATES) connections.set({ state }, now[state])
    },
  })
  const size = new Gauge({ name: 'mail_ingest_db_size_bytes', help: 'Size of the store.', registers })
  for (const op of STATEMENTS) seconds.zero({ op })
  size.set(0)
  return {
    queried: (op, took) => seconds.observe({ op }, took),
    show: (read) => void (pool = read ?? pool),
    size: (bytes) => size.set(bytes),
  }
}

export interface SizeOptions {
  metrics: Pick<StoreMetrics, 'size'>
  clock: Pick<Clock, 'sleep'>
  log: Pick<Log, 'debug'>
  signal: AbortSignal
}

/** Asks for the size now and then, until the signal aborts. What cannot be asked keeps its last size. */
export async function watchSize(on: Queries, { metrics, clock, log, signal }: SizeOptions): Promise<void> {
  while (!signal.aborted) {
    try {
      metrics.size(await on.dialect.sizeBytes(on))
    } catch (error) {
      if (!signal.aborted) log.debug({ err: error }, 'the size of the store cannot be asked')
    }
    await Promise.allSettled([clock.sleep(SIZE_EVERY_MS, signal)])
  }
}
