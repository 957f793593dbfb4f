// The search tree as a condition in SQL, and the words of a message as they are indexed. What people type reaches the index only
// as quoted words, never as its syntax.

import { sql, type Expression, type ExpressionBuilder, type SqlBool } from 'kysely'
import type { Queries, Tx } from './database.ts'
import type { MessagePlace } from './dialect.ts'
import { cameTo, matching, pageMessages, type MessageFilter } from './messages.ts'
import { ageMs, type Query, type Term, type TextPlace } from './query.ts'
import type { Message, Page, PageWant } from './rows.ts'
import type { Schema } from './schema.ts'
import type { SearchField, SearchText } from './search-fields.ts'
import { windowsOf, wordsOf } from './words.ts'

export type { SearchText } from './search-fields.ts'

/** Characters of one field that are indexed. */
const FIELD_CHARS_MAX = 1024 * 1024

const FIELD_OF: Record<Exclude<TextPlace, 'any'>, SearchField> = {
  from: 'sender',
  to: 'recipients',
  subject: 'subject',
  filename: 'filenames',
  body: 'body',
}

/** As much of a text as is indexed. */
export function searchable(text: SearchText): SearchText {
  if (Object.values(text).every((value) => value.length <= FIELD_CHARS_MAX)) return text
  const fields = Object.entries(text).map(([field, value]) => [field, value.slice(0, FIELD_CHARS_MAX)])
  return Object.fromEntries(fields) as SearchText
}

/** Adds the search text of a message that has none, see `dropDerived`; `place` is what saving gave. */
export const indexText = (tx: Tx, place: MessagePlace, text: SearchText): Promise<void> =>
  tx.dialect.addTexts(tx, [{ place, text: searchable(text) }])

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
      return textHolds(on, where, term)
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
function textHolds(on: Queries, where: Messages, term: Extract<Term, { kind: 'text' }>): Expression<SqlBool> {
  const words = wordsOf(term.text)
  if (words.length === 0) return sql<SqlBool>`1 = 0`
  const { place, prefix } = term
  const windows = windowsOf(words)
  return where.and(
    windows.map((window, at) => {
      const match = { words: window, prefix: prefix && at === windows.length - 1 }
      return on.dialect.matches(place === 'any' ? match : { ...match, field: FIELD_OF[place] })
    }),
  )
}
