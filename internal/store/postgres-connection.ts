// Kysely on a pool of pg's, its errors given their reasons.
//
// Within a transaction nobody waits for a row that is only put in: the statement goes out with the next one that is waited for, the
// commit at the latest, and if it failed, that one says so. A round trip costs both sides more than most statements do.

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
import type { Duplex } from 'node:stream'
import type pg from 'pg'
import { isMissingPartition, reasonOfPostgres } from './dialect.ts'
import { StoreError } from './errors.ts'
import { storable } from './postgres-rows.ts'
import { goesAhead, statementNames } from './postgres-statements.ts'

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

/** What the connections of one pool have in common. */
interface Shared {
  nameOf: (text: string) => string | undefined
  onMissingPartition: (() => void) | undefined
}

/** A statement was prepared before a migration changed what it gives. A new connection prepares it anew. */
const isOutdated = (error: unknown): boolean => (error as { code?: string }).code === '0A000'

class PooledConnection implements DatabaseConnection {
  readonly #client: pg.PoolClient
  readonly #shared: Shared
  /** Set when the state of the session is not known: it is closed instead of used again. */
  broken = false
  /** Statements of the open transaction that nobody waited for yet; undefined outside of one. */
  #ahead: Promise<unknown>[] | undefined
  #corked = false

  constructor(client: pg.PoolClient, shared: Shared) {
    this.#client = client
    this.#shared = shared
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const name = this.#shared.nameOf(sql)
    const statement = { text: sql, values: parameters.map(storable), ...(name !== undefined && { name }) }
    const send = () => this.#client.query(statement)
    if (this.#ahead !== undefined && goesAhead(sql)) {
      this.#sendAhead(send)
      return { rows: [] }
    }
    try {
      const { command, rowCount, rows } = await this.#sendAndWait(send)
      const changes = ['INSERT', 'UPDATE', 'DELETE'].includes(command)
      return { rows: rows as R[], ...(changes && { numAffectedRows: BigInt(rowCount ?? 0) }) }
    } catch (error) {
      throw this.#toldOf(error)
    }
  }

  #toldOf(error: unknown): unknown {
    if (isMissingPartition(error)) this.#shared.onMissingPartition?.()
    if (isOutdated(error)) this.broken = true
    return withReason(error)
  }

  begin(): void {
    this.#ahead = []
    this.#sendAhead(() => this.#control('begin'))
  }

  /** Rejects when it is not committed: with what is wrong with a statement that nobody waited for, first of all. */
  async commit(): Promise<void> {
    try {
      const command = await this.#sendAndWait(() => this.#control('commit'))
      // A transaction in which a statement failed is rolled back, and the server calls that a success.
      if (command === 'ROLLBACK')
        throw new TypeError('a statement of the transaction failed and its error was swallowed')
    } catch (error) {
      throw this.#toldOf(error)
    }
  }

  async rollback(): Promise<void> {
    this.#ahead = undefined
    this.#uncork()
    await translated(() => this.#control('rollback'))
  }

  /** One of BEGIN, COMMIT, ROLLBACK; resolves with what the server did. */
  async #control(statement: string): Promise<string> {
    try {
      return (await this.#client.query(statement)).command
    } catch (error) {
      this.broken = true
      throw error
    }
  }

  /** Keeps the bytes until the next statement that is waited for. */
  #sendAhead(send: () => Promise<unknown>): void {
    if (!this.#corked) this.#socket.cork()
    this.#corked = true
    const sent = send()
    // Looked at when the next one is waited for; after a rollback nobody asks.
    sent.catch((_later: unknown) => undefined)
    this.#ahead?.push(sent)
  }

  async #sendAndWait<T>(send: () => Promise<T>): Promise<T> {
    const ahead = this.#ahead?.splice(0) ?? []
    const sent = send()
    this.#uncork()
    // The server answers in order. What failed first made what comes after it fail.
    const [answer, ...before] = await Promise.allSettled([sent, ...ahead])
    const failed = before.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    if (answer.status === 'rejected') throw answer.reason
    return answer.value
  }

  #uncork(): void {
    if (this.#corked) this.#socket.uncork()
    this.#corked = false
  }

  get #socket(): Duplex {
    return (this.#client as pg.PoolClient & { connection: { stream: Duplex } }).connection.stream
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
  const shared = { nameOf: statementNames(), onMissingPartition }
  return {
    init: async () => {},
    acquireConnection: () => translated(async () => new PooledConnection(await pool.connect(), shared)),
    beginTransaction: async (connection) => own(connection).begin(),
    commitTransaction: (connection) => own(connection).commit(),
    rollbackTransaction: (connection) => own(connection).rollback(),
    releaseConnection: async (connection) => own(connection).release(),
    destroy: () => pool.end(),
  }
}

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
