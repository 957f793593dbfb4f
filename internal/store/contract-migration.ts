// A store of the previous version becomes one of this version with every row it has.

import { createHash } from 'node:crypto'
import { sql, type Kysely } from 'kysely'
import { Migrator } from 'kysely/migration'
import { describe, expect, test } from 'vitest'
import type { Dialect } from './dialect.ts'
import { toMessageRow } from './message-row.ts'
import { pendingSteps } from './migrate.ts'
import * as initial from './migrations/0001-initial.ts'
import type { Schema } from './schema.ts'
import {
  dayOf,
  findMessage,
  getMessage,
  listEvents,
  listMessages,
  projectEvents,
  saveMessage,
  usageOf,
  type Store,
} from './store.ts'
import { draft, eventRow } from './testing/draft.ts'

/** An engine with a place where no store was ever opened. */
export interface MigrationBed {
  clear(): Promise<void>
  /** The database without its schema brought up to date. */
  raw(): { kysely: Kysely<Schema>; dialect: Dialect }
  open(): Promise<Store>
  /** Opens it in a program of its own, and closes it. */
  openElsewhere(): Promise<void>
  /** Text that says how tables, indexes and functions are made. */
  schemaOf(kysely: Kysely<Schema>): Promise<string>
  /** SHA-256 of that text after step 0001, as it was released. */
  released: string
}

/** Rows of a month that is long over and of one that has just begun. */
const TIMES = [Date.UTC(2020, 0, 31), Date.UTC(2020, 1, 1), Date.UTC(2026, 10, 1)]

/** Steps that databases have; no name comes between two of these. */
const RELEASED = [
  '0001-initial',
  '0002-months',
  '0004-domain-options',
  '0005-sender-policies',
  '0006-credentials',
  '0007-quotas',
  '0009-automatic-mail',
  '0010-erasures',
]

/** Makes the place that of a store of the previous version, with rows. */
export async function fillPrevious(bed: MigrationBed): Promise<void> {
  const { kysely, dialect } = bed.raw()
  await migrateToPrevious(kysely, dialect)
  for (const [n, receivedAt] of TIMES.entries()) {
    if (dialect.name === 'postgres') await sql`select make_month(${receivedAt})`.execute(kysely)
    await kysely
      .insertInto('messages')
      .values(toMessageRow(draft(n, { receivedAt })))
      .execute()
    const { offset, data, ...rest } = eventRow(n, { appendedAt: receivedAt })
    await kysely
      .insertInto('events')
      .values({ ...rest, logOffset: offset, data: JSON.stringify(data) })
      .execute()
  }
  await kysely.destroy()
}

async function migrateToPrevious(kysely: Kysely<Schema>, dialect: Dialect): Promise<void> {
  const steps = { '0001-initial': { up: (db: Kysely<never>) => initial.up(db, dialect) } }
  const provider = { getMigrations: async () => steps }
  const { error } = await new Migrator({ db: kysely.withoutPlugins(), provider }).migrateToLatest()
  if (error !== undefined) throw error as Error
}

export function migrationContract(bed: MigrationBed): void {
  describe('from the previous version', () => {
    test('every row is there, found as before, and work goes on', async () => {
      await bed.clear()
      await fillPrevious(bed)
      const store = await bed.open()
      const { rows } = await listMessages(store, {}, { limit: 10 })
      expect(rows.map((row) => row.receivedAt)).toEqual(TIMES.toReversed())
      for (const [n, receivedAt] of TIMES.entries()) {
        expect(await getMessage(store, draft(n).id)).toMatchObject({ receivedAt, entryId: draft(n).entryId })
        const place = await store.transaction((tx) => saveMessage(tx, draft(n, { receivedAt, subject: 'again' })))
        expect(place.receivedAt).toBe(receivedAt)
      }
      await store.transaction((tx) => saveMessage(tx, draft(9, { receivedAt: Date.UTC(2026, 10, 21) })))
      expect(await findMessage(store, draft(9).id)).toBeDefined()
      expect((await listMessages(store, {}, { limit: 10 })).rows).toHaveLength(4)
      await store.close()
    })

    test('what was there counts on its days, and new mail beside it', async () => {
      await bed.clear()
      await fillPrevious(bed)
      const store = await bed.open()
      const last = dayOf(TIMES.at(-1) ?? 0)
      const usage = async () => (await usageOf(store, ['acme'], last)).get('acme')
      expect(await usage()).toEqual({ messages: 1, bytes: 200, storedBytes: 300 })
      await store.transaction((tx) => saveMessage(tx, draft(2, { receivedAt: TIMES.at(-1) ?? 0 })))
      await store.transaction((tx) => saveMessage(tx, draft(9, { receivedAt: TIMES.at(-1) ?? 0, sizeBytes: 5 })))
      expect(await usage()).toEqual({ messages: 2, bytes: 205, storedBytes: 305 })
      await store.close()
    })

    test('events that are projected again are there once, new ones of any month come in', async () => {
      await bed.clear()
      await fillPrevious(bed)
      const store = await bed.open()
      const again = TIMES.map((appendedAt, n) => eventRow(n, { appendedAt }))
      const fresh = [Date.UTC(2026, 10, 21), Date.UTC(2031, 5), Date.UTC(2019, 0), 0]
      await store.transaction((tx) => projectEvents(tx, again))
      await store.transaction((tx) =>
        projectEvents(
          tx,
          fresh.map((appendedAt, n) => eventRow(10 + n, { appendedAt })),
        ),
      )
      const { rows } = await listEvents(store, {}, { limit: 50 })
      expect(rows.map((row) => row.offset).sort((a, b) => a - b)).toEqual([0, 1, 2, 10, 11, 12, 13])
      await store.close()
    })

    test('programs that start together do it once', async () => {
      await bed.clear()
      await fillPrevious(bed)
      await Promise.all([bed.openElsewhere(), bed.openElsewhere(), bed.openElsewhere()])
      const store = await bed.open()
      expect((await listMessages(store, {}, { limit: 10 })).rows).toHaveLength(TIMES.length)
      await store.close()
    })

    test('new steps come after the released ones: before them, a database that has those could not be opened', async () => {
      await bed.clear()
      const { kysely } = bed.raw()
      const steps = await pendingSteps(kysely)
      await kysely.destroy()
      expect(steps.slice(0, RELEASED.length)).toEqual(RELEASED)
      expect(steps).toEqual(steps.toSorted())
    })

    test('a released step makes what it always made', async () => {
      await bed.clear()
      const { kysely, dialect } = bed.raw()
      await migrateToPrevious(kysely, dialect)
      const text = await bed.schemaOf(kysely)
      await kysely.destroy()
      expect({ text, hash: createHash('sha256').update(text).digest('hex') }).toEqual({ text, hash: bed.released })
    })
  })
}
