// What delivery reports say, the automatic replies of mailboxes and to whom they went, and mail on its way out.

import type { Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

/** A trailing `?` allows null. */
const TABLES = {
  delivery_reports: {
    columns: {
      message_id: 'text',
      tenant: 'text',
      original_message_id: 'text?',
      original_envelope_id: 'text?',
      reporting_mta: 'text?',
      arrival_date: 'bigint?',
      recipients: 'text',
    },
    key: ['message_id'],
  },
  auto_replies: {
    columns: {
      address: 'text',
      subject: 'text?',
      body: 'text',
      from_at: 'bigint?',
      until_at: 'bigint?',
      every_ms: 'bigint',
      updated_at: 'bigint',
    },
    key: ['address'],
  },
  auto_replied: { columns: { address: 'text', sender: 'text', until_at: 'bigint' }, key: ['address', 'sender'] },
  outbound: {
    columns: {
      id: 'text',
      tenant: 'text',
      purpose: 'text',
      about_message_id: 'text?',
      header_message_id: 'text',
      mail: 'text',
      state: 'text',
      attempts: 'integer',
      next_at: 'bigint',
      last_result: 'text?',
      created_at: 'bigint',
      updated_at: 'bigint',
    },
    key: ['id'],
  },
} as const

const INDEXES: readonly [table: string, columns: readonly string[]][] = [
  ['delivery_reports', ['tenant', 'original_message_id']],
  ['auto_replied', ['until_at']],
  ['outbound', ['state', 'next_at']],
  ['outbound', ['created_at', 'id']],
  ['outbound', ['header_message_id']],
  ['outbound', ['about_message_id']],
]

export async function up(db: Kysely<never>, { schema }: Dialect): Promise<void> {
  for (const [name, { columns, key }] of Object.entries(TABLES)) {
    let table = db.schema.createTable(name)
    for (const [column, type] of Object.entries(columns)) {
      const bare = type.replace('?', '') as 'text' | 'bigint' | 'integer'
      const columnType = bare === 'text' ? (schema.text as 'text') : bare
      table = table.addColumn(column, columnType, (each) => (type.endsWith('?') ? each : each.notNull()))
    }
    await table.addPrimaryKeyConstraint(`${name}_key`, key as unknown as never[]).execute()
  }
  for (const [table, columns] of INDEXES) {
    await db.schema
      .createIndex(`${table}_by_${columns.join('_')}`)
      .on(table)
      .columns(columns as unknown as never[])
      .execute()
  }
}
