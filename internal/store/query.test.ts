import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatQuery, parseQuery, TEXT_OPERATORS, type Query, type Term } from './query.ts'
import { MESSAGE_STATUSES } from './states.ts'

const text = (place: 'any' | (typeof TEXT_OPERATORS)[number], value: string, more: object = {}) => ({
  not: false,
  kind: 'text',
  place,
  text: value,
  prefix: false,
  ...more,
})
const term = (meaning: object) => ({ not: false, ...meaning })

test.each([
  ['', [], 'nothing'],
  ['a b', [[text('any', 'a')], [text('any', 'b')]], 'implicit AND'],
  ['a OR b c', [[text('any', 'a'), text('any', 'b')], [text('any', 'c')]], 'OR binds its neighbours'],
  ['a or b', [[text('any', 'a')], [text('any', 'or')], [text('any', 'b')]], 'OR is upper-case'],
  ['OR a OR', [[text('any', 'a')]], 'OR without a neighbour'],
  ['"a b"', [[text('any', 'a b')]], 'phrase'],
  ['"a \\"b\\" \\\\"', [[text('any', 'a "b" \\')]], 'quotes within quotes'],
  ['"never closed', [[text('any', 'never closed')]], 'open quote'],
  ['-a -"b c"', [[text('any', 'a', { not: true })], [text('any', 'b c', { not: true })]], 'not'],
  ['inv*', [[text('any', 'inv', { prefix: true })]], 'prefix'],
  ['from:ann Subject:"a b"', [[text('from', 'ann')], [text('subject', 'a b')]], 'text operators in any case'],
  ['-to:bob', [[text('to', 'bob', { not: true })]], 'not with an operator'],
  ['before:2026-01-31', [[term({ kind: 'before', time: Date.UTC(2026, 0, 31) })]], 'date'],
  ['after:2026-01-31T12:30', [[term({ kind: 'after', time: Date.UTC(2026, 0, 31, 12, 30) })]], 'time in UTC'],
  ['newer:7d', [[term({ kind: 'newer', count: 7, unit: 'd' })]], 'age'],
  [
    'larger:1M smaller:2kb',
    [[term({ kind: 'larger', bytes: 1_048_576 })], [term({ kind: 'smaller', bytes: 2048 })]],
    'sizes',
  ],
  ['has:attachment', [[term({ kind: 'has', what: 'attachment' })]], 'has'],
  ['status:quarantined', [[term({ kind: 'status', status: 'QUARANTINED' })]], 'status'],
  ['id:<a@x> inbox:a@b', [[term({ kind: 'id', value: '<a@x>' })], [term({ kind: 'mailbox', value: 'a@b' })]], 'ids'],
])('%j (%#)', (given, all, _why) => {
  expect(parseQuery(given)).toEqual({ query: { all }, hints: [] })
})

test.each([
  ['http://x', 'no operator http: ; searched for as text', 1],
  ['is:unread', 'no operator is: ; searched for as text', 1],
  ['from: ann', 'from: needs a value right after the colon; left out', 1],
  ['before:yesterday', 'before: takes a date such as 2026-01-31 or 2026-01-31T12:00; left out', 0],
  ['larger:big', 'larger: takes a size such as 500k or 2M; left out', 0],
  ['status:gone', 'status: takes one of stored, parsed, quarantined, failed, duplicate; left out', 0],
  ['a '.repeat(60), 'only the first 50 terms were searched for', 50],
  ['x'.repeat(3000), 'only the first 2000 characters were searched for', 1],
])('a hint, not an error: %j', (given, hint, terms) => {
  const { query, hints } = parseQuery(given)
  expect(hints).toEqual([hint])
  expect(query.all).toHaveLength(terms)
})

const anyText = fc.string({ minLength: 0, maxLength: 12, unit: 'grapheme' })
const meanings = fc.oneof(
  fc.record({
    kind: fc.constant('text' as const),
    place: fc.constantFrom('any' as const, ...TEXT_OPERATORS),
    text: anyText,
    prefix: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('before' as const, 'after' as const), time: fc.integer({ min: 0, max: 4e12 }) }),
  fc.record({
    kind: fc.constant('newer' as const),
    count: fc.nat(999_999_999),
    unit: fc.constantFrom('h' as const, 'd' as const, 'w' as const),
  }),
  fc.record({ kind: fc.constantFrom('larger' as const, 'smaller' as const), bytes: fc.nat() }),
  fc.constant({ kind: 'has' as const, what: 'attachment' as const }),
  fc.record({ kind: fc.constant('status' as const), status: fc.constantFrom(...MESSAGE_STATUSES) }),
  fc.record({ kind: fc.constantFrom('id' as const, 'mailbox' as const), value: anyText }),
)
const terms = fc.tuple(fc.boolean(), meanings).map(([not, meaning]): Term => ({ not, ...meaning }))
const queries: fc.Arbitrary<Query> = fc.record({
  all: fc.array(fc.array(terms, { minLength: 1, maxLength: 3 }), { maxLength: 4 }),
})

test('tree to text to tree', () => {
  fc.assert(
    fc.property(queries, (query) => {
      const written = formatQuery(query)
      fc.pre(written.length <= 2000)
      expect(parseQuery(written)).toEqual({ query, hints: [] })
    }),
    { numRuns: 2000 },
  )
})

test('nothing typed throws', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...Array.from('ab "\\:*-!()OR\n')) }), (typed) => {
      const { query } = parseQuery(typed)
      expect(parseQuery(formatQuery(query)).query).toEqual(query)
    }),
    { numRuns: 2000 },
  )
})
