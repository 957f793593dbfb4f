import { expect, test } from 'vitest'
import { HeaderSize } from './header-size.ts'

test.each([
  ['A: b\r\n\r\nbody\r\n\r\n', 8, '5322 2.1 the empty line ends it'],
  ['\r\nbody\r\n', 2, 'no field at all'],
  ['A: b\n\nbody\n\n', 6, '3030 2: LF alone, in a chunk'],
  ['A: b\r\n c\r\n\r\n', 12, '5322 2.2.3 folded'],
  ['A: b\r\n \r\n\r\n', 11, 'a blank is not an empty line'],
  ['A: b\r\n\rx\r\n\r\n', 12, 'nor is a CR with more behind it'],
  ['A: b\r\nC: d', 10, 'no end yet'],
  ['', 0, 'nothing'],
])('%j has a header of %i octets, however it is cut (%s)', (text, want, _why) => {
  for (let step = 1; step <= Math.max(1, text.length); step += 1) {
    const size = new HeaderSize()
    for (let at = 0; at < text.length; at += step) size.feed(Buffer.from(text.slice(at, at + step)))
    expect({ step, octets: size.octets }).toEqual({ step, octets: want })
  }
})
