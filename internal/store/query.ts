// The search grammar: text to a tree and back. Pure.
//
//   query  = group *( group )            every group must hold
//   group  = term *( "OR" term )         one of its terms must hold
//   term   = [ "-" ] ( text | operator ":" value )
//   text   = ( word | "quoted words" ) [ "*" ]     with *, the last word may go on
//
// Nothing a person types is an error: what makes no sense is left out or taken as text, and a hint says so.

import { MESSAGE_STATUSES, type MessageStatus } from './states.ts'

/** Where text is looked for. `any` is everywhere. */
export const TEXT_OPERATORS = ['from', 'to', 'subject', 'filename', 'body'] as const
export type TextPlace = 'any' | (typeof TEXT_OPERATORS)[number]

const UNITS_MS = { h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
export type AgeUnit = keyof typeof UNITS_MS
export const ageMs = (count: number, unit: AgeUnit): number => count * UNITS_MS[unit]

const SIZES = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 } as const

export type Term = { not: boolean } & (
  | { kind: 'text'; place: TextPlace; text: string; prefix: boolean }
  /** `time` in milliseconds since 1970 UTC. */
  | { kind: 'before' | 'after'; time: number }
  | { kind: 'newer'; count: number; unit: AgeUnit }
  | { kind: 'larger' | 'smaller'; bytes: number }
  | { kind: 'has'; what: 'attachment' }
  | { kind: 'status'; status: MessageStatus }
  | { kind: 'id' | 'mailbox'; value: string }
)

/** All groups must hold; of each group, one term. */
export interface Query {
  all: Term[][]
}

export interface ParsedQuery {
  query: Query
  /** What was not understood, in words for the person who typed it. */
  hints: string[]
}

/** Characters of a query; the rest is left out with a hint. */
const QUERY_CHARS_MAX = 2000
/** Terms of a query: each costs a lookup. */
const TERMS_MAX = 50

type Meaning = Term extends infer T ? (T extends Term ? Omit<T, 'not'> : never) : never
type Reader = (value: string) => Meaning | string

const NUMBER = /^\d{1,9}$/

const readTime =
  (kind: 'before' | 'after'): Reader =>
  (value) => {
    const time = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{3})?)?Z?)?$/.test(value)
      ? Date.parse(value.length > 10 && !value.endsWith('Z') ? `${value}Z` : value)
      : Number.NaN
    return Number.isNaN(time) ? 'a date such as 2026-01-31 or 2026-01-31T12:00' : { kind, time }
  }

const readSize =
  (kind: 'larger' | 'smaller'): Reader =>
  (value) => {
    const match = /^(\d{1,12})([kmg]?)b?$/i.exec(value)
    const unit = (match?.[2] ?? '').toLowerCase() as keyof typeof SIZES
    return match === null ? 'a size such as 500k or 2M' : { kind, bytes: Number(match[1]) * SIZES[unit] }
  }

const readAge: Reader = (value) => {
  const unit = value.slice(-1) as AgeUnit
  const count = value.slice(0, -1)
  return Object.hasOwn(UNITS_MS, unit) && NUMBER.test(count)
    ? { kind: 'newer', count: Number(count), unit }
    : 'an age such as 12h, 7d or 2w'
}

const readStatus: Reader = (value) => {
  const status = MESSAGE_STATUSES.find((each) => each === value.toUpperCase())
  return status === undefined
    ? `one of ${MESSAGE_STATUSES.map((each) => each.toLowerCase()).join(', ')}`
    : { kind: 'status', status }
}

/** Operators whose value is not text: what they mean, or what they expect. */
const READERS: Record<string, Reader> = {
  before: readTime('before'),
  after: readTime('after'),
  newer: readAge,
  larger: readSize('larger'),
  smaller: readSize('smaller'),
  has: (value) => (value === 'attachment' ? { kind: 'has', what: 'attachment' } : '`attachment`'),
  status: readStatus,
  id: (value) => ({ kind: 'id', value }),
  mailbox: (value) => ({ kind: 'mailbox', value }),
  inbox: (value) => ({ kind: 'mailbox', value }),
}

interface Token {
  not: boolean
  operator: string | undefined
  value: string
  quoted: boolean
  prefix: boolean
  raw: string
}

