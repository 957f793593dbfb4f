// A PostgreSQL for the tests of one file, with a database for each that wants one.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { postgresUnavailable, startPostgres, type Postgres } from '../../../test/engines/postgres.ts'
import { openPostgresStore, type PostgresStoreOptions } from '../postgres.ts'
import type { Store } from '../store.ts'

export const clock = { sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, signal && { signal }) }

/** Why there can be none on this machine. */
export const missing = postgresUnavailable()

export class PostgresBed {
  readonly server: Postgres
  /** Of the newest database. */
  url: string

  private constructor(server: Postgres) {
    this.server = server
    this.url = server.url
  }

  static async start(options: { tls?: boolean } = {}): Promise<PostgresBed> {
    const server = await startPostgres(options)
    await (await openPostgresStore({ url: server.url, clock })).close()
    return new PostgresBed(server)
  }

  get database(): string {
    return new URL(this.url).pathname.slice(1)
  }

  open(options: Partial<PostgresStoreOptions> = {}): Promise<Store> {
    return openPostgresStore({ url: this.url, clock, poolMax: 4, ...options })
  }

  /** A new database without a schema. */
  async empty(): Promise<void> {
    this.url = await this.server.createDatabase()
  }

  /** A new database that a store was opened on once. */
  async fresh(): Promise<void> {
    this.url = await this.server.createDatabase(new URL(this.server.url).pathname.slice(1))
  }
}

/** One for the tests that follow in the file. */
export function sharedBed(options: { tls?: boolean } = {}): () => PostgresBed {
  let bed: PostgresBed | undefined
  beforeAll(async () => {
    bed = await PostgresBed.start(options)
  })
  afterAll(() => bed?.server.stop())
  return () => {
    if (bed === undefined) throw new TypeError('not started')
    return bed
  }
}

/** A store in a database of its own for each test of the block. */
export function freshStore(bed: () => PostgresBed, options: Partial<PostgresStoreOptions> = {}) {
  let store: Store
  beforeEach(async () => {
    await bed().fresh()
    store = await bed().open(options)
  })
  afterEach(() => store.close())
  return () => store
}

/** Waits until it holds, at most 10 s. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 500) throw new Error('not within 10 s')
    await sleep(20)
  }
}
