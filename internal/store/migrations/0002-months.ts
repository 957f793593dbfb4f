// PostgreSQL: the events by month, so that old months can be dropped, and the key table that says where a message lies.
// SQLite: an index for deleting old events. Both: events of the outbox that the log refuses.

import { sql, type Kysely } from 'kysely'
import type { Dialect } from '../dialect.ts'

/** Only deleting needs it: PostgreSQL drops months instead. */
const SQLITE: readonly string[] = ['create index events_by_appended_at on events (appended_at)']

/** Makes the partitions of a month (UTC) where they are not there. Who may insert may call it, who owns the tables runs it. */
const MAKE_MONTH = `
create function make_month(at bigint, parents text[] default array['messages', 'search_index'])
returns void language plpgsql security definer as $$
declare
  first constant timestamp := date_trunc('month', to_timestamp(at / 1000.0) at time zone 'UTC');
  low constant bigint := extract(epoch from first) * 1000;
  high constant bigint := extract(epoch from first + interval '1 month') * 1000;
  parent text;
  part text;
begin
  -- Two that make the same month at once: the second finds it made.
  perform pg_advisory_xact_lock(hashtextextended('make_month', 0));
  foreach parent in array parents loop
    part := parent || to_char(first, '_YYYY_MM');
    if exists (select from pg_inherits where inhparent = to_regclass(parent) and inhrelid = to_regclass(part)) then
      continue;
    end if;
    -- Attaching lets inserts into other months go on, which "create table ... partition of" does not.
    execute format('create table %I (like %I including all)', part, parent);
    begin
      execute format('alter table %I attach partition %I for values from (%s) to (%s)', parent, part, low, high);
    exception when invalid_object_definition then
      -- The events from before there were months hold this one as well.
      execute format('drop table %I', part);
    end;
  end loop;
end $$`

/** Drops the months of events that ended by then, and says how many. Does not wait long for readers, who would wait behind it. */
const DROP_EVENTS = `
create function drop_events(until bigint) returns integer language plpgsql security definer as $$
declare
  part regclass;
  dropped integer := 0;
begin
  for part in
    select inhrelid::regclass from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = to_regclass('events')
      and substring(pg_get_expr(relpartbound, inhrelid) from $re$TO \\('(-?\\d+)'\\)$re$)::bigint <= until
  loop
    execute format('drop table %s', part);
    dropped := dropped + 1;
  end loop;
  return dropped;
end $$`

/** The events so far become the first partition, up to the end of the present month: nothing is copied. */
const EVENTS_BY_MONTH = `
do $$
declare
  -- Records may be appended by a clock that is ahead.
  last constant bigint := greatest((select max(appended_at) from events), extract(epoch from now()) * 1000);
  first_after constant timestamp := date_trunc('month', to_timestamp(last / 1000.0) at time zone 'UTC') + interval '1 month';
  filled constant boolean := exists (select from events);
begin
  alter table events rename to events_before_months;
  alter table events_before_months drop constraint events_key;
  alter table events_before_months
    add constraint events_before_months_key primary key (topic, partition, log_offset, appended_at);
  create table events (like events_before_months including all) partition by range (appended_at);
  if filled then
    execute format('alter table events attach partition events_before_months for values from (minvalue) to (%s)',
      (extract(epoch from first_after) * 1000)::bigint);
  else
    drop table events_before_months;
  end if;
end $$`

const POSTGRES: readonly string[] = [
  // Unpartitioned: finds a message by its id at the same cost however many months there are, and holds ids unique over all of them.
  'create table message_places (id text collate "C" not null primary key, received_at bigint not null)',
  `create function keep_message_place() returns trigger language plpgsql as $$
  declare
    known bigint;
  begin
    if tg_op = 'DELETE' then
      delete from message_places where id = old.id;
      return null;
    end if;
    insert into message_places (id, received_at) values (new.id, new.received_at) on conflict (id) do nothing;
    if found then
      return null;
    end if;
    -- The place is left of a message whose month was dropped, or that message is there.
    select received_at into known from message_places where id = new.id for update;
    if known <> new.received_at and exists (select from messages where id = new.id and received_at = known) then
      raise unique_violation using message = format('message %s is there with another time', new.id);
    end if;
    update message_places set received_at = new.received_at where id = new.id;
    return null;
  end $$`,
  // Waits for those who write messages, and makes the next ones wait, before the rows that are there are copied.
  `create trigger keep_message_place after insert or delete on messages
    for each row execute function keep_message_place()`,
  'insert into message_places (id, received_at) select id, received_at from messages',
  'drop function make_month(bigint)',
  MAKE_MONTH,
  EVENTS_BY_MONTH,
  DROP_EVENTS,
  `alter function drop_events(bigint) set lock_timeout = '2s'`,
  // What runs with the owner's rights must not look names up where others may create them.
  ...['make_month(bigint, text[])', 'drop_events(bigint)', 'keep_message_place()'].map(
    (name) =>
      `do $$ begin execute format('alter function ${name} set search_path = %I, pg_temp', current_schema()); end $$`,
  ),
  'revoke execute on function make_month(bigint, text[]), drop_events(bigint) from public',
]

export async function up(db: Kysely<never>, { name, schema }: Dialect): Promise<void> {
  await db.schema
    .alterTable('outbox')
    .addColumn('refused', schema.text as 'text')
    .execute()
  for (const statement of name === 'postgres' ? POSTGRES : SQLITE) await sql.raw(statement).execute(db)
}
