// Who may submit mail: names with the hash of their secret. A revoked one stays, so that its name is never given again.

import type { Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

export async function up(db: Kysely<never>, { schema }: Dialect): Promise<void> {
  const text = schema.text as 'text'
  await db.schema
    .createTable('credentials')
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('tenant', text, (column) => column.notNull())
    .addColumn('secret_hash', text, (column) => column.notNull())
    .addColumn('send_as', text, (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .addPrimaryKeyConstraint('credentials_key', ['name'] as never[])
    .execute()
  await db.schema
    .createIndex('credentials_by_tenant_name')
    .on('credentials')
    .columns(['tenant', 'name'] as never[])
    .execute()
}
