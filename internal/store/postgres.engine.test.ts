// The store in a real PostgreSQL, started here: the contract, and what only this engine has.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { EMPTY, found, saveText } from './contract-search.ts'
import { storeContract } from './contract.ts'
import { openPostgresStore } from './postgres.ts'
import { getMessage, indexText, listMessages, listTenants, saveMessage, seedFirstStart, type Store } from './store.ts'
import { draft, reasonOf } from './testing/draft.ts'
import { PLANS } from './testing/plans.ts'
import { freshStore, missing, sharedBed } from './testing/postgres-bed.ts'

describe.skipIf(missing)(`the store in PostgreSQL ${missing ?? ''}`, () => {
  const bed = sharedBed({ tls: true })

  storeContract({
    clear: () => bed().empty(),
    fresh: () => bed().fresh(),
    open: (options) => bed().open(options),
    close: async () => {},
  })

  describe('opening', () => {
    beforeEach(() => bed().empty())

    test('programs that start together migrate once', async () => {
      const program = `import('${import.meta.dirname}/postgres.ts')
      .then(({ openPostgresStore }) => openPostgresStore({ url: ${JSON.stringify(bed().url)} }))
      .then((store) => store.close())`
      const start = () => promisify(execFile)(process.execPath, ['-e', program])
      await Promise.all([start(), start(), start()])
      const store = await bed().open()
      expect(await seedFirstStart(store, { domain: 'x.example', now: 1 })).toBe(true)
      await store.close()
    })

    test('stores that open at once on an empty database seed it once', async () => {
      const stores = await Promise.all([bed().open(), bed().open(), bed().open()])
      const seeded = await Promise.all(stores.map((store) => seedFirstStart(store, { domain: 'x.example', now: 1 })))
      expect(seeded.filter(Boolean)).toHaveLength(1)
      await Promise.all(stores.map((store) => store.close()))
    })

    test.each([
      ['a wrong password', (good: string) => good.replace(/:[^:@]+@/, ':secret-guess@'), 'unavailable', /password/],
      ['no such database', (good: string) => good.replace(/\/\w+$/, '/none'), 'unavailable', /none.*does not exist/],
      ['nobody listens', (good: string) => good.replace(/:\d+\//, ':1/'), 'unavailable', /ECONNREFUSED/],
      ['another scheme', () => 'mysql://a:secret-guess@b/c', 'invalid', /postgresql:\/\//],
      ['no URL', () => 'postgresql', 'invalid', /postgresql:\/\//],
    ])('%s: told without the password', async (_what, change, reason, says) => {
      const error = await bed()
        .open({ url: change(bed().url) })
        .catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ reason })
      expect(String(error)).toMatch(says)
      expect(String(error)).not.toContain('secret-guess')
      expect(String(error)).not.toContain(new URL(bed().url).password)
    })

    test.each([
      ['verify-full with the authority', 'localhost', (ca: string) => `sslmode=verify-full&sslrootcert=${ca}`, 'none'],
      [
        'another name than the certificate has',
        '127.0.0.1',
        (ca: string) => `sslmode=verify-full&sslrootcert=${ca}`,
        'unavailable',
      ],
      ['an authority that is not known', 'localhost', () => 'sslmode=verify-full', 'unavailable'],
    ])('TLS, %s: %s', async (_what, host, query, reason) => {
      const secure = `${bed().url.replace('127.0.0.1', host)}?${query(bed().server.caFile ?? '')}`
      const opened = bed().open({ url: secure })
      expect(await reasonOf(opened)).toBe(reason)
      if (reason !== 'none') return
      const store = await opened
      const { rows } = await sql<{ ssl: boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(
        store.kysely,
      )
      expect(rows).toEqual([{ ssl: true }])
      await store.close()
    })

    test('roles as docs/postgresql.md makes them: the service needs no right to change tables', async () => {
      const document = readFileSync(join(import.meta.dirname, '../../docs/postgresql.md'), 'utf8')
      const statements = /```sql roles\n([\s\S]*?)```/.exec(document)?.[1] ?? ''
      const database = bed().database
      await bed().server.psql(statements.replaceAll(/\bmail_ingest\b/g, database).replaceAll("'…'", "'p'"), database)
      const as = (role: string) => bed().url.replace(/\/\/[^@]+@/, `//${role}:p@`)

      await expect(bed().open({ url: as('mail_ingest_app') })).rejects.toThrow(/lacks 0001-initial.*permission denied/)
      await (await bed().open({ url: as('mail_ingest_owner') })).close()
      const store = await bed().open({ url: as('mail_ingest_app') })
      expect(await seedFirstStart(store, { domain: 'x.example', now: 1 })).toBe(true)
      await saveText(store, 1, { body: 'a month that nobody made yet' })
      expect(await found(store, 'nobody')).toEqual([1])
      const forbidden = ['drop table messages', 'create table mine (a int)', 'alter table outbox add column a int']
      for (const statement of forbidden) {
        await expect(sql.raw(statement).execute(store.kysely)).rejects.toThrow(/must be owner|permission denied/)
      }
      await store.close()
      const reader = await bed().open({ url: as('mail_ingest_reader'), readOnly: true })
      expect(await listTenants(reader)).toHaveLength(1)
      await expect(sql`delete from tenants`.execute(reader.kysely)).rejects.toThrow(/read-only|permission denied/)
      await reader.close()
    })
  })

  describe('partitions', () => {
    const store = freshStore(bed)
    const months = async (table = 'messages') => {
      const { rows } = await sql<{ name: string }>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = to_regclass(${table})`.execute(
        store().kysely,
      )
      return rows.map((row) => row.name.replace(`${table}_`, '')).sort()
    }
    const save = (n: number, receivedAt: number) =>
      store().transaction((tx) => saveMessage(tx, draft(n, { receivedAt })))

    test('the month of a message and two more are made, for text as well', async () => {
      await save(1, Date.UTC(2026, 10, 30, 23, 59, 59, 999))
      expect(await months()).toEqual(['2026_11', '2026_12', '2027_01'])
      expect(await months('search_index')).toEqual(await months())
      await save(2, Date.UTC(2026, 11, 1))
      expect(await months()).toEqual(['2026_11', '2026_12', '2027_01', '2027_02'])
      const { rows } = await sql`select tableoid::regclass::text as part from messages order by id`.execute(
        store().kysely,
      )
      expect(rows).toEqual([{ part: 'messages_2026_11' }, { part: 'messages_2026_12' }])
    })

    test('stores that need a month at once make it once, while others write', async () => {
      const stores = await Promise.all([bed().open(), bed().open(), bed().open()])
      await Promise.all(
        stores.flatMap((each, at) =>
          [0, 1, 2, 3].map((month) =>
            each.transaction((tx) => saveMessage(tx, draft(10 * at + month, { receivedAt: Date.UTC(2030, month) }))),
          ),
        ),
      )
      expect((await listMessages(store(), {}, { limit: 50 })).rows).toHaveLength(12)
      await Promise.all(stores.map((each) => each.close()))
    })

    test('a month that an operator dropped is made again when mail of it comes again', async () => {
      await save(1, 0)
      await bed().server.psql('drop table messages_1970_01; drop table search_index_1970_01', bed().database)
      expect(await reasonOf(save(1, 0))).toBe('unavailable')
      expect(await reasonOf(save(1, 0))).toBe('none')
    })
  })

  describe('costs stay flat', () => {
    let store: Store
    beforeAll(async () => {
      await bed().fresh()
      store = await bed().open()
      for (let month = 0; month < 6; month++) {
        const place = await store.transaction((tx) =>
          saveMessage(tx, draft(month, { receivedAt: Date.UTC(2026, month) })),
        )
        await store.transaction((tx) => indexText(tx, place, { ...EMPTY, body: 'word' }))
      }
    })
    afterAll(() => store.close())

    test.each(PLANS)('%s: no table is scanned', async (_what, text) => {
      for (let month = 0; month < 6; month++) {
        await store.transaction((tx) => saveMessage(tx, draft(month, { receivedAt: Date.UTC(2026, month) })))
      }
      const lines = await store.transaction(async (tx) => {
        // Small tables are read as a whole, so ask what is done when that costs.
        await sql`set local enable_seqscan = off`.execute(tx.kysely)
        return (await sql<Record<string, string>>`explain ${sql.raw(text)}`.execute(tx.kysely)).rows
      })
      const plan = lines.map((line) => Object.values(line)[0]).join('\n')
      expect(plan).not.toMatch(/Seq Scan/)
      if (text.includes('order by received_at') || text.includes('order by time')) expect(plan).not.toMatch(/Sort/)
    })

    test('words are found by their index', async () => {
      const plan = await store.transaction(async (tx) => {
        await sql`set local enable_seqscan = off`.execute(tx.kysely)
        const where = tx.dialect.matches({ words: ['word'], prefix: true })
        return (await sql`explain select id from messages where ${where}`.execute(tx.kysely)).rows
      })
      expect(JSON.stringify(plan)).toMatch(/Bitmap Index Scan on search_index_\w*words/)
    })
  })

  describe('backup', () => {
    const store = freshStore(bed)

    test('a dump, restored, is the same store', async () => {
      await seedFirstStart(store(), { domain: 'x.example', now: 1 })
      await saveText(store(), 1, { body: 'kept' })
      const copy = await bed().server.copyByDump(bed().url)
      const restored = await openPostgresStore({ url: copy })
      expect(await found(restored, 'kept')).toEqual([1])
      expect(await getMessage(restored, draft(1).id)).toEqual(await getMessage(store(), draft(1).id))
      await saveText(restored, 2, { body: 'goes on' })
      expect(await found(restored, 'goes')).toEqual([2])
      await restored.close()
    })
  })
})
