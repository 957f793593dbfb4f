// What SQLite and PostgreSQL do differently, in one place: the search index, partitions, locks and the names of errors. Everything
// else is portable.

import { createHash } from 'node:crypto'
import { sql, type ColumnDefinitionBuilder, type Expression, type RawBuilder, type SqlBool } from 'kysely'
import type { Queries, Tx } from './database.ts'
import type { StoreReason } from './errors.ts'
import { addEventsPostgres, addNewPostgres, addPostgres, addTextsPostgres } from './postgres-rows.ts'
import { AHEAD } from './postgres-statements.ts'
import { run } from './run.ts'
import type { Schema } from './schema.ts'
import { SEARCH_FIELDS, type SearchField, type SearchText } from './search-fields.ts'
import { tsqueryOf, wordsOf } from './words.ts'

/** Words that must stand in a row, next to each other and in this order; `prefix` lets the last one be a beginning. */
export interface WordMatch {
  field?: SearchField
  words: readonly string[]
  prefix: boolean
}

/** A row as it is written, columns as the schema has them. */
export type Row = Readonly<Record<string, string | number | null>>

/** Where a message lies: its number, and the time that chooses its partition. */
export interface MessagePlace {
  seq: number
  receivedAt: number
}

/** What is searched of a message, and where that lies. */
export interface PlacedText {
  place: MessagePlace
  text: SearchText
}

/** What is written of new messages, by table. */
export interface NewRows {
  messages: readonly Row[]
  messageMailboxes: readonly Row[]
  messageKeys: readonly Row[]
  threadIds: readonly Row[]
  documents: readonly Row[]
  outbox: readonly Row[]
  /** By the id of their message. */
  texts: ReadonlyMap<string, SearchText>
}

export interface Dialect {
  name: 'sqlite' | 'postgres'
  schema: SchemaDialect
  /** Columns that are unique among messages. A message's time never changes, so its id alone tells it apart. */
  messageKey: ('id' | 'receivedAt')[]
  /** The table where a message's id alone is an index. */
  placeTable: 'messages' | 'messagePlaces'
  /** True of `messages` rows whose search row matches. */
  matches(match: WordMatch): Expression<SqlBool>
  /** Adds the search rows of messages that have none. */
  addTexts(tx: Tx, texts: readonly PlacedText[]): Promise<void>
  /** Adds messages that nothing is known of, one at least. Where they cannot be added, the transaction fails, at its end at the latest. */
  addNew(tx: Tx, rows: NewRows): Promise<void>
  /** Removes the search row of a message, if it has one. */
  dropText(tx: Tx, place: MessagePlace): Promise<void>
  /**
   * Waits until no other open transaction holds one of these names; they are held until this one ends. `ahead`: the next statement
   * that is waited for waits for this one as well.
   */
  serialise(tx: Tx, names: readonly string[], ahead?: 'ahead'): Promise<void>
  /** Makes sure that rows of this time can be written: `receivedAt` of messages, `appendedAt` of events. */
  makeRoom(table: 'messages' | 'events', at: number): Promise<void>
  /** A text for `run` as this engine reads it. */
  textOf(text: string): string
  /** `in (…)` the values of a list that is one parameter of `run`, see `listOf`: of type `text` or `bigint`. */
  inList(parameter: string, type: 'text' | 'bigint'): string
  /** A list as one parameter. */
  listOf(values: readonly string[] | readonly number[]): unknown
  /** Adds rows, which have the same columns; there is one at least. */
  add(tx: Tx, table: keyof Schema, rows: readonly Row[]): Promise<void>
  /** Adds events that are not there, but those of tenants that were erased. */
  addEvents(tx: Tx, rows: readonly Row[]): Promise<void>
  /** The time of a message, which says in which partition it is; undefined where there is no such message. */
  receivedAtOf(on: Queries, messageId: string): Promise<number | undefined>
  /** See `dropEvents` of events.ts. */
  dropEvents(on: Queries, until: number): Promise<number>
  /** Bytes of the whole database. */
  sizeBytes(on: Queries): Promise<number>
  /** What an error of the driver means, or undefined where it is a bug. */
  reasonOf(error: unknown): StoreReason | undefined
}

/** Name of its `placeTable` in a text for `run`. */
export const placeTableOf = ({ placeTable }: Dialect): string =>
  placeTable === 'messages' ? placeTable : 'message_places'

