import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Reader } from './reader.ts'
import { fuzz } from './testing/fuzz.ts'
import { agree, readInChunks, reference, type Said } from './testing/reference.ts'

const read = (...chunks: string[]): Said[] => readInChunks(chunks.map((chunk) => Buffer.from(chunk, 'latin1')))
const line = (text: string): Said => ({ kind: 'line', text })
const fault = (name: string): Said => ({ kind: 'fault', fault: name })
const content = (text: string, bare = false): Said => ({ kind: 'content', text, bare })
const x = (count: number): string => 'x'.repeat(count)

describe('lines', () => {
  test.each<[string, string, Said[]]>([
    ['5321 2.3.8 CRLF ends a line', 'NOOP\r\n', [line('NOOP')]],
    ['5321 2.3.8 what has no line end is no command', 'A\r\nB\r\nC', [line('A'), line('B')]],
    ['an empty line is a line', '\r\n', [line('')]],
    ['5321 2.3.8 an LF alone', 'A\nB\r\n', [fault('bare_lf'), line('B')]],
    ['5321 2.3.8 a CR alone ends nothing', 'A\rB\r\nC\r\n', [fault('control'), line('C')]],
    ['5321 2.3.8 CR CR LF', 'A\r\r\n', [fault('control')]],
    ['5321 4.1.2 NUL', 'A\0\r\n', [fault('control')]],
    ['5321 4.1.2 control characters', 'A\x1b\x7f\r\n', [fault('control')]],
    ['5321 4.1.1 white space at the end', 'A\t \r\n', [line('A\t ')]],
    ['6531 3.3 UTF-8 is for others to judge', '\xc3\xb6\r\n', [line('\xc3\xb6')]],
    ['5321 4.5.3.1.4 2048 octets with the line end', `${x(2046)}\r\nA\r\n`, [line(x(2046)), line('A')]],
    ['one more', `${x(2047)}\r\nA\r\n`, [fault('too_long'), line('A')]],
    ['as long as is waited for', `${x(4094)}\r\nA\r\n`, [fault('too_long'), line('A')]],
    ['one more, and nothing behind it is looked at', `${x(4095)}\r\nA\r\n`, [fault('endless')]],
    ['without any end', x(4097), [fault('endless')]],
    ['8446 5.1 a handshake record', '\x16\x03\x01\x02\0\x01', [fault('client_hello')]],
    ['8446 5.1 later', 'NOOP\r\n\x16\x03\x01\x02\0\x01\r\n', [line('NOOP'), fault('client_hello')]],
  ])('%s', (_why, given, want) => {
    expect(read(given)).toEqual(want)
    expect(read(...given.split(''))).toEqual(want)
  })
})

describe('content', () => {
  test.each<[string, string, Said[]]>([
    ['5321 4.1.1.4 an empty mail', 'D\r\n.\r\nA\r\n', [line('D'), content(''), line('A')]],
    [
      '5321 4.1.1.4 the CRLF before the dot belongs to it',
      'D\r\na\r\n.\r\nA\r\n',
      [line('D'), content('a\r\n'), line('A')],
    ],
    ['5321 4.5.2 transparency', 'D\r\n..\r\n.\r\n', [line('D'), content('.\r\n')]],
    ['5321 2.3.8 after an LF begins no line', 'D\r\na\n..b\r\n.\r\n', [line('D'), content('a\n..b\r\n', true)]],
    ['5321 2.3.8 a CR alone', 'D\r\na\rb\r\n.\r\n', [line('D'), content('a\rb\r\n', true)]],
    ['NUL is kept', 'D\r\na\0b\r\n.\r\n', [line('D'), content('a\0b\r\n')]],
    ['long lines are kept', `D\r\n${x(100_000)}\r\n.\r\n`, [line('D'), content(`${x(100_000)}\r\n`)]],
    ['3030 2 octets are counted, not looked at', 'B3\r\n.\r\nA\r\n', [line('B3'), content('.\r\n'), line('A')]],
    ['3030 2 an empty chunk', 'B0\r\nA\r\n', [line('B0'), content(''), line('A')]],
    [
      '3030 2 exactly',
      'B2\r\n\n\rB1\r\n\x16A\r\n',
      [line('B2'), content('\n\r'), line('B1'), content('\x16'), line('A')],
    ],
    ['3030 2 an end that does not come', 'B9\r\nabc', [line('B9'), { kind: 'open', text: 'abc' }]],
  ])('%s', (_why, given, want) => {
    expect(read(given)).toEqual(want)
    if (given.length < 1000) expect(read(...given.split(''))).toEqual(want)
  })
})

