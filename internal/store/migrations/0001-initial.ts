// The first schema. Text ids, bigint milliseconds, JSON as text: the same on every engine.

import { sql, type Kysely } from 'kysely'
import type { Dialect, SchemaDialect } from '../dialect.ts'

/** A table with its columns; a trailing `?` allows null. */
type Columns = Record<string, 'text' | 'bigint' | 'integer' | 'text?' | 'bigint?'>

const TABLES: Record<string, { columns: Columns; key: readonly string[] }> = {
  tenants: {
    columns: {
      slug: 'text',
      name: 'text',
      size_max: 'bigint?',
      enabled: 'integer',
      created_at: 'bigint',
      updated_at: 'bigint',
    },
    key: ['slug'],
  },
  domains: {
    columns: { domain: 'text', tenant: 'text?', state: 'text', created_at: 'bigint', updated_at: 'bigint' },
    key: ['domain'],
  },
  mailboxes: {
    columns: {
      address: 'text',
      domain: 'text',
      tenant: 'text',
      enabled: 'integer',
      created_at: 'bigint',
      updated_at: 'bigint',
    },
    key: ['address'],
  },
  directory_state: { columns: { id: 'integer', version: 'bigint' }, key: ['id'] },
  message_mailboxes: {
    columns: { mailbox: 'text', received_at: 'bigint', message_id: 'text' },
    key: ['mailbox', 'received_at', 'message_id'],
  },
  message_keys: {
    columns: { tenant: 'text', source: 'text', header_message_id: 'text', message_id: 'text', entry_id: 'text' },
    key: ['tenant', 'source', 'header_message_id'],
  },
  documents: {
    columns: {
      id: 'text',
      message_id: 'text',
      tenant: 'text',
      ordinal: 'integer',
      filename: 'text',
      content_type: 'text',
      size_bytes: 'bigint',
      sha256: 'text',
      key: 'text',
    },
    key: ['id'],
  },
  thread_ids: { columns: { tenant: 'text', header_id: 'text', thread_id: 'text' }, key: ['tenant', 'header_id'] },
  checkpoints: {
    columns: {
      consumer_group: 'text',
      topic: 'text',
      partition: 'integer',
      next_offset: 'bigint',
      event_time: 'bigint?',
      updated_at: 'bigint',
    },
    key: ['consumer_group', 'topic', 'partition'],
  },
  events: {
    columns: {
      topic: 'text',
      partition: 'integer',
      log_offset: 'bigint',
      id: 'text',
      type: 'text',
      subject: 'text',
      tenant: 'text',
      entry_id: 'text?',
      time: 'bigint',
      appended_at: 'bigint',
      trace_id: 'text',
      traceparent: 'text',
      source: 'text',
      replay_id: 'text?',
      data: 'text',
    },
    key: ['topic', 'partition', 'log_offset'],
  },
  jobs: {
    columns: {
      id: 'text',
      kind: 'text',
      state: 'text',
      spec: 'text',
      total: 'bigint?',
      done: 'bigint',
      failed: 'bigint',
      cursor: 'text?',
      created_at: 'bigint',
      updated_at: 'bigint',
    },
    key: ['id'],
  },
}

/** Tables with a number that the database gives. */
const NUMBERED: Record<string, Columns> = {
  messages: {
    id: 'text',
    entry_id: 'text',
    tenant: 'text',
    mailbox: 'text',
    recipients: 'text',
    source: 'text',
    status: 'text',
    reason: 'text?',
    detail: 'text?',
    header_message_id: 'text?',
    synthetic_base: 'text?',
    duplicate_of: 'text?',
    forced: 'integer',
    thread_id: 'text?',
    subject: 'text?',
    from_addresses: 'text',
    to_addresses: 'text',
    cc_addresses: 'text',
    date: 'bigint?',
    received_at: 'bigint',
    indexed_at: 'bigint?',
    size_bytes: 'bigint',
    sha256: 'text',
    trace_id: 'text',
    raw_key: 'text',
    meta_key: 'text',
    mail_from: 'text',
    client_address: 'text',
    snippet: 'text',
    flags: 'text',
    parser: 'text?',
    attachment_count: 'integer',
    content_hash: 'text?',
  },
  outbox: {
    id: 'text',
    aggregatetype: 'text',
    aggregateid: 'text',
    type: 'text',
    payload: 'text',
    created_at: 'bigint',
  },
}

