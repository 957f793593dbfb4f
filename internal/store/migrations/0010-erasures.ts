// Tenants that were erased. The row stays, so that nothing of them comes back and their slug is not given again.

import type { Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

export async function up(db: Kysely<never>, { schema }: Dialect): Promise<void> {
  await db.schema
    .createTable('erasures')
    .addColumn('tenant', schema.text as 'text', (column) => column.notNull())
    .addColumn('began_at', 'bigint', (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .addPrimaryKeyConstraint('erasures_key', ['tenant'] as never[])
    .execute()
}
