// What SQLite and PostgreSQL do differently, in one place: the search index and the names of errors. Everything else is portable.

import { sql, type ColumnDefinitionBuilder, type Expression, type RawBuilder, type SqlBool } from 'kysely'
import type { StoreReason } from './errors.ts'

/** Columns of the search index. */
export const SEARCH_FIELDS = ['subject', 'sender', 'recipients', 'filenames', 'body'] as const
export type SearchField = (typeof SEARCH_FIELDS)[number]

/** Words that must stand in a row, next to each other and in this order; `prefix` lets the last one be a beginning. */
export interface WordMatch {
  field?: SearchField
  words: readonly string[]
  prefix: boolean
}

export interface Dialect {
  name: 'sqlite'
  /** A column that the database numbers, never giving a number twice. */
  numberType: 'integer' | 'bigserial'
  number: (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder
  /** Statements that make the search index. */
  createSearch: readonly string[]
  /** True of `messages` rows whose search row matches. */
  matches(match: WordMatch): Expression<SqlBool>
  /** What an error of the driver means, or undefined where it is a bug. */
  reasonOf(error: unknown): StoreReason | undefined
}

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

function reasonOfSqlite(error: unknown): StoreReason | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return SQLITE_REASONS.find(([pattern]) => pattern.test(code))?.[1]
}

export const SQLITE: Dialect = {
  name: 'sqlite',
  numberType: 'integer',
  number: (column) => column.primaryKey().autoIncrement(),
  createSearch: [
    `create virtual table search_index using fts5(${SEARCH_FIELDS.join(', ')}, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2')`,
  ],
  matches: matchSqlite,
  reasonOf: reasonOfSqlite,
}
