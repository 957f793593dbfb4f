import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DotDecoder } from './dots.ts'

/** The content, and what follows the end; undefined where it never ended. */
const decode = (...chunks: (string | Buffer)[]): [string, string | undefined] => {
  const decoder = new DotDecoder()
  let content = ''
  for (const [index, chunk] of chunks.entries()) {
    const bytes = Buffer.from(chunk)
    const decoded = decoder.decode(bytes)
    content += decoded.content.toString('latin1')
    if (decoded.ended) return [content, [bytes.subarray(decoded.taken), ...chunks.slice(index + 1)].join('')]
  }
  return [content, undefined]
}

describe('dots', () => {
  test.each([
    ['.\r\nQUIT', '', 'QUIT', '5321 4.1.1.4 empty mail'],
    ['a\r\n.\r\n', 'a\r\n', '', '5321 4.1.1.4 the CRLF before the dot belongs to the mail'],
    ['..\r\n.\r\n', '.\r\n', '', '5321 4.5.2 transparency'],
    ['.a\r\n.\r\n', 'a\r\n', '', '5321 4.5.2 a period with other characters on the line is deleted'],
    ['...\r\n.\r\n', '..\r\n', '', '5321 4.5.2 one only'],
    ['a.\r\n.\r\n', 'a.\r\n', '', 'a dot at the end of a line'],
    ['a\r\r\n.\r\n', 'a\r\r\n', '', 'CR CR LF ends a line as well'],
  ])('%j is %j, then %j (%s)', (given, content, rest, _why) => {
    expect(decode(given)).toEqual([content, rest])
  })

  test.each(['\n.\n', '\n.\r\n', '\r\n.\n', '\r.\r', '\r\n.\r', '\r.\r\n', '\n.\r', '\r\n\0.\r\n'])(
    'a%jb does not end a mail (5321 4.1.1.4; CVE-2023-51764 to 51766)',
    (lookAlike) => {
      expect(decode(`a${lookAlike}b\r\n.\r\n`)[1]).toBe('')
    },
  )

  test('a line begins after CRLF only, so after a bare LF no dot is taken away', () => {
    expect(decode('x\n..y\r..z\r\n.\r\n')[0]).toBe('x\n..y\r..z\r\n')
  })

  test('cut anywhere it is the same', () => {
    const whole = '..a\r\n.\rb\r\n\r\n.\n.\r\n.c\r\r\n..\r\n.\r\nNOOP\r\n'
    const want = decode(whole)
    for (let first = 0; first <= whole.length; first += 1) {
      for (let second = first; second <= whole.length; second += 1) {
        expect(decode(whole.slice(0, first), whole.slice(first, second), whole.slice(second))).toEqual(want)
      }
    }
  })

  test('what a sender makes transparent comes out as it was', () => {
    const octet = fc.constantFrom('.', '\r', '\n', '\r\n', 'x', '\0', '\xff')
    fc.assert(
      fc.property(fc.array(octet), fc.nat(), (parts, cut) => {
        const mail = `${parts.join('')}\r\n`
        const wire = Buffer.from(`${mail.replaceAll(/(^|\r\n)\./g, '$1..')}.\r\nREST`, 'latin1')
        expect(decode(wire.subarray(0, cut % wire.length), wire.subarray(cut % wire.length))).toEqual([mail, 'REST'])
      }),
      { numRuns: 2000 },
    )
  })

  test('a mail of nothing but stuffed dots costs no more than another', () => {
    const started = performance.now()
    new DotDecoder().decode(Buffer.from('..\r\n'.repeat(1_000_000)))
    expect(performance.now() - started).toBeLessThan(500)
  })
})
