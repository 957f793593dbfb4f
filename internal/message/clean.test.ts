import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { beginningLines, manyLines } from './clean.ts'

const pieces = [
  'a',
  'b',
  ' ',
  '\t',
  '\n',
  '\r',
  '\0',
  '\u00a0',
  '\u2028',
  '\u202e',
  '\u0085',
  '\ud83d\ude00',
  '\ud83d',
  'é',
  '日',
  '  \n ',
  'word',
]
const text = fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((all) => all.join(''))

test('lines: blanks are one space, none beside a line end, and no more than one empty line', () => {
  expect(manyLines(' a \t b\u00a0c \r\n \n d\re\n\n\n\nf \n')).toBe('a b c\n\nd\ne\n\nf')
  fc.assert(
    fc.property(text, (each) => {
      const lines = manyLines(each)
      expect(lines).not.toMatch(/[^\P{Cc}\n]|\p{Bidi_Control}|[^\S\n ]| {2}|\n | \n|\n{3}|^\s|\s$/u)
      expect(lines.replace(/\s/g, '')).toBe(each.toWellFormed().replace(/[\s\p{Cc}\p{Bidi_Control}]/gu, ''))
    }),
  )
})

test('the beginning of a text is cleaned as the whole of it is', () => {
  fc.assert(
    fc.property(text, fc.constantFrom(8, 16, 24), (each, enough) => {
      const whole = manyLines(each)
      const beginning = beginningLines(each, enough)
      expect(whole.slice(0, beginning.length)).toBe(beginning)
      expect(beginning === whole || beginning.length > enough).toBe(true)
    }),
    { numRuns: 1000 },
  )
  const long = 'ab '.repeat(1000)
  expect(beginningLines(long, 80).length).toBeLessThan(100)
})