/** How the migrations write tables. */
export interface SchemaDialect {
  /** The type of text: compared byte by byte, whatever the language of the database. */
  text: 'text' | RawBuilder<unknown>
  /** A column that the database numbers, never giving a number twice. */
  numberType: 'integer' | 'bigserial'
  number(column: ColumnDefinitionBuilder, table: string): ColumnDefinitionBuilder
  /** The column that chooses the partition of a row. Every unique index of such a table must hold it. */
  partitionedBy(table: string): string | undefined
  /** Statements that make the search index and what else only this engine needs. */
  last: readonly string[]
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')

/** A quoted FTS5 string: nothing inside it is syntax (fts5.html 3.1). */
const quoted = (words: readonly string[]): string => `"${words.join(' ').replaceAll('"', '""')}"`

function matchSqlite({ field, words, prefix }: WordMatch): RawBuilder<SqlBool> {
  const phrase = `${field === undefined ? '' : `${field} : `}${quoted(words)}${prefix ? ' *' : ''}`
  return sql<SqlBool>`messages.seq in (select rowid from search_index where search_index match ${phrase})`
}

const SQLITE_REASONS: readonly [RegExp, StoreReason][] = [
  [/^SQLITE_(BUSY|LOCKED|FULL|IOERR|CANTOPEN|READONLY|PROTOCOL|NOMEM|INTERRUPT)/, 'unavailable'],
  [/^SQLITE_CONSTRAINT_(PRIMARYKEY|UNIQUE|ROWID)$/, 'conflict'],
  [/^SQLITE_CONSTRAINT_FOREIGNKEY$/, 'conflict'],
  [/^SQLITE_CONSTRAINT_(CHECK|NOTNULL|DATATYPE)$/, 'invalid'],
]

/** Rows of one statement: SQLite takes 32,766 values. */
const ROWS_MAX = 500

function* inParts(rows: readonly Row[]): Generator<readonly Row[]> {
  for (let from = 0; from < rows.length; from += ROWS_MAX) yield rows.slice(from, from + ROWS_MAX)
}

const columnsOf = ([first]: readonly Row[]): RawBuilder<unknown> =>
  sql.join(Object.keys(first ?? {}).map((column) => sql.ref(column)))

const tuplesOf = (rows: readonly Row[]): RawBuilder<unknown> =>
  sql.join(rows.map((row) => sql`(${sql.join(Object.values(row))})`))

const insertOfSqlite = (table: keyof Schema, rows: readonly Row[]): RawBuilder<unknown> =>
  sql`insert into ${sql.table(table)} (${columnsOf(rows)}) values ${tuplesOf(rows)}`

/** Events deleted at one time: nobody else writes meanwhile. */
const EVENTS_DROPPED_MAX = 1000

export const SQLITE: Dialect = {
  name: 'sqlite',
  schema: {
    text: 'text',
    numberType: 'integer',
    number: (column) => column.primaryKey().autoIncrement(),
    partitionedBy: () => undefined,
    // The words are cut before they come here; `ascii` takes every other character as a letter.
    last: [
      `create virtual table search_index using fts5(${SEARCH_FIELDS.join(', ')}, content='', contentless_delete=1, tokenize='ascii')`,
    ],
  },
  messageKey: ['id'],
  placeTable: 'messages',
  matches: matchSqlite,
  async addTexts(tx, texts) {
    for (const { place, text } of texts) {
      const words = Object.fromEntries(Object.entries(text).map(([field, value]) => [field, wordsOf(value).join(' ')]))
      await tx.kysely
        .insertInto('searchIndex')
        .values({ rowid: place.seq, ...(words as SearchText) })
        .execute()
    }
  },
  async dropText(tx, { seq }) {
    await tx.kysely.deleteFrom('searchIndex').where('rowid', '=', seq).execute()
  },
  // One transaction writes at a time.
  serialise: async () => {},
  makeRoom: async () => {},
  textOf: (text) => text.replaceAll(/\$\d+/g, '?'),
  inList: (parameter) => `in (select value from json_each(${parameter}))`,
  listOf: (values) => JSON.stringify(values),
  async add(tx, table, rows) {
    for (const some of inParts(rows)) await insertOfSqlite(table, some).execute(tx.kysely)
  },
  async addNew(tx, { messages, texts, ...others }) {
    const places = new Map<string, MessagePlace>()
    for (const some of inParts(messages)) {
      const insert = sql<MessagePlace & { id: string }>`
        ${insertOfSqlite('messages', some)} returning id, seq, received_at`
      for (const { id, ...place } of (await insert.execute(tx.kysely)).rows) places.set(id, place)
    }
    for (const [table, rows] of Object.entries(others)) await SQLITE.add(tx, table as keyof typeof others, rows)
    const placed = [...texts].flatMap(([id, text]) => {
      const place = places.get(id)
      return place === undefined ? [] : [{ place, text }]
    })
    await SQLITE.addTexts(tx, placed)
  },
  async addEvents(tx, rows) {
    for (const some of inParts(rows)) {
      const tenant = sql.ref(`column${Object.keys(some[0] ?? {}).indexOf('tenant') + 1}`)
      await sql`
        insert into events (${columnsOf(some)}) select * from (values ${tuplesOf(some)})
        where ${tenant} not in (select tenant from erasures) on conflict do nothing`.execute(tx.kysely)
    }
  },
  async receivedAtOf(on, messageId) {
    const row = await on.kysely
      .selectFrom('messages')
      .select('receivedAt')
      .where('id', '=', messageId)
      .executeTakeFirst()
    return row?.receivedAt
  },
  async dropEvents(on, until) {
    const { numAffectedRows } = await sql`
      delete from events where rowid in (select rowid from events where appended_at < ${until} limit ${EVENTS_DROPPED_MAX})
      `.execute(on.kysely)
    return Number(numAffectedRows)
  },
  async sizeBytes(on) {
    const pages = sql<{ bytes: number }>`
      select page_count * page_size as bytes from pragma_page_count(), pragma_page_size()`
    return (await pages.execute(on.kysely)).rows[0]?.bytes ?? 0
  },
  reasonOf: (error) => SQLITE_REASONS.find(([pattern]) => pattern.test(codeOf(error)))?.[1],
}

/** Tables that step 0001 makes with a partition for each month. */
const PARTITIONED = ['messages', 'search_index']

/** Makes the partitions of a month (UTC) where they are not there. Who may insert may call it, who owns the tables runs it. */
const MAKE_MONTH = `
create function make_month(received_at bigint) returns void language plpgsql security definer as $$
declare
  first constant timestamp := date_trunc('month', to_timestamp(received_at / 1000.0) at time zone 'UTC');
  low constant bigint := extract(epoch from first) * 1000;
  high constant bigint := extract(epoch from first + interval '1 month') * 1000;
  parent text;
  part text;
begin
  -- Two that make the same month at once: the second finds it made.
  perform pg_advisory_xact_lock(hashtextextended('make_month', 0));
  foreach parent in array array['${PARTITIONED.join("', '")}'] loop
    part := parent || to_char(first, '_YYYY_MM');
    if exists (select from pg_inherits where inhparent = to_regclass(parent) and inhrelid = to_regclass(part)) then
      continue;
    end if;
    -- Attaching lets inserts into other months go on, which "create table ... partition of" does not.
    execute format('create table %I (like %I including all)', part, parent);
    execute format('alter table %I attach partition %I for values from (%s) to (%s)', parent, part, low, high);
  end loop;
end $$`

const POSTGRES_SCHEMA: SchemaDialect = {
  text: sql`text collate "C"`,
  numberType: 'bigserial',
  number: (column, table) => (PARTITIONED.includes(table) ? column.notNull() : column.primaryKey()),
  partitionedBy: (table) => (PARTITIONED.includes(table) ? 'received_at' : undefined),
  last: [
    // A field of a message in parts, see tsvectorsOf.
    `create table search_index (
      received_at bigint not null, seq bigint not null, field smallint not null, part integer not null, words tsvector not null,
      primary key (received_at, seq, field, part)) partition by range (received_at)`,
    'create index search_index_by_words on search_index using gin (words)',
    MAKE_MONTH,
    // What runs with the owner's rights must not look names up where others may create them.
    `do $$ begin execute format('alter function make_month(bigint) set search_path = %I, pg_temp', current_schema()); end $$`,
    'revoke execute on function make_month(bigint) from public',
    // Rows come and go by the second: cleaned up early, the head of the queue stays quick to find.
    'alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)',
  ],
}

function matchPostgres({ field, words, prefix }: WordMatch): RawBuilder<SqlBool> {
  const inField = field === undefined ? sql`` : sql` and field = ${SEARCH_FIELDS.indexOf(field)}`
  return sql<SqlBool>`(messages.received_at, messages.seq) in (
    select received_at, seq from search_index where words @@ ${tsqueryOf(words, prefix)}::tsquery${inField})`
}

/** A name as an advisory lock. Names that meet by chance wait for each other, which is all. */
export const lockOf = (name: string): bigint => createHash('sha256').update(name).digest().readBigInt64BE()

const LOCK = 'select pg_advisory_xact_lock(lock) from unnest($1::bigint[]) as lock'
const LOCK_AHEAD = AHEAD + LOCK

async function serialisePostgres(tx: Tx, names: readonly string[], ahead?: 'ahead'): Promise<void> {
  // In one order everywhere, so that two transactions do not wait for each other.
  const locks = [...new Set(names.map(lockOf))].sort((a, b) => (a < b ? -1 : 1)).map(String)
  await run(tx, ahead === undefined ? LOCK : LOCK_AHEAD, [locks])
}

async function receivedAtOfPostgres(on: Queries, messageId: string): Promise<number | undefined> {
  const row = await on.kysely
    .selectFrom('messagePlaces')
    .select('receivedAt')
    .where('id', '=', messageId)
    .executeTakeFirst()
  return row?.receivedAt
}

/** SQLSTATEs (PostgreSQL appendix A), errors of sockets and of the driver, which has no codes. The first that fits counts. */
const POSTGRES_REASONS: readonly [RegExp, StoreReason][] = [
  // Connections, resources, locks, time limits, shutdown, standby: all may pass.
  [/^(08|53|57P|58)|^(40001|40P01|55P03|57014|25006|25P03|25P04)$/, 'unavailable'],
  // Passwords, rights and tables are changed by operators, and mail waits for it; an index that is damaged is built anew.
  [/^28|^(42501|42P01|42883|3F000|0A000|XX000)$/, 'unavailable'],
  [/^(23505|23503|23P01)$/, 'conflict'],
  [/^(22|23|54)/, 'invalid'],
  [/^E[A-Z_]+$/, 'unavailable'],
  [
    /^Connection terminated|^Connection ended|[Tt]imeout|^Client (has encountered|was closed)|^Cannot use a pool/,
    'unavailable',
  ],
]

export const isMissingPartition = (error: unknown): boolean =>
  codeOf(error) === '23514' && /no partition of relation/.test((error as Error).message)

/** What an error of pg means, or undefined where it is a bug. */
export function reasonOfPostgres(error: unknown): StoreReason | undefined {
  if (isMissingPartition(error)) return 'unavailable'
  const code = codeOf(error)
  const text = code !== '' ? code : error instanceof Error ? error.message : ''
  return POSTGRES_REASONS.find(([pattern]) => pattern.test(text))?.[1]
}

/** `makeRoom` belongs to the connections of one store. */
export const postgresDialect = (makeRoom: Dialect['makeRoom']): Dialect => ({
  name: 'postgres',
  schema: POSTGRES_SCHEMA,
  messageKey: ['id', 'receivedAt'],
  placeTable: 'messagePlaces',
  matches: matchPostgres,
  addTexts: addTextsPostgres,
  addNew: addNewPostgres,
  async dropText(tx, { seq, receivedAt }) {
    await sql`delete from search_index where received_at = ${receivedAt} and seq = ${seq}`.execute(tx.kysely)
  },
  serialise: serialisePostgres,
  makeRoom,
  textOf: (text) => text,
  inList: (parameter, type) => `= any(${parameter}::${type}[])`,
  listOf: (values) => values,
  add: addPostgres,
  addEvents: addEventsPostgres,
  receivedAtOf: receivedAtOfPostgres,
  async dropEvents(on, until) {
    const { rows } = await sql<{ months: number }>`select drop_events(${until}) as months`.execute(on.kysely)
    return rows[0]?.months ?? 0
  },
  async sizeBytes(on) {
    const size = sql<{ bytes: number }>`select pg_database_size(current_database()) as bytes`
    return (await size.execute(on.kysely)).rows[0]?.bytes ?? 0
  },
  reasonOf: reasonOfPostgres,
})
