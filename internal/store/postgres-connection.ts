// Kysely on a pool of pg's, its errors given their reasons.

import {
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect as KyselyDialect,
  type Driver,
  type QueryResult,
} from 'kysely'
import type pg from 'pg'
import { isMissingPartition, reasonOfPostgres } from './dialect.ts'
import { StoreError } from './errors.ts'

/** `onMissingPartition` is told when a row found no partition, though one was made once: somebody dropped it. */
export function poolDialect(pool: pg.Pool, onMissingPartition?: () => void): KyselyDialect {
  // The pool drops connections that break while they wait or work, and makes new ones; the statement under way says so.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => poolDriver(pool, onMissingPartition),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
}

class PooledConnection implements DatabaseConnection {
  readonly #client: pg.PoolClient
  readonly #onMissingPartition: (() => void) | undefined
  /** Set when the state of the session is not known: it is closed instead of used again. */
  broken = false

  constructor(client: pg.PoolClient, onMissingPartition?: () => void) {
    this.#client = client
    this.#onMissingPartition = onMissingPartition
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    try {
      const { command, rowCount, rows } = await this.#client.query(sql, parameters.map(storable))
      const changes = ['INSERT', 'UPDATE', 'DELETE'].includes(command)
      return { rows: rows as R[], ...(changes && { numAffectedRows: BigInt(rowCount ?? 0) }) }
    } catch (error) {
      if (isMissingPartition(error)) this.#onMissingPartition?.()
      throw withReason(error)
    }
  }

  /** One of BEGIN, COMMIT, ROLLBACK; resolves with what the server did. */
  async control(statement: string): Promise<string> {
    try {
      return (await this.#client.query(statement)).command
    } catch (error) {
      this.broken = true
      throw withReason(error)
    }
  }

  release(): void {
    this.#client.release(this.broken)
  }

  streamQuery(): never {
    throw new TypeError('rows are read in pages, not streamed')
  }
}

function poolDriver(pool: pg.Pool, onMissingPartition?: () => void): Driver {
  const own = (connection: DatabaseConnection) => connection as PooledConnection
  return {
    init: async () => {},
    acquireConnection: () => translated(async () => new PooledConnection(await pool.connect(), onMissingPartition)),
    beginTransaction: async (connection) => void (await own(connection).control('begin')),
    async commitTransaction(connection) {
      // A transaction in which a statement failed is rolled back, and the server calls that a success.
      if ((await own(connection).control('commit')) === 'ROLLBACK') {
        throw new TypeError('a statement of the transaction failed and its error was swallowed')
      }
    },
    rollbackTransaction: async (connection) => void (await own(connection).control('rollback')),
    releaseConnection: async (connection) => own(connection).release(),
    destroy: () => pool.end(),
  }
}

/** PostgreSQL's text holds every character but NUL. */
const storable = (value: unknown): unknown => (typeof value === 'string' ? value.replaceAll('\0', '\uFFFD') : value)

function withReason(error: unknown): unknown {
  const reason = reasonOfPostgres(error)
  return reason === undefined ? error : new StoreError(reason, (error as Error).message, { cause: error })
}

/** Gives the driver's errors their reason; what has none is a bug and stays as it is. */
export async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw withReason(error)
  }
}
