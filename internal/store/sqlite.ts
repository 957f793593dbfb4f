// The store in a SQLite file. Several processes use it at once: write-ahead log, one writer at a time, readers never wait.

import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import {
  CamelCasePlugin,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type Dialect as KyselyDialect,
  type QueryResult,
} from 'kysely'
import type { Store } from './database.ts'
import { SQLITE } from './dialect.ts'
import { StoreError } from './errors.ts'
import { migrate, pendingSteps } from './migrate.ts'
import type { Schema } from './schema.ts'
import { timedBy, type OnQuery } from './timed.ts'

export interface SqliteStoreOptions {
  file: string
  /** Opens an existing file for reading and never changes its schema. */
  readOnly?: boolean
  /**
   * How long a statement waits for another process's write, in milliseconds. The whole process stands still meanwhile, so it is
   * short where mail is received; callers try again on `unavailable`.
   */
  busyTimeoutMs?: number
  onQuery?: OnQuery
}

const BUSY_TIMEOUT_MS = 20
/** At the start nothing else is going on, so waiting for another process's migration is fine. */
const OPEN_TIMEOUT_MS = 10_000
/** Prepared statements kept; the program has fewer different ones, but for lists of varying length. */
const STATEMENTS_MAX = 500

/** Opens the store and brings its schema up to date. `unavailable`: missing, locked, no permission. `invalid`: a newer schema. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { file, readOnly = false, busyTimeoutMs = BUSY_TIMEOUT_MS, onQuery } = options
  const connection = openFile(file, readOnly)
  const kysely = database(connection, onQuery)
  try {
    if (readOnly) await mustBeCurrent(kysely, file)
    else await migrate(kysely, SQLITE)
    connection.pragma(`busy_timeout = ${busyTimeoutMs}`)
  } catch (error) {
    await kysely.destroy()
    throw error
  }
  return {
    kysely,
    dialect: SQLITE,
    transaction: (work) =>
      kysely.transaction().execute((trx) => work({ kysely: trx, dialect: SQLITE, held: new Set() })),
    close: () => kysely.destroy(),
    // One machine has one process of each kind, so its turn is always now.
    async singleRunner(_name, work, signal) {
      signal.throwIfAborted()
      return work(signal)
    },
  }
}

/** Steps that the schema of a file lacks, all of them where there is no file; changes nothing. Errors as of opening. */
export async function pendingSqliteSteps(file: string): Promise<string[]> {
  const kysely = database(existsSync(file) ? openFile(file, true) : new Database(':memory:'))
  try {
    return await pendingSteps(kysely)
  } finally {
    await kysely.destroy()
  }
}

const database = (connection: Database.Database, onQuery?: OnQuery): Kysely<Schema> =>
  new Kysely<Schema>({ dialect: sqliteDialect(connection), plugins: [new CamelCasePlugin()], ...timedBy(onQuery) })

function openFile(file: string, readOnly: boolean): Database.Database {
  if (readOnly && !existsSync(file)) {
    throw new StoreError('unavailable', `there is no store at ${file} yet; start the service first`)
  }
  try {
    if (!readOnly) mkdirSync(dirname(file), { recursive: true })
    const database = new Database(file, { readonly: readOnly, timeout: OPEN_TIMEOUT_MS })
    if (!readOnly) database.pragma('journal_mode = wal')
    // A commit that was reported is on the disk: the checkpoint in it lets the log go.
    database.pragma('synchronous = full')
    database.pragma('foreign_keys = on')
    return database
  } catch (error) {
    throw new StoreError('unavailable', `cannot open the store ${file}: ${(error as Error).message}`, { cause: error })
  }
}

async function mustBeCurrent(kysely: Kysely<Schema>, file: string): Promise<void> {
  const pending = await pendingSteps(kysely)
  if (pending.length > 0) {
    throw new StoreError('unavailable', `the store ${file} lacks ${pending.join(', ')}; start the service first`)
  }
}

/** SQLite can undo schema changes, which Kysely's own adapter does not make use of. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

function sqliteDialect(database: Database.Database): KyselyDialect {
  return {
    createAdapter: () => new TransactionalAdapter(),
    createDriver: () => sqliteDriver(database),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}

/** One connection; Kysely lets one transaction or query have it at a time. */
function sqliteDriver(database: Database.Database): Driver {
  const connection = sqliteConnection(database)
  return {
    init: async () => {},
    acquireConnection: async () => connection,
    // Taking the write lock at once: a transaction that reads first and then writes could fail half-way.
    beginTransaction: async () => translated(() => void database.exec('begin immediate')),
    commitTransaction: async () => translated(() => void database.exec('commit')),
    // A full disk or an I/O error has rolled back already.
    rollbackTransaction: async () => translated(() => void (database.inTransaction && database.exec('rollback'))),
    releaseConnection: async () => {},
    destroy: async () => void database.close(),
  }
}

function sqliteConnection(database: Database.Database): DatabaseConnection {
  const statements = new Map<string, Database.Statement>()
  const prepare = (text: string): Database.Statement => {
    const known = statements.get(text)
    if (known !== undefined) return known
    if (statements.size >= STATEMENTS_MAX) statements.clear()
    const made = database.prepare(text)
    statements.set(text, made)
    return made
  }
  return {
    executeQuery: async <R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> =>
      translated(() => {
        const statement = prepare(sql)
        if (statement.reader) return { rows: statement.all(parameters) as R[] }
        const { changes, lastInsertRowid } = statement.run(parameters)
        return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
      }),
    streamQuery: () => {
      throw new TypeError('rows are read in pages, not streamed')
    },
  }
}

/** Gives the driver's errors their reason; what has none is a bug and stays as it is. */
async function translated<T>(act: () => T): Promise<T> {
  try {
    return act()
  } catch (error) {
    const reason = SQLITE.reasonOf(error)
    if (reason === undefined) throw error
    // The thread stood still for a lock: what waits for it has its turn before the next try does that.
    if (reason === 'unavailable') await turn()
    throw new StoreError(reason, (error as Error).message, { cause: error })
  }
}