// Every list and every lookup has an index that gives its order as well: costs stay flat as rows grow.
const INDEXES: readonly [table: string, columns: readonly string[], unique?: 'unique'][] = [
  ['domains', ['tenant', 'domain']],
  ['mailboxes', ['tenant', 'address']],
  ['mailboxes', ['domain', 'address']],
  ['messages', ['id'], 'unique'],
  ['messages', ['entry_id']],
  ['messages', ['trace_id']],
  ['messages', ['received_at', 'id']],
  ['messages', ['tenant', 'received_at', 'id']],
  ['messages', ['tenant', 'status', 'received_at', 'id']],
  ['messages', ['status', 'received_at', 'id']],
  ['messages', ['header_message_id']],
  ['message_keys', ['message_id'], 'unique'],
  ['documents', ['message_id', 'ordinal']],
  ['documents', ['tenant', 'sha256']],
  ['thread_ids', ['tenant', 'thread_id']],
  ['events', ['time', 'topic', 'partition', 'log_offset']],
  ['events', ['type', 'time', 'topic', 'partition', 'log_offset']],
  ['events', ['tenant', 'time', 'topic', 'partition', 'log_offset']],
  ['events', ['subject']],
  ['events', ['entry_id']],
  ['events', ['trace_id']],
  ['events', ['id']],
  ['jobs', ['created_at']],
]

/** Columns that few rows have: the index holds those rows only. */
const SPARSE_INDEXES: readonly [table: string, columns: readonly string[], given: string][] = [
  ['messages', ['tenant', 'thread_id', 'received_at', 'id'], 'thread_id'],
  ['messages', ['duplicate_of', 'entry_id'], 'duplicate_of'],
  ['messages', ['tenant', 'synthetic_base', 'entry_id'], 'synthetic_base'],
  ['messages', ['reason', 'received_at', 'id'], 'reason'],
]

export async function up(db: Kysely<never>, { schema }: Dialect): Promise<void> {
  for (const [name, { columns, key }] of Object.entries(TABLES)) {
    const table = withColumns(db.schema.createTable(name), columns, schema)
    await table.addPrimaryKeyConstraint(`${name}_key`, key as never[]).execute()
  }
  for (const [name, columns] of Object.entries(NUMBERED)) {
    const numbered = db.schema
      .createTable(name)
      .addColumn('seq', schema.numberType, (column) => schema.number(column, name))
    const table = withColumns(numbered, columns, schema)
    const by = schema.partitionedBy(name)
    await (by === undefined ? table : table.modifyEnd(sql`partition by range (${sql.ref(by)})`)).execute()
  }
  for (const [table, columns, unique] of INDEXES) {
    const by = unique === undefined ? undefined : schema.partitionedBy(table)
    const index = db.schema
      .createIndex(`${table}_by_${columns.join('_')}`)
      .on(table)
      .columns(by === undefined ? [...columns] : [...columns, by])
    await (unique === undefined ? index : index.unique()).execute()
  }
  for (const [table, columns, given] of SPARSE_INDEXES) {
    const index = db.schema
      .createIndex(`${table}_by_${columns.join('_')}`)
      .on(table)
      .columns([...columns])
    await index.where(sql.ref(given), 'is not', null).execute()
  }
  for (const statement of schema.last) await sql.raw(statement).execute(db)
  await sql`insert into directory_state (id, version) values (1, 0)`.execute(db)
}

type TableBuilder = ReturnType<Kysely<never>['schema']['createTable']>

function withColumns(table: TableBuilder, columns: Columns, schema: SchemaDialect): TableBuilder {
  for (const [name, type] of Object.entries(columns)) {
    const optional = type.endsWith('?')
    const bare = type.replace('?', '') as 'text' | 'bigint' | 'integer'
    const columnType = bare === 'text' ? schema.text : bare
    table = table.addColumn(name, columnType as 'text', (column) => (optional ? column : column.notNull()))
  }
  return table
}
