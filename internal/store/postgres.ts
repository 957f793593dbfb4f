// The store in PostgreSQL, shared by every process of a deployment. Transactions see what others have committed (READ COMMITTED) and
// wait for each other where `serialise` says so.
//
// A connection that breaks while a transaction commits leaves it open whether it did: `unavailable` then means "all or nothing, try
// again", and every writer of this product is safe to repeat.

import { CamelCasePlugin, Kysely, type KyselyConfig } from 'kysely'
import { Pool, types, type ClientConfig } from 'pg'
import type { Clock } from '../ports/ports.ts'
import type { Store } from './database.ts'
import { postgresDialect } from './dialect.ts'
import { StoreError } from './errors.ts'
import { migrate, pendingSteps } from './migrate.ts'
import { poolDialect } from './postgres-connection.ts'
import { monthMaker, singleRunner } from './postgres-jobs.ts'
import type { Schema } from './schema.ts'
import { timedBy, type OnQuery } from './timed.ts'

export interface PostgresStoreOptions {
  /** `postgresql://user:password@host:port/database?sslmode=verify-full&sslrootcert=file`; what it says wins over the rest. */
  url: string
  clock: Pick<Clock, 'sleep'>
  /** Never changes anything, and refuses a schema that is not the present one. */
  readOnly?: boolean
  /** Most connections of this store; those of migrations, single runners and new months come on top, one each. */
  poolMax?: number
  /** Longest a statement may take, waiting for locks included, in milliseconds. */
  statementTimeoutMs?: number
  /** Longest wait for a connection, a free one or a new one, in milliseconds. */
  connectTimeoutMs?: number
  /** Work that one process does at a time is another's when this one says nothing for so long, milliseconds. */
  silenceMs?: number
  /** What the server's list of sessions shows. */
  applicationName?: string
  onQuery?: OnQuery
}

const POOL_MAX = 10
const STATEMENT_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 5000
/** A server that is frozen or cut off ends no statement, so the client does, so much later. */
const GRACE_MS = 2000
const SILENCE_MS = 30_000
/** Unused connections are closed after so long. */
const IDLE_MS = 60_000
/** Type of `bigint` columns and counts. Numbers here are times, sizes and offsets, all far below 2^53. */
const INT8 = types.builtins.INT8

/** Opens the store and brings its schema up to date. `unavailable`: out of reach, no right. `invalid`: bad URL, a newer schema. */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const config = clientConfig(options)
  const { poolMax = POOL_MAX, readOnly = false, silenceMs = SILENCE_MS, clock } = options
  const pool = new Pool({ ...config, max: poolMax, idleTimeoutMillis: IDLE_MS })
  const months = monthMaker(config)
  const dialect = postgresDialect((table, at) => months.make(table, at))
  const kysely = database({ dialect: poolDialect(pool, () => months.forget()), ...timedBy(options.onQuery) })
  try {
    const pending = await pendingSteps(kysely)
    if (pending.length > 0 && readOnly) throw lacking(options.url, pending, 'start the service first')
    if (pending.length > 0) await migrateAlone(config, options.url, pending)
  } catch (error) {
    await kysely.destroy()
    throw cannotOpen(options.url, error)
  }
  return {
    kysely,
    dialect,
    transaction: (work) => kysely.transaction().execute((trx) => work({ kysely: trx, dialect, held: new Set() })),
    close: () => kysely.destroy(),
    pool: () => ({ busy: pool.totalCount - pool.idleCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    singleRunner: (name, work, signal) => singleRunner(config, { name, work, signal, clock, silenceMs }),
  }
}

/** Steps that the schema lacks; changes nothing. Errors as of opening. */
export async function pendingPostgresSteps(options: Omit<PostgresStoreOptions, 'clock'>): Promise<string[]> {
  const kysely = database({
    dialect: poolDialect(new Pool({ ...clientConfig({ ...options, readOnly: true }), max: 1 })),
  })
  try {
    return await pendingSteps(kysely)
  } catch (error) {
    throw cannotOpen(options.url, error)
  } finally {
    await kysely.destroy()
  }
}

function cannotOpen(url: string, error: unknown): StoreError {
  if (error instanceof StoreError && error.reason === 'invalid') return error
  return new StoreError('unavailable', `cannot open the store ${placeOf(url)}: ${(error as Error).message}`, {
    cause: error,
  })
}

const database = (config: Pick<KyselyConfig, 'dialect' | 'log'>): Kysely<Schema> =>
  new Kysely<Schema>({ ...config, plugins: [new CamelCasePlugin()] })

/** On a connection of its own without a time limit: one that waits for another program's migration must not give up. */
async function migrateAlone(config: ClientConfig, url: string, pending: readonly string[]): Promise<void> {
  const patient = { ...config, statement_timeout: 0, query_timeout: 0 }
  const pool = new Pool({ ...patient, max: 1 })
  const kysely = database({ dialect: poolDialect(pool) })
  try {
    await migrate(
      kysely,
      postgresDialect(async () => {}),
    )
  } catch (error) {
    if (error instanceof StoreError && error.reason !== 'unavailable') throw error
    throw lacking(url, pending, `and making it failed: ${(error as Error).message}`, error)
  } finally {
    await kysely.destroy()
  }
}

const lacking = (url: string, steps: readonly string[], what: string, cause?: unknown): StoreError =>
  new StoreError('unavailable', `the store ${placeOf(url)} lacks ${steps.join(', ')}; ${what}`, { cause })

/** Host and database, for people: never the password. */
function placeOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

function clientConfig(options: Omit<PostgresStoreOptions, 'clock'>): ClientConfig {
  const { url, readOnly = false, statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, applicationName = 'mail-ingest' } = options
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
    throw new StoreError('invalid', 'the URL of a PostgreSQL store is postgresql://user:password@host:port/database')
  }
  return {
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + GRACE_MS,
    // A process that hangs within a transaction must not keep its locks.
    idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
    keepAlive: true,
    // Statements go out one behind the other, see postgres-connection.ts.
    pipeline: true,
    types: { getTypeParser: (oid, format) => (oid === INT8 ? Number : types.getTypeParser(oid, format)) },
    ...(readOnly && { options: '-c default_transaction_read_only=on' }),
  }
}
