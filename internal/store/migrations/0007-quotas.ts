// What tenants may have, and what they have. The database counts messages as their rows come and go, in the transaction that writes
// them: whatever wrote a row, and however often, it counts once.

import { sql, type Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

const QUOTAS = ['messages_per_day', 'bytes_per_day', 'stored_bytes']
/** Milliseconds. Days are numbered from 1970, UTC. */
const DAY = 86_400_000

const TABLES = {
  /** What came on a day. It stays when messages go. */
  usage_days: { columns: ['day', 'slot', 'messages', 'bytes'], key: ['tenant', 'day', 'slot'] },
  /** What is kept. */
  usage_stored: { columns: ['slot', 'messages', 'bytes'], key: ['tenant', 'slot'] },
} as const

/** Adds a row of counts to the ones that are there. */
const added = (table: string, key: string, values: string): string => `
  insert into ${table} (${key}, messages, bytes) values (${values})
  on conflict (${key}) do update
  set messages = ${table}.messages + excluded.messages, bytes = ${table}.bytes + excluded.bytes;`

const counted = (row: 'new' | 'old', slot: string): string =>
  row === 'new'
    ? added('usage_days', 'tenant, day, slot', `new.tenant, new.received_at / ${DAY}, ${slot}, 1, new.size_bytes`) +
      added('usage_stored', 'tenant, slot', `new.tenant, ${slot}, 1, new.size_bytes`)
    : added('usage_stored', 'tenant, slot', `old.tenant, ${slot}, -1, -old.size_bytes`)

/** One transaction writes at a time, so one slot is enough. */
const SQLITE: readonly string[] = [
  `create trigger count_new_message after insert on messages begin ${counted('new', '0')} end`,
  `create trigger count_old_message after delete on messages begin ${counted('old', '0')} end`,
]

/** Locks of slots: (this, slot). */
const SLOT_LOCKS = 1_970_108_257

/**
 * Each open transaction counts in a slot of its own, a lock that it takes without waiting: indexers never wait for each other's
 * counts, and there are as many slots as there were transactions at one time.
 */
const POSTGRES: readonly string[] = [
  `create function count_message() returns trigger language plpgsql as $$
  declare
    mine integer := 0;
  begin
    while not pg_try_advisory_xact_lock(${SLOT_LOCKS}, mine) loop
      mine := mine + 1;
    end loop;
    if tg_op = 'DELETE' then ${counted('old', 'mine')}
    else ${counted('new', 'mine')}
    end if;
    return null;
  end $$`,
  `do $$ begin execute format('alter function count_message() set search_path = %I, pg_temp', current_schema()); end $$`,
  // Waits for those who write messages, and makes the next ones wait, before the rows that are there are counted.
  'create trigger count_message after insert or delete on messages for each row execute function count_message()',
  // A few rows that change all the time: room beside them, and cleaned up early, they stay quick.
  ...Object.keys(TABLES).map(
    (name) =>
      `alter table ${name} set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)`,
  ),
]

export async function up(db: Kysely<never>, { name: engine, schema }: Dialect): Promise<void> {
  for (const column of QUOTAS) await db.schema.alterTable('tenants').addColumn(column, 'bigint').execute()
  // Looked for by every node, all the time.
  await sql
    .raw(
      `create index tenants_limited on tenants (slug) where messages_per_day is not null or bytes_per_day is not null or stored_bytes is not null`,
    )
    .execute(db)
  for (const [name, { columns, key }] of Object.entries(TABLES)) {
    let table = db.schema.createTable(name).addColumn('tenant', schema.text as 'text', (column) => column.notNull())
    for (const column of columns) table = table.addColumn(column, 'bigint', (each) => each.notNull())
    await table.addPrimaryKeyConstraint(`${name}_key`, key as unknown as never[]).execute()
  }
  for (const statement of engine === 'postgres' ? POSTGRES : SQLITE) await sql.raw(statement).execute(db)
  await sql`
    insert into usage_days (tenant, day, slot, messages, bytes)
    select tenant, received_at / ${sql.lit(DAY)}, 0, count(*), sum(size_bytes) from messages group by 1, 2`.execute(db)
  await sql`
    insert into usage_stored (tenant, slot, messages, bytes)
    select tenant, 0, count(*), sum(size_bytes) from messages group by 1`.execute(db)
}
