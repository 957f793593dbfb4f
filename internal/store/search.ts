// The search tree as a condition in SQL, and the words of a message as they are indexed. What people type reaches the index only
// as quoted words, never as its syntax.

import { sql, type Expression, type ExpressionBuilder, type SqlBool } from 'kysely'
import type { Queries, Tx } from './database.ts'
import type { SearchField } from './dialect.ts'
import { cameTo, matching, pageMessages, type MessageFilter } from './messages.ts'
import { ageMs, type Query, type Term, type TextPlace } from './query.ts'
import type { Message, Page, PageWant } from './rows.ts'
import type { Schema } from './schema.ts'

/** The text of one message by field. */
export type SearchText = Record<SearchField, string>

/** Characters of one field that are indexed. */
const FIELD_CHARS_MAX = 1024 * 1024

const FIELD_OF: Record<Exclude<TextPlace, 'any'>, SearchField> = {
  from: 'sender',
  to: 'recipients',
  subject: 'subject',
  filename: 'filenames',
  body: 'body',
}

// Scripts that write words without spaces: each character is indexed as a word, and a search for several is a phrase.
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/gu

/** Text as the index sees it, both when it is stored and when it is asked for. */
const asIndexed = (text: string): string => text.replaceAll('\0', ' ').replaceAll(UNSPACED, ' $& ')

/** Replaces the search row of a message; `seq` is its number in `messages`. */
export async function indexText(tx: Tx, seq: number, text: SearchText): Promise<void> {
  const fields = Object.entries(text).map(([field, value]) => [field, asIndexed(value.slice(0, FIELD_CHARS_MAX))])
  await tx.kysely.deleteFrom('searchIndex').where('rowid', '=', seq).execute()
  await tx.kysely
    .insertInto('searchIndex')
    .values({ rowid: seq, ...(Object.fromEntries(fields) as SearchText) })
    .execute()
}

export interface SearchWant extends PageWant {
  /** Beside the query: what must hold all the same. */
  filter?: MessageFilter
  /** Milliseconds since 1970; what `newer:` counts from. */
  now: number
}

/** Messages that the query is true of, newest first. */
export async function searchMessages(on: Queries, query: Query, want: SearchWant): Promise<Page<Message>> {
  const { filter = {}, now, ...page } = want
  return pageMessages(
    on,
    (where) =>
      where.and([
        matching(filter)(where),
        ...query.all.map((group) => where.or(group.map((term) => holds(on, where, term, now)))),
      ]),
    page,
  )
}

type Messages = ExpressionBuilder<Schema, 'messages'>

function holds(on: Queries, where: Messages, term: Term, now: number): Expression<SqlBool> {
  const condition = meaning(on, where, term, now)
  return term.not ? where.not(condition) : condition
}

function meaning(on: Queries, where: Messages, term: Term, now: number): Expression<SqlBool> {
  switch (term.kind) {
    case 'text':
      return textHolds(on, term)
    case 'before':
      return where('messages.receivedAt', '<', term.time)
    case 'after':
      return where('messages.receivedAt', '>=', term.time)
    case 'newer':
      return where('messages.receivedAt', '>=', now - ageMs(term.count, term.unit))
    case 'larger':
      return where('messages.sizeBytes', '>', term.bytes)
    case 'smaller':
      return where('messages.sizeBytes', '<', term.bytes)
    case 'has':
      return where('messages.attachmentCount', '>', 0)
    case 'status':
      return where('messages.status', '=', term.status)
    case 'mailbox':
      return cameTo(where, term.value)
    case 'id':
      return idIs(where, term.value)
  }
}

function idIs(where: Messages, id: string): Expression<SqlBool> {
  const bare = id.replaceAll(/^<|>$/g, '')
  return where.or([
    where('messages.id', '=', id),
    where('messages.entryId', '=', id),
    where('messages.traceId', '=', id),
    where.and([where('messages.headerMessageId', 'is not', null), where('messages.headerMessageId', '=', `<${bare}>`)]),
  ])
}

/** Text without a letter or digit is in no message: the index has words only. */
function textHolds(on: Queries, term: Extract<Term, { kind: 'text' }>): Expression<SqlBool> {
  const words = asIndexed(term.text)
    .split(/\s+/)
    .filter((word) => /[\p{L}\p{N}]/u.test(word))
  if (words.length === 0) return sql<SqlBool>`1 = 0`
  const { place, prefix } = term
  return on.dialect.matches(place === 'any' ? { words, prefix } : { field: FIELD_OF[place], words, prefix })
}
