// PROXY headers, good and bad, in one piece and in many.

import { describe, expect, test } from 'vitest'
import { proxyHeader } from './proxy.ts'

const V2 = '\r\n\r\n\0\r\nQUIT\n'
const V4 = '\xc6\x33\x64\x07\xcb\0\x71\x01\x16\x2e\0\x19'
const V6 = `\x20\x01\x0d\xb8${'\0'.repeat(11)}\x07\x20\x01\x0d\xb8${'\0'.repeat(11)}\x01\x16\x2e\0\x19`

const client = (address: string, localAddress: string) => ({ client: { address, port: 5678, localAddress } })

const GOOD: [string, object, string][] = [
  ['PROXY TCP4 198.51.100.7 203.0.113.1 5678 25\r\n', client('198.51.100.7', '203.0.113.1'), '2.1 IPv4'],
  ['PROXY TCP6 2001:db8::7 2001:db8::1 5678 25\r\n', client('2001:db8::7', '2001:db8::1'), '2.1 IPv6'],
  ['PROXY UNKNOWN\r\n', {}, '2.1 nobody knows'],
  ['PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', {}, '2.1 whatever follows'],
  [`${V2}\x21\x11\0\x0c${V4}`, client('198.51.100.7', '203.0.113.1'), '2.2 IPv4'],
  [`${V2}\x21\x21\0\x24${V6}`, client('2001:db8::7', '2001:db8::1'), '2.2 IPv6'],
  [`${V2}\x21\x11\0\x11${V4}\x04\0\x02ab`, client('198.51.100.7', '203.0.113.1'), '2.2.7 more behind the addresses'],
  [`${V2}\x20\0\0\0`, {}, '2.2 LOCAL'],
  [`${V2}\x20\x11\0\x0c${V4}`, {}, '2.2 LOCAL with addresses that count for nothing'],
  [`${V2}\x21\0\0\x04abcd`, {}, '2.2 UNSPEC'],
]

test.each(GOOD)('%j is %j (%s)', (text, want, _why) => {
  const header = Buffer.from(text, 'latin1')
  const whole = { taken: header.length, ...want }
  expect(proxyHeader(header)).toEqual(whole)
  expect(proxyHeader(Buffer.concat([header, Buffer.from('EHLO c\r\n')]))).toEqual(whole)
  for (let cut = 0; cut < header.length; cut += 1) expect(proxyHeader(header.subarray(0, cut))).toBe('more')
})

describe('malformed', () => {
  test.each([
    ['EHLO c\r\n', 'no header'],
    ['proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n', '2.1 in capitals'],
    ['PROXY TCP4 198.51.100.7 203.0.113.1 5678\r\n', 'a port is missing'],
    ['PROXY TCP4 198.51.100.7 203.0.113.1 5678 25 x\r\n', 'more than there is to say'],
    ['PROXY TCP4 198.51.100.777 203.0.113.1 5678 25\r\n', 'no address'],
    ['PROXY TCP4 2001:db8::7 2001:db8::1 5678 25\r\n', 'another family'],
    ['PROXY TCP4 198.51.100.7 203.0.113.1 65536 25\r\n', 'no port'],
    [`PROXY TCP4 198.51.100.7 203.0.113.1 5678 25\n${'x'.repeat(80)}`, 'a bare LF ends nothing'],
    [`PROXY UNKNOWN ${'x'.repeat(100)}\r\n`, '2.1 longer than 107'],
    ['\r\n\r\n\0\r\nQUIT!', 'another signature'],
    [`${V2}\x11\x11\0\x0c${V4}`, '2.2 another version'],
    [`${V2}\x22\x11\0\x0c${V4}`, '2.2 another command'],
    [`${V2}\x21\x12\0\x0c${V4}`, '2.2 UDP'],
    [`${V2}\x21\x31\0\xd8${'\0'.repeat(216)}`, '2.2 a Unix socket'],
    [`${V2}\x21\x11\0\x08${V4.slice(0, 8)}`, '2.2 shorter than its addresses'],
    [`${V2}\x21\x11\x02\x09`, '2.2 more than 536 octets, before they come'],
  ])('%j (%s)', (text, _why) => {
    expect(proxyHeader(Buffer.from(text, 'latin1'))).toBe('malformed')
  })
})
