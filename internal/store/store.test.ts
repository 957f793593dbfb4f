import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { CamelCasePlugin, Kysely, sql, SqliteDialect } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { migrationContract } from './contract-migration.ts'
import { storeContract } from './contract.ts'
import { SQLITE } from './dialect.ts'
import type { Schema } from './schema.ts'
import { openSqliteStore } from './sqlite.ts'
import { createTenant, listTenants, MESSAGE_MOVES, nextStatus, type Store } from './store.ts'
import { openElsewhere } from './testing/program.ts'
import { PLANS } from './testing/plans.ts'
import { reasonOf } from './testing/draft.ts'

let dir: string
const file = () => join(dir, 'store.db')

const emptyDir = async (): Promise<void> => {
  if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
  dir = mkdtempSync(join(tmpdir(), 'store-'))
}

migrationContract({
  clear: emptyDir,
  raw() {
    const dialect = new SqliteDialect({ database: new Database(file()) })
    const kysely = new Kysely<Schema>({ dialect, plugins: [new CamelCasePlugin()] })
    return { kysely, dialect: SQLITE }
  },
  open: () => openSqliteStore({ file: file() }),
  openElsewhere: () => openElsewhere('sqlite.ts', 'openSqliteStore', { file: file() }),
  async schemaOf(kysely) {
    const made = sql<{ text: string }>`select sql as text from sqlite_master where sql is not null order by name`
    return (await made.execute(kysely)).rows.map((row) => row.text).join('\n')
  },
  released: '80bd6b1301c4ebb7c7154b91462b51144824907801d2e272c3db9de1b2ba26b0',
})

storeContract({
  clear: emptyDir,
  fresh: emptyDir,
  open: (options) => openSqliteStore({ file: file(), ...options }),
  close: async () => rmSync(dir, { recursive: true }),
})

/** Made again from the log or the objects, or gone with the store that was lost (docs/replay.md). */
const NOT_RESTORED =
  /^(kysely_.*|sqlite_sequence|search_index.*|message.*|documents|thread_ids|delivery_reports|usage_.*|events|checkpoints|jobs|outbox|outbound)$/

describe('the file', () => {
  let store: Store
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'store-'))
    store = await openSqliteStore({ file: file() })
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })

  test('docs/replay.md restores every table that is not made again', async () => {
    const made = await sql<{ name: string }>`select name from sqlite_master where type = 'table'`.execute(store.kysely)
    const tables = made.rows.map(({ name }) => name).filter((name) => !NOT_RESTORED.test(name))
    const page = readFileSync(join(import.meta.dirname, '../../docs/replay.md'), 'utf8')
    const command = /```sh tables\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
    const restored = [...command.matchAll(/ -t (\w+)/g)].map((match) => match[1] ?? '')
    expect(restored.toSorted()).toEqual(tables.toSorted())
    const rows = [...page.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| .* \|$/gm)].map((match) => match[1] ?? '')
    expect(rows.join().replaceAll(/[` ]/g, '').split(',')).toEqual(restored)
  })

  test('two programs that start together migrate once', async () => {
    const start = () => openElsewhere('sqlite.ts', 'openSqliteStore', { file: join(dir, 'other.db') })
    await Promise.all([start(), start(), start()])
  })

  test('a reader of a store that is not there is told what to do', async () => {
    const missing = openSqliteStore({ file: join(dir, 'none.db'), readOnly: true })
    await expect(missing).rejects.toThrow(/there is no store at .*start the service first/)
  })

  test('commits are synced and the log is shared', () => {
    const raw = new Database(file(), { readonly: true })
    expect(raw.pragma('journal_mode', { simple: true })).toBe('wal')
    raw.close()
  })

  test('another connection’s lock is `unavailable`, and passes', async () => {
    const other = new Database(file())
    other.exec('begin immediate')
    expect(await reasonOf(createTenant(store, { slug: 'a', now: 1 }))).toBe('unavailable')
    expect(await reasonOf(store.transaction((tx) => createTenant(tx, { slug: 'a', now: 1 })))).toBe('unavailable')
    expect(await listTenants(store)).toEqual([])
    other.exec('rollback')
    other.close()
    expect(await reasonOf(createTenant(store, { slug: 'a', now: 1 }))).toBe('none')
  })

  test('many that wait for a lock let others have the thread in between', async () => {
    const other = new Database(file())
    other.exec('begin immediate')
    let turns = 0
    const counting = setInterval(() => (turns += 1), 1)
    const lost = await Promise.all(Array.from({ length: 20 }, () => reasonOf(store.transaction(async () => {}))))
    clearInterval(counting)
    other.close()
    expect(new Set(lost)).toEqual(new Set(['unavailable']))
    expect(turns).toBeGreaterThan(15)
  })

  test('a transaction that reads first may still write: it holds the write lock from its beginning', async () => {
    const other = new Database(file(), { timeout: 0 })
    await store.transaction(async (tx) => {
      await listTenants(tx)
      expect(() => other.exec('delete from tenants')).toThrow('locked')
      await createTenant(tx, { slug: 'a', now: 1 })
    })
    other.close()
    expect(await listTenants(store)).toHaveLength(1)
  })

  describe('costs stay flat', () => {
    const plan = (raw: Database.Database, text: string) =>
      (raw.prepare(`explain query plan ${text}`).all() as { detail: string }[]).map((row) => row.detail).join('; ')

    test.each(PLANS)('%s: no table is scanned', (_what, text) => {
      const raw = new Database(file(), { readonly: true })
      const said = plan(raw, text)
      raw.close()
      expect(said).not.toMatch(/SCAN \w+(;|$)/)
      if (text.includes('order by')) {
        expect(said).toMatch(/USING (COVERING )?INDEX/)
        expect(said).not.toMatch(/TEMP B-TREE/)
      }
    })
  })
})

describe('states (R17)', () => {
  test.each([
    ['RECEIVED', 'consumed', 'STORED'],
    ['RECEIVED', 'parsed', 'PARSED'],
    ['STORED', 'gave_up', 'FAILED'],
    ['STORED', 'quarantined', 'QUARANTINED'],
    ['STORED', 'repeated', 'DUPLICATE'],
    ['QUARANTINED', 'parsed', 'PARSED'],
    ['FAILED', 'parsed', 'PARSED'],
    ['PARSED', 'demoted', 'DUPLICATE'],
    ['DUPLICATE', 'forced', 'PARSED'],
    ['DUPLICATE', 'promoted', 'STORED'],
    ['PARSED', 'gave_up', undefined],
    ['PARSED', 'consumed', undefined],
    ['PARSED', 'promoted', undefined],
    ['QUARANTINED', 'demoted', undefined],
    ['DUPLICATE', 'gave_up', undefined],
  ] as const)('%s, %s: %s', (from, move, to) => expect(nextStatus(from, move)).toBe(to))

  test('every move leads somewhere from somewhere', () => {
    const froms = ['RECEIVED', 'STORED', 'PARSED', 'QUARANTINED', 'FAILED', 'DUPLICATE'] as const
    expect(MESSAGE_MOVES.filter((move) => !froms.some((from) => nextStatus(from, move)))).toEqual([])
  })
})
