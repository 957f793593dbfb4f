// Many rows at a time in PostgreSQL. The rows of a table are one parameter, so their number changes nothing of the statement, which
// is prepared; and nobody waits for it, since the transaction fails with it.

import type { Insertable } from 'kysely'
import type { Tx } from './database.ts'
import type { NewRows, PlacedText, Row } from './dialect.ts'
import { AHEAD } from './postgres-statements.ts'
import { run } from './run.ts'
import type { Schema } from './schema.ts'
import { SEARCH_FIELDS, type SearchText } from './search-fields.ts'
import { tsvectorsOf, wordsOf } from './words.ts'

/** Text as the database can hold it: no NUL, and no half of a character. */
export const storable = <T>(value: T): T | string =>
  typeof value === 'string' ? value.replaceAll('\0', '\uFFFD').toWellFormed() : value

/** As Kysely's plugin names columns. */
const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** A NUL or half of a character in JSON, or a text that speaks of one. */
const MAY_NOT_BE_STORABLE = /\\u(0000|d[89a-f])/i

/** The rows as the database reads them: names of columns and what is in them. */
function jsonOf(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {}).map((name) => [name, snakeCase(name)] as const)
  const named = (keep: (value: Row[string] | undefined) => unknown) =>
    JSON.stringify(
      rows.map((row) => {
        const one: Record<string, unknown> = {}
        for (const [name, column] of columns) one[column] = keep(row[name])
        return one
      }),
    )
  const json = named((value) => value)
  return MAY_NOT_BE_STORABLE.test(json) ? named(storable) : json
}

/** Of the rows in the parameter of this number; the columns are those of the table, in any order. */
const insertOf = (table: string, columns: readonly string[], parameter = 1): string => {
  const all = columns.map((column) => `"${snakeCase(column)}"`).join(', ')
  const name = snakeCase(table)
  return `insert into ${name} (${all}) select ${all} from json_populate_recordset(null::${name}, $${parameter}::json) as told`
}

/** Texts of statements by table: making one out again costs as much as sending it. */
const texts = new Map<string, string>()

function textOf(table: string, [first]: readonly Row[], make: (columns: readonly string[]) => string): string {
  const columns = Object.keys(first ?? {})
  const key = `${table} ${columns.join()}`
  const known = texts.get(key)
  if (known !== undefined) return known
  const made = make(columns)
  texts.set(key, made)
  return made
}

export async function addPostgres(tx: Tx, table: keyof Schema, rows: readonly Row[]): Promise<void> {
  const text = textOf(table, rows, (columns) => insertOf(table, columns))
  await run(tx, text, [jsonOf(rows)])
}

export async function addEventsPostgres(tx: Tx, rows: readonly Row[]): Promise<void> {
  const text = textOf(
    'events of those who are there',
    rows,
    (columns) => `${insertOf('events', columns)}
      where not exists (select from erasures where erasures.tenant = told.tenant) on conflict do nothing`,
  )
  await run(tx, text, [jsonOf(rows)])
}

/** A text in parts, by field, see tsvectorsOf. */
const partsOf = (text: SearchText) =>
  SEARCH_FIELDS.flatMap((name, field) =>
    [...tsvectorsOf(wordsOf(text[name]))].map((words, part) => ({ field, part, words })),
  )

const PARTS = 'field smallint, part integer, words text'
const INTO_INDEX = 'insert into search_index (received_at, seq, field, part, words)'

const ADD_TEXTS = `${INTO_INDEX}
  select received_at, seq, field, part, words::tsvector
  from json_to_recordset($1::json) as parts (received_at bigint, seq bigint, ${PARTS})`

export async function addTextsPostgres(tx: Tx, placed: readonly PlacedText[]): Promise<void> {
  const parts = placed.flatMap(({ place: { receivedAt, seq }, text }) =>
    partsOf(text).map((part) => ({ received_at: receivedAt, seq, ...part })),
  )
  if (parts.length > 0) await run(tx, ADD_TEXTS, [JSON.stringify(parts)])
}

/** The columns that a new row must have: a table that gets one more does not compile until it is here. */
type Columns<T> = { [C in keyof Insertable<T> as undefined extends Insertable<T>[C] ? never : C]: true }

/** What is written of new messages beside their own rows. */
const BESIDE = {
  messageMailboxes: { mailbox: true, receivedAt: true, messageId: true },
  messageKeys: { tenant: true, source: true, headerMessageId: true, messageId: true, entryId: true },
  threadIds: { tenant: true, headerId: true, threadId: true },
  documents: {
    id: true,
    messageId: true,
    tenant: true,
    ordinal: true,
    filename: true,
    contentType: true,
    sizeBytes: true,
    sha256: true,
    key: true,
  },
  outbox: { id: true, type: true, aggregatetype: true, aggregateid: true, payload: true, createdAt: true },
} satisfies { [T in Exclude<keyof NewRows, 'messages' | 'texts'>]: Columns<Schema[T]> }
const TABLES_BESIDE = Object.keys(BESIDE) as (keyof typeof BESIDE)[]

/** One statement for all tables: each statement more is as dear as a row or two. */
const addNewText = (columns: readonly string[]): string => {
  const others = TABLES_BESIDE.map(
    (table, at) => `into_${snakeCase(table)} as (${insertOf(table, Object.keys(BESIDE[table]), at + 3)})`,
  )
  return `${AHEAD}with placed as (${insertOf('messages', columns)} returning id, seq, received_at), ${others.join(', ')}
    ${INTO_INDEX}
    select placed.received_at, placed.seq, parts.field, parts.part, parts.words::tsvector
    from json_to_recordset($2::json) as parts (id text, ${PARTS}) join placed on placed.id = parts.id`
}

export async function addNewPostgres(tx: Tx, rows: NewRows): Promise<void> {
  const text = textOf('messages and beside', rows.messages, addNewText)
  const parts = [...rows.texts].flatMap(([id, each]) => partsOf(each).map((part) => ({ id, ...part })))
  const beside = TABLES_BESIDE.map((table) => jsonOf(rows[table]))
  await run(tx, text, [jsonOf(rows.messages), JSON.stringify(parts), ...beside])
}