// A value in quotes may hold \" and \\; a quote that is never closed goes to the end.
const TOKEN = /([-!]?)(?:([A-Za-z]+):)?(?:"((?:[^"\\]|\\.)*)(?:"|\\?$)(\*?)|(\S+))/gsy

function* tokens(text: string): Generator<Token> {
  TOKEN.lastIndex = 0
  for (;;) {
    const space = /\s*/y
    space.lastIndex = TOKEN.lastIndex
    space.exec(text)
    if (space.lastIndex >= text.length) return
    TOKEN.lastIndex = space.lastIndex
    const match = TOKEN.exec(text)
    // Only an operator without a value, or a lone dash, does not match.
    if (match === null) {
      const rest = /\S+/y
      rest.lastIndex = space.lastIndex
      const raw = rest.exec(text)?.[0] ?? ''
      TOKEN.lastIndex = rest.lastIndex
      yield { not: false, operator: undefined, value: raw, quoted: false, prefix: false, raw }
      continue
    }
    const [raw, sign, operator, inside, star, bare = ''] = match
    const quoted = inside !== undefined
    const prefix = quoted ? star === '*' : bare.length > 1 && bare.endsWith('*')
    const value = quoted ? inside.replaceAll(/\\(.)/gs, '$1') : prefix ? bare.slice(0, -1) : bare
    yield { not: sign !== '', operator: operator?.toLowerCase(), value, quoted, prefix, raw }
  }
}

/** Never throws. */
export function parseQuery(given: string): ParsedQuery {
  const hints: string[] = []
  if (given.length > QUERY_CHARS_MAX) hints.push(`only the first ${QUERY_CHARS_MAX} characters were searched for`)
  const all: Term[][] = []
  let or = false
  let count = 0
  for (const token of tokens(given.slice(0, QUERY_CHARS_MAX))) {
    if (token.raw === 'OR') {
      or = true
      continue
    }
    const term = meaning(token, hints)
    if (term === undefined) continue
    if (++count > TERMS_MAX) {
      hints.push(`only the first ${TERMS_MAX} terms were searched for`)
      break
    }
    const group = all.at(-1)
    if (or && group !== undefined) group.push(term)
    else all.push([term])
    or = false
  }
  return { query: { all }, hints }
}

function meaning(token: Token, hints: string[]): Term | undefined {
  const { not, operator, value, quoted, prefix, raw } = token
  const asText = (place: TextPlace, text: string): Term => ({ not, kind: 'text', place, text, prefix })
  if (operator === undefined) {
    if (!quoted && /^[A-Za-z]+:$/.test(value)) {
      hints.push(`${value} needs a value right after the colon; left out`)
      return undefined
    }
    return asText('any', value)
  }
  const place = TEXT_OPERATORS.find((each) => each === operator)
  if (place !== undefined) return asText(place, value)
  const read = Object.hasOwn(READERS, operator) ? READERS[operator] : undefined
  if (read === undefined) {
    hints.push(`no operator ${operator}: ; searched for as text`)
    return asText('any', `${operator}:${value}`)
  }
  const said = read(prefix ? raw.slice(raw.indexOf(':') + 1) : value)
  if (typeof said === 'string') {
    hints.push(`${operator}: takes ${said}; left out`)
    return undefined
  }
  return { not, ...said }
}

const PLAIN = /^[^\s"\\:*!-][^\s"\\:*]*$/

const value = (text: string): string =>
  PLAIN.test(text) && text !== 'OR' ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`

/** The text that parses to the same tree. */
export function formatQuery({ all }: Query): string {
  return all.map((group) => group.map(formatTerm).join(' OR ')).join(' ')
}

function formatTerm(term: Term): string {
  return `${term.not ? '-' : ''}${formatMeaning(term)}`
}

function formatMeaning(term: Term): string {
  switch (term.kind) {
    case 'text':
      return `${term.place === 'any' ? '' : `${term.place}:`}${value(term.text)}${term.prefix ? '*' : ''}`
    case 'before':
    case 'after':
      return `${term.kind}:${new Date(term.time).toISOString().replace('T00:00:00.000Z', '')}`
    case 'newer':
      return `newer:${term.count}${term.unit}`
    case 'larger':
    case 'smaller':
      return `${term.kind}:${term.bytes}`
    case 'has':
      return `has:${term.what}`
    case 'status':
      return `status:${term.status.toLowerCase()}`
    case 'id':
    case 'mailbox':
      return `${term.kind}:${value(term.value)}`
  }
}
