// The store in a real PostgreSQL, started here: the contract, and what only this engine has.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { found, saveText } from './contract-search.ts'
import { storeContract } from './contract.ts'
import { openPostgresStore } from './postgres.ts'
import { dropEvents, getMessage, listTenants, projectEvents, saveMessage, seedFirstStart, usageOf } from './store.ts'
import { draft, eventRow, reasonOf } from './testing/draft.ts'
import { openElsewhere } from './testing/program.ts'
import { clock, freshStore, missing, sharedBed } from './testing/postgres-bed.ts'

describe.skipIf(missing)(`the store in PostgreSQL ${missing ?? ''}`, () => {
  const bed = sharedBed({ tls: true })

  storeContract({
    clear: () => bed().empty(),
    fresh: () => bed().fresh(),
    open: (options) => bed().open(options),
    close: async () => {},
  })

  describe('counting', () => {
    const store = freshStore(bed)

    test('no transaction waits for what another one counts of the same tenant', async () => {
      const save = (n: number, meanwhile: () => Promise<void> = async () => {}): Promise<void> =>
        store().transaction(async (tx) => {
          await saveMessage(tx, draft(n, { sizeBytes: 10 }))
          await meanwhile()
        })
      // Each ends only when those that began after it have ended.
      await save(1, () => save(2, () => save(3)))
      await save(4)
      const usage = await usageOf(store(), ['acme'], 0)
      expect(usage.get('acme')).toEqual({ messages: 4, bytes: 40, storedBytes: 40 })
      const { rows } = await sql`select slot from usage_stored order by slot`.execute(store().kysely)
      expect(rows).toEqual([{ slot: 0 }, { slot: 1 }, { slot: 2 }])
    })
  })

  test('connections, size and statements are shown', async () => {
    const told: string[] = []
    const store = await bed().open({ onQuery: (statement) => told.push(statement) })
    told.length = 0
    await listTenants(store, { limit: 1 })
    expect(told).toEqual(['select'])
    expect(store.pool?.()).toEqual({ busy: 0, idle: 1, waiting: 0 })
    const within = await store.transaction(async () => store.pool?.())
    expect(within).toEqual({ busy: 1, idle: 0, waiting: 0 })
    expect(await store.dialect.sizeBytes(store)).toBeGreaterThan(1e6)
    await store.close()
  })

  describe('opening', () => {
    beforeEach(() => bed().empty())

    test('programs that start together migrate once', async () => {
      const start = () => openElsewhere('postgres.ts', 'openPostgresStore', { url: bed().url })
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
      await store.transaction((tx) => projectEvents(tx, [eventRow(1, { appendedAt: 0 })]))
      expect(await dropEvents(store, Date.UTC(1970, 1))).toBe(1)
      const forbidden = ['drop table messages', 'create table mine (a int)', 'alter table outbox add column a int']
      for (const statement of forbidden) {
        await expect(sql.raw(statement).execute(store.kysely)).rejects.toThrow(/must be owner|permission denied/)
      }
      await store.close()
      const reader = await bed().open({ url: as('mail_ingest_reader'), readOnly: true })
      expect(await listTenants(reader)).toHaveLength(1)
      await expect(dropEvents(reader, Date.UTC(2100, 0))).rejects.toThrow(/permission denied/)
      await expect(sql`delete from tenants`.execute(reader.kysely)).rejects.toThrow(/read-only|permission denied/)
      await reader.close()
    })
  })

  describe('backup', () => {
    const store = freshStore(bed)

    test('a dump, restored, is the same store', async () => {
      await seedFirstStart(store(), { domain: 'x.example', now: 1 })
      await saveText(store(), 1, { body: 'kept' })
      const copy = await bed().server.copyByDump(bed().url)
      const restored = await openPostgresStore({ url: copy, clock })
      expect(await found(restored, 'kept')).toEqual([1])
      expect(await getMessage(restored, draft(1).id)).toEqual(await getMessage(store(), draft(1).id))
      await saveText(restored, 2, { body: 'goes on' })
      expect(await found(restored, 'goes')).toEqual([2])
      await restored.close()
    })
  })
})
