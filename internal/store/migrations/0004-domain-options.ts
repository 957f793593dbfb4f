// What becomes of mail to nobody in a domain: it goes to a mailbox, or unknown recipients look like known ones.

import type { Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

export async function up(db: Kysely<never>, { schema }: Dialect): Promise<void> {
  await db.schema
    .alterTable('domains')
    .addColumn('catch_all', schema.text as 'text')
    .execute()
  await db.schema
    .alterTable('domains')
    .addColumn('anti_enumeration', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
}