/** Everything short of CRLF . CRLF made of its octets, and the sequences of the advisories. */
const LOOK_ALIKES = [
  '\n.\n', '\n.\r\n', '\r\n.\n', '\r.\r', '\r\n.\r', '\r.\r\n', '\n.\r', '\r\n\0.\r\n', '\r\n.\0\r\n', '\r\n.\r\r\n', '\r\r\n.\n', '\n\r.\r\n',
  '\r\n \x2e\r\n', '\r\n.\x85', '\n\n.\n\n',
] as const // prettier-ignore

describe('what only looks like an end of data (CVE-2023-51764 to 51766)', () => {
  test.each(LOOK_ALIKES)('%j ends no mail, wherever TCP cuts it (RFC 5321 4.1.1.4)', (lookAlike) => {
    const wire = `D\r\na${lookAlike}MAIL FROM:<evil@sender.example>\r\n.\r\nQUIT\r\n`
    const want = reference(wire)
    expect(want.map(({ kind }) => kind)).toEqual(['line', 'content', 'line'])
    for (let first = 0; first <= wire.length; first += 1) {
      for (let second = first; second <= wire.length; second += 1) {
        expect(read(wire.slice(0, first), wire.slice(first, second), wire.slice(second))).toEqual(want)
      }
    }
  })

  test('every sequence of up to seven of CR, LF, dot and a letter is read as the reference reads it', () => {
    const alphabet = ['\r', '\n', '.', 'x']
    let sequences = ['']
    for (let length = 1; length <= 7; length += 1) {
      sequences = sequences.flatMap((sequence) => alphabet.map((octet) => sequence + octet))
      const wrong = sequences.find((sequence) => !agree(read(`D\r\n${sequence}`), reference(`D\r\n${sequence}`)))
      expect(wrong).toBeUndefined()
    }
  })
})

describe('any chunking gives the same', () => {
  const octets = fc.array(
    fc.constantFrom('\r', '\n', '\r\n', '.', 'D\r\n', 'B3\r\n', 'x', '\0', '\xff', '\x16\x03', x(2045), x(4000)),
  )
  test('property', () => {
    fc.assert(
      fc.property(octets, fc.array(fc.nat(5000)), (parts, cuts) => {
        const whole = parts.join('')
        const at = [0, ...cuts.map((cut) => cut % (whole.length + 1)).toSorted((a, b) => a - b), whole.length]
        const chunks = at.slice(1).map((to, index) => whole.slice(at[index], to))
        expect(agree(read(...chunks), reference(whole))).toBe(true)
        expect(agree(read(whole), reference(whole))).toBe(true)
      }),
      { numRuns: 3000 },
    )
  })

  const inputs = Number(process.env['FUZZ_INPUTS'] ?? 200_000)
  const seed = Number(process.env['FUZZ_SEED'] ?? 5321)
  test(
    'fuzz',
    () => {
      expect(fuzz(inputs, seed)).toBeUndefined()
    },
    20_000 + inputs / 10,
  )
})

describe('costs', () => {
  /** CPU time of reading it in chunks as TCP brings them, milliseconds; the best of some. */
  const cost = (mail: Buffer): number => {
    const runs = Array.from({ length: 5 }, () => {
      const before = process.cpuUsage()
      const reader = new Reader()
      reader.readMail()
      for (let at = 0; at < mail.length; at += 65_536) {
        reader.push(mail.subarray(at, at + 65_536))
        while (reader.next() !== undefined);
      }
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000
    })
    return Math.min(...runs)
  }

  test('25 MB of doubled dots are read at no more than 1.5 times the cost of 25 MB of ordinary lines', () => {
    const of = (text: string): Buffer => Buffer.from(text.repeat(25_000_000 / text.length))
    expect(cost(of('..\r\n')) / cost(of(`${x(76)}\r\n`))).toBeLessThan(1.5)
  })

  test('what waits for the rest of its line is no more than a line', () => {
    const reader = new Reader()
    for (let octets = 0; octets < 4096; octets += 1) {
      reader.push(Buffer.from('x'))
      expect(reader.next()).toBeUndefined()
    }
    reader.push(Buffer.from('x'))
    expect(reader.next()).toEqual({ kind: 'fault', fault: 'endless' })
    for (let chunks = 0; chunks < 100; chunks += 1) {
      reader.push(Buffer.alloc(65_536))
      expect(reader.next()).toBeUndefined()
      expect(reader.waiting).toBe(0)
    }
  })
})
