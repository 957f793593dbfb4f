import { expect, test } from 'vitest'
import { IntakeGate, SIGNATURES_MAX } from './intake-gate.ts'

/** What comes out when the text goes in in pieces of `size`. */
function through(text: string, size = text.length): string {
  const octets = Buffer.from(text, 'latin1')
  const gate = new IntakeGate()
  const out: Buffer[] = []
  for (let at = 0; at < octets.length; at += size) out.push(...gate.take(octets.subarray(at, at + size)))
  return Buffer.concat([...out, gate.rest()]).toString('latin1')
}

const HEADER = 'From: a@b.example\r\nSubject: x\r\n'

test.each([
  [`${HEADER}\r\nbody\r\n`, 'an ordinary mail'],
  [HEADER, 'a header block without an end'],
  ['\r\nFrom: body\r\n', 'no header block'],
  ['', 'nothing'],
  [`${HEADER}\r\n\r\n\r\n`, 'empty lines'],
  [`${HEADER}\r\n${'x'.repeat(200_000)}\r\n`, 'a line that is long, and not too long'],
])('%j comes out as it went in, however it is cut (%s)', (text, _why) => {
  for (const size of [1, 2, 3, 7, 1000, 65_536]) {
    if (text.length / size < 50_000) expect(through(text, size)).toBe(text)
  }
})

test.each([
  ['a\nb\r\nc\n', 'a\r\nb\r\nc\r\n', '6376 5.3: a line ends with CRLF'],
  ['\n\n', '\r\n\r\n', 'at the begin'],
  ['a\r\r\n', 'a\r\r\n', 'a CR by itself is content'],
])('the body %j is read as %j (%s)', (body, want, _why) => {
  for (const size of [1, 2, 100]) expect(through(`${HEADER}\r\n${body}`, size)).toBe(`${HEADER}\r\n${want}`)
})

test('more signatures than are tried are left out, with their folded lines, in any case', () => {
  const signature = (count: number) => `DKIM-SIGNATURE: v=1; s=${count};\r\n\tb=x\r\n`
  const many = Array.from({ length: SIGNATURES_MAX + 5 }, (_, count) => signature(count))
  const kept = many.slice(0, SIGNATURES_MAX).join('')
  for (const size of [1, 100_000]) {
    expect(through(`${many.join('')}${HEADER}\r\n${signature(0)}`, size)).toBe(`${kept}${HEADER}\r\n${signature(0)}`)
  }
})

test('past a line that is too long nothing is read: its signatures fail, and it costs no more', () => {
  const body = 'x'.repeat(5_000_000)
  expect(through(`${HEADER}\r\n${body}\r\nend\r\n`, 16_384).length).toBeLessThan(400_000)
})

test('a header block that is too long is cut at a line, and its body is not read', () => {
  const fields = `X-Field: ${'y'.repeat(60)}\r\n`.repeat(10_000)
  const read = through(`${HEADER}${fields}\r\nbody\r\n`, 16_384)
  expect(read.length).toBeLessThan(300_000)
  expect(read.endsWith('y\r\n\r\n')).toBe(true)
})
