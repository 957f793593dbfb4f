// What tenants make of senders: their policies by rule, and the senders that they allow or block by name.

import type { Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

const TABLES = {
  sender_policies: { columns: ['tenant', 'rule', 'action'], key: ['tenant', 'rule'] },
  senders: { columns: ['tenant', 'sender', 'listing'], key: ['tenant', 'sender'] },
} as const

export async function up(db: Kysely<never>, { schema }: Dialect): Promise<void> {
  for (const [name, { columns, key }] of Object.entries(TABLES)) {
    let table = db.schema.createTable(name)
    for (const column of columns) table = table.addColumn(column, schema.text as 'text', (each) => each.notNull())
    await table
      .addColumn('updated_at', 'bigint', (each) => each.notNull())
      .addPrimaryKeyConstraint(`${name}_key`, key as unknown as never[])
      .execute()
  }
}
