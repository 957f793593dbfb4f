// PostgreSQL by the month: what is partitioned, what it costs, what the step from the previous version does, and how months go.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CamelCasePlugin, Kysely, PostgresDialect, sql, type RawBuilder } from 'kysely'
import { Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { EMPTY } from './contract-search.ts'
import { fillPrevious, migrationContract, type MigrationBed } from './contract-migration.ts'
import { postgresDialect } from './dialect.ts'
import type { Schema } from './schema.ts'
import {
  addDocuments,
  claimKey,
  dropDerived,
  dropEvents,
  findMessage,
  getMessage,
  holdKeyOf,
  indexText,
  listEvents,
  listMessages,
  patchMessage,
  projectEvents,
  queueOutbound,
  saveMessage,
  saveReport,
  type Queries,
  type Store,
  type Tx,
} from './store.ts'
import { draft, eventRow, outboundDraft, reasonOf } from './testing/draft.ts'
import { PLANS } from './testing/plans.ts'
import { openElsewhere } from './testing/program.ts'
import { freshStore, missing, sharedBed, until } from './testing/postgres-bed.ts'

/** Copies of a message: of 26 tenants, `a` among them, a seventh FAILED. */
const MANY = `
create function many(one messages, copies integer) returns setof messages language plpgsql as $$
begin
  for n in 1..copies loop
    one.seq := nextval('messages_seq_seq');
    one.id := one.entry_id || '-' || n;
    one.received_at := one.received_at + 1;
    one.tenant := chr(97 + n % 26);
    one.status := case when n % 7 = 0 then 'FAILED' else 'PARSED' end;
    return next one;
  end loop;
end $$`

/** Tables without partitions that name messages. */
const NAMING_MESSAGES = [
  ['message_places', 'id'],
  ['message_keys', 'message_id'],
  ['message_mailboxes', 'message_id'],
  ['documents', 'message_id'],
  ['delivery_reports', 'message_id'],
  ['outbound', 'about_message_id'],
] as const

describe.skipIf(missing)(`months in PostgreSQL ${missing ?? ''}`, () => {
  const bed = sharedBed()
  const psql = (statements: string) => bed().server.psql(statements, bed().database)

  /** Months that a table has partitions for. */
  async function months(on: Queries, table: string): Promise<string[]> {
    const { rows } = await sql<{ name: string }>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = to_regclass(${table})`.execute(
      on.kysely,
    )
    return rows.map((row) => row.name.replace(`${table}_`, '')).sort()
  }

  const previous: MigrationBed = {
    clear: () => bed().empty(),
    raw() {
      const dialect = new PostgresDialect({ pool: new Pool({ connectionString: bed().url }) })
      const kysely = new Kysely<Schema>({ dialect, plugins: [new CamelCasePlugin()] })
      return { kysely, dialect: postgresDialect(async () => {}) }
    },
    open: () => bed().open(),
    openElsewhere: () => openElsewhere('postgres.ts', 'openPostgresStore', { url: bed().url }),
    async schemaOf(kysely) {
      const { rows } = await sql<{ text: string }>`
        select concat_ws(' ', table_name, column_name, data_type, collation_name, is_nullable, column_default) as text
          from information_schema.columns where table_schema = 'public'
        union all select indexdef from pg_indexes where schemaname = 'public'
        union all select prosrc from pg_proc where pronamespace = 'public'::regnamespace
        union all select pg_get_partkeydef(partrelid) from pg_partitioned_table
        order by 1`.execute(kysely)
      return rows.map((row) => row.text).join('\n')
    },
    released: '4561423077a1cafb58b2a29b86a419b55420b6007c647052b8e64133be7d0388',
  }
  migrationContract(previous)

  describe('the step to months', () => {
    beforeEach(() => bed().empty())

    test('one that fails changes nothing, and can be done again', async () => {
      await fillPrevious(previous)
      // In the way of the last thing that the step makes.
      await psql('create function drop_events(until bigint) returns integer language sql as $$ select 1 $$')
      const before = await psql(
        `select relname, relkind from pg_class where relnamespace = 'public'::regnamespace order by 1`,
      )
      await expect(bed().open()).rejects.toThrow(/lacks 0002-months, .*; and making it failed: .*drop_events.*exists/)
      expect(
        await psql(`select relname, relkind from pg_class where relnamespace = 'public'::regnamespace order by 1`),
      ).toBe(before)
      await psql('drop function drop_events(bigint)')
      const store = await bed().open()
      expect((await listEvents(store, {}, { limit: 10 })).rows).toHaveLength(3)
      await store.close()
    })

    test('the events from before are one partition, which goes when its newest month is old enough', async () => {
      await fillPrevious(previous)
      const store = await bed().open()
      expect(await months(store, 'events')).toEqual(['before_months'])
      expect(await dropEvents(store, Date.UTC(2026, 11) - 1)).toBe(0)
      expect(await dropEvents(store, Date.UTC(2100, 0))).toBe(1)
      expect((await listEvents(store, {}, { limit: 10 })).rows).toEqual([])
      await store.close()
    })

    test('a program of the previous version that still runs does not leave messages without a place', async () => {
      await fillPrevious(previous)
      const store = await bed().open()
      await psql('select make_month(0)')
      await psql(`create temporary table one as select * from messages limit 1; update one set id = 'old', received_at = 0, seq = 99;
        insert into messages select * from one`)
      expect(await findMessage(store, 'old')).toMatchObject({ receivedAt: 0 })
      await store.close()
    })
  })

  describe('partitions', () => {
    const store = freshStore(bed)
    const save = (n: number, receivedAt: number) =>
      store().transaction((tx) => saveMessage(tx, draft(n, { receivedAt })))
    const project = (n: number, appendedAt: number) =>
      store().transaction((tx) => projectEvents(tx, [eventRow(n, { appendedAt })]))

    test('the month of a message and two more are made, for text as well', async () => {
      await save(1, Date.UTC(2026, 10, 30, 23, 59, 59, 999))
      expect(await months(store(), 'messages')).toEqual(['2026_11', '2026_12', '2027_01'])
      expect(await months(store(), 'search_index')).toEqual(await months(store(), 'messages'))
      await save(2, Date.UTC(2026, 11, 1))
      expect(await months(store(), 'messages')).toEqual(['2026_11', '2026_12', '2027_01', '2027_02'])
      const { rows } = await sql`select tableoid::regclass::text as part from messages order by id`.execute(
        store().kysely,
      )
      expect(rows).toEqual([{ part: 'messages_2026_11' }, { part: 'messages_2026_12' }])
      expect(await months(store(), 'events')).toEqual([])
    })

    test('events by the month in which the log took them', async () => {
      await project(1, Date.UTC(2026, 10, 30, 23, 59, 59, 999))
      await project(2, Date.UTC(2026, 11, 1))
      expect(await months(store(), 'events')).toEqual(['2026_11', '2026_12', '2027_01', '2027_02'])
      expect(await months(store(), 'messages')).toEqual([])
    })

    test('months of events do not go while somebody reads them, and nobody else waits for long', async () => {
      await project(1, 0)
      const { promise: reading, resolve: reads } = Promise.withResolvers<void>()
      const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
      const reader = store().transaction(async (tx) => {
        await listEvents(tx, {}, { limit: 1 })
        reads()
        await held
      })
      await reading
      expect(await reasonOf(dropEvents(store(), Date.UTC(1971, 0)))).toBe('unavailable')
      letGo()
      await reader
      expect(await dropEvents(store(), Date.UTC(1971, 0))).toBe(3)
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

    test('a store that needs many months at once makes them on one connection', async () => {
      const other = await bed().open()
      const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
      const { promise: holding, resolve: holds } = Promise.withResolvers<void>()
      const holder = other.transaction(async (tx) => {
        await sql`select pg_advisory_xact_lock(hashtextextended('make_month', 0))`.execute(tx.kysely)
        holds()
        await held
      })
      await holding
      const saving = [0, 4, 8, 12].map((month, n) => save(n, Date.UTC(2031, month)))
      const waiting = async () =>
        Number(
          await psql(`select count(*) from pg_stat_activity where wait_event = 'advisory'
          and datname = current_database()`),
        )
      await until(async () => (await waiting()) > 0)
      await sleep(300)
      expect(await waiting()).toBe(1)
      letGo()
      await holder
      await Promise.all(saving)
      await other.close()
    })

    test('a month whose places were left when it was dropped takes its mail again', async () => {
      await save(1, Date.UTC(2024, 0, 5))
      await save(2, Date.UTC(2024, 0, 6))
      await save(3, Date.UTC(2024, 3))
      await psql('drop table messages_2024_01, search_index_2024_01')
      expect(await findMessage(store(), draft(1).id)).toBeUndefined()
      expect(await reasonOf(save(1, Date.UTC(2024, 0, 5)))).toBe('unavailable')
      await save(1, Date.UTC(2024, 0, 5))
      await save(2, Date.UTC(2024, 2))
      for (const [n, receivedAt] of [
        [1, Date.UTC(2024, 0, 5)],
        [2, Date.UTC(2024, 2)],
      ] as const) {
        expect(await findMessage(store(), draft(n).id)).toMatchObject({ receivedAt })
        expect(await reasonOf(save(n, Date.UTC(2024, 3)))).toBe('conflict')
      }
      expect(await psql('select count(*) from message_places')).toBe('3')
    })

    test('an id is one message, whichever month somebody takes it to be of', async () => {
      await save(1, 0)
      expect(await reasonOf(save(1, Date.UTC(2026, 0)))).toBe('conflict')
      expect(await getMessage(store(), draft(1).id)).toMatchObject({ receivedAt: 0 })
    })

    test('a month that is dropped as docs/postgresql.md says is gone, and made again when mail of it comes again', async () => {
      const document = readFileSync(join(import.meta.dirname, '../../docs/postgresql.md'), 'utf8')
      const statements = /```sql month\n([\s\S]*?)```/.exec(document)?.[1] ?? ''
      for (const [n, month] of [0, 1].entries()) {
        const place = await save(n, Date.UTC(2024, month))
        await store().transaction(async (tx) => {
          const { id: messageId, tenant, sha256, source, entryId } = draft(n)
          await indexText(tx, place, { ...EMPTY, body: 'word' })
          await claimKey(tx, { tenant, source, headerMessageId: `<${n}@x>`, messageId, entryId })
          const file = { ordinal: 0, filename: 'a.txt', contentType: 'text/plain', sizeBytes: 1, sha256, key: 'k' }
          await addDocuments(tx, [{ id: `document-${n}`, messageId, tenant, ...file }])
          const report = { originalMessageId: null, originalEnvelopeId: null, reportingMta: null, arrivalDate: null }
          await saveReport(tx, { messageId, tenant, ...report, recipients: [] })
          await queueOutbound(tx, outboundDraft(n, { aboutMessageId: messageId }))
        })
      }
      await psql(statements)
      expect(await findMessage(store(), draft(0).id)).toBeUndefined()
      expect(await findMessage(store(), draft(1).id)).toBeDefined()
      for (const [table, column] of NAMING_MESSAGES) {
        const left = await psql(`select ${column} from ${table} where ${column} is not null`)
        expect([table, left]).toEqual([table, draft(1).id])
      }
      expect(await reasonOf(save(0, Date.UTC(2024, 0)))).toBe('unavailable')
      expect(await reasonOf(save(0, Date.UTC(2024, 0)))).toBe('none')
      expect(await findMessage(store(), draft(0).id)).toBeDefined()
    })
  })

  describe('costs stay flat', () => {
    let store: Store
    const MONTHS = 6
    const receivedAt = (month: number) => Date.UTC(2026, month)
    beforeAll(async () => {
      await bed().fresh()
      store = await bed().open()
      await psql(MANY)
      for (let month = 0; month < MONTHS; month++) {
        await store.transaction(async (tx) => {
          const recipients = [{ address: 'all@x', mailbox: 'all@x' }]
          const place = await saveMessage(tx, draft(month, { receivedAt: receivedAt(month), recipients }))
          await indexText(tx, place, { ...EMPTY, body: 'word' })
          await projectEvents(tx, [eventRow(month, { appendedAt: receivedAt(month) })])
        })
        // Enough for the planner to tell one index from another.
        await psql(`insert into messages select (many(m, 2000)).* from messages m where id = '${draft(month).id}'`)
      }
      await psql('analyze messages')
    })
    afterAll(() => store.close())

    /** Every table of a month is locked by whoever plans with it: how many were, of the tables by month. */
    async function monthsTouched(work: (tx: Tx) => Promise<unknown>): Promise<string[]> {
      return store.transaction(async (tx) => {
        await work(tx)
        const { rows } = await sql<{ name: string }>`
          select distinct relname as name from pg_locks join pg_class on pg_class.oid = relation
          where pid = pg_backend_pid() and relkind = 'r' and relname ~ '_[0-9]{4}_[0-9]{2}$' order by 1`.execute(
          tx.kysely,
        )
        return rows.map((row) => row.name)
      })
    }

    const id = draft(2).id
    test.each<[string, (tx: Tx) => Promise<unknown>, string[]]>([
      ['found', (tx) => findMessage(tx, id), ['messages_2026_03']],
      ['looked for and not there', (tx) => findMessage(tx, 'none'), []],
      ['changed', (tx) => patchMessage(tx, id, { status: 'PARSED' }), ['messages_2026_03']],
      ['asked for its key', (tx) => holdKeyOf(tx, id), ['messages_2026_03']],
      ['saved', (tx) => saveMessage(tx, draft(2, { receivedAt: receivedAt(2) })), ['messages_2026_03']],
      ['new', (tx) => saveMessage(tx, draft(50, { receivedAt: receivedAt(2) })), ['messages_2026_03']],
      [
        'indexed',
        (tx) => indexText(tx, { seq: 1, receivedAt: receivedAt(2) }, { ...EMPTY, body: 'word' }),
        ['search_index_2026_03'],
      ],
      [
        'freed of its text',
        (tx) => dropDerived(tx, id, { seq: 1, receivedAt: receivedAt(2) }),
        ['search_index_2026_03'],
      ],
      ['told of', (tx) => projectEvents(tx, [eventRow(70, { appendedAt: receivedAt(2) })]), ['events_2026_03']],
      [
        'the newest of its mailbox',
        (tx) => listMessages(tx, { mailbox: 'all@x' }, { limit: 1 }),
        ['messages_2026_05', 'messages_2026_06'],
      ],
    ])('a message that is %s costs its own month', async (_what, work, touched) => {
      expect(await monthsTouched(work)).toEqual(touched)
    })

    /** How a statement would be done. Small tables are read as a whole and sorted, so asked for when that costs. */
    const planOf = (statement: RawBuilder<unknown>, ...cheapOnSmall: ('sort' | 'bitmapscan')[]) =>
      store.transaction(async (tx) => {
        for (const way of ['seqscan', ...cheapOnSmall]) {
          await sql`set local ${sql.ref(`enable_${way}`)} = off`.execute(tx.kysely)
        }
        const { rows } = await sql<Record<string, string>>`explain ${statement}`.execute(tx.kysely)
        return rows.map((row) => Object.values(row)[0]).join('\n')
      })

    test.each(PLANS)('%s: no table is scanned', async (_what, text, index) => {
      const ordered = /order by (received_at|time)/.test(text)
      const plan = ordered ? await planOf(sql.raw(text), 'sort', 'bitmapscan') : await planOf(sql.raw(text))
      expect(plan).not.toMatch(/Seq Scan/)
      if (ordered) expect(plan).not.toMatch(/-> +(Incremental )?Sort /)
      if (index !== undefined) expect(plan).toMatch(new RegExp(`(using|on) \\w+_2026_03_${index}_idx`))
    })

    test('words are found by their index', async () => {
      const plan = await planOf(
        sql`select id from messages where ${store.dialect.matches({ words: ['word'], prefix: true })}`,
      )
      expect(plan).toMatch(/Bitmap Index Scan on search_index_\w*words/)
    })
  })
})
