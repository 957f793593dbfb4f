// Bringing a database to the present schema, forward only.

import { sql, type Kysely } from 'kysely'
import { Migrator, type Migration } from 'kysely/migration'
import type { Dialect } from './dialect.ts'
import { StoreError } from './errors.ts'
import * as initial from './migrations/0001-initial.ts'
import * as months from './migrations/0002-months.ts'
import * as domainOptions from './migrations/0004-domain-options.ts'
import * as senderPolicies from './migrations/0005-sender-policies.ts'
import * as credentials from './migrations/0006-credentials.ts'
import * as quotas from './migrations/0007-quotas.ts'
import * as automaticMail from './migrations/0009-automatic-mail.ts'
import * as erasures from './migrations/0010-erasures.ts'
import type { Schema } from './schema.ts'

type Step = (db: Kysely<never>, dialect: Dialect) => Promise<void>

/** In the order of their names; a released step is never edited. A new name comes last (0003 and 0008 stay gaps): Kysely demands it. */
const STEPS: Record<string, Step> = {
  '0001-initial': initial.up,
  '0002-months': months.up,
  '0004-domain-options': domainOptions.up,
  '0005-sender-policies': senderPolicies.up,
  '0006-credentials': credentials.up,
  '0007-quotas': quotas.up,
  '0009-automatic-mail': automaticMail.up,
  '0010-erasures': erasures.up,
}

/** What was applied, oldest first; empty for a new database. */
async function applied(db: Kysely<Schema>): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some((table) => table.name === 'kysely_migration')) return []
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
  return rows.map((row) => row.name)
}

/** Steps this program has and the database has not. `invalid` where the database is newer than this program. */
export async function pendingSteps(db: Kysely<Schema>): Promise<string[]> {
  const done = await applied(db)
  const unknown = done.filter((name) => !Object.hasOwn(STEPS, name))
  if (unknown.length > 0) {
    throw new StoreError(
      'invalid',
      `the database was written by a newer version of this program (it has ${unknown.join(', ')}); use that version`,
    )
  }
  return Object.keys(STEPS).filter((name) => !done.includes(name))
}

/** Applies what is missing, in one write transaction: two programs that start together migrate once. */
export async function migrate(db: Kysely<Schema>, dialect: Dialect): Promise<void> {
  if ((await pendingSteps(db)).length === 0) return
  const migrations: Record<string, Migration> = Object.fromEntries(
    Object.entries(STEPS).map(([name, up]) => [name, { up: (on: Kysely<never>) => up(on, dialect) }]),
  )
  const provider = { getMigrations: async () => migrations }
  const { error } = await new Migrator({ db: db.withoutPlugins(), provider }).migrateToLatest()
  if (error instanceof Error) throw error
  if (error !== undefined) throw new TypeError('migration failed', { cause: error })
}
