import { expect, test } from 'vitest'
import type { OutboundMail } from '../store/store.ts'
import { composed } from './compose.ts'

const MAIL: OutboundMail = {
  from: 'sales@mail.localhost',
  to: 'ann@example.org',
  subject: 'Auto: Größe & 見積もり',
  text: `Grüße\n.\nFrom here\n${'long '.repeat(500)}\n`,
  date: Date.UTC(2026, 10, 28, 2, 3, 4),
  inReplyTo: '<1@example.org>',
  references: ['<0@example.org>', '<1@example.org>'],
  autoSubmitted: 'auto-replied',
}
const ID = '<auto-1@mail.localhost>'
const headerOf = (octets: Buffer) => octets.toString('latin1').split('\r\n\r\n')[0] ?? ''
const unfolded = (octets: Buffer) =>
  headerOf(octets)
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n')

test('every field that RFC 5322 3.6 and RFC 3834 3.1 ask for, in ASCII, with short lines and CRLF', async () => {
  const octets = await composed(MAIL, ID)
  const text = octets.toString('latin1')
  expect(text).toMatch(/^[\r\n\t -~]*$/)
  expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
  expect(Math.max(...text.split('\r\n').map((line) => line.length))).toBeLessThanOrEqual(78)
  expect(unfolded(octets)).toEqual(
    expect.arrayContaining([
      'From: sales@mail.localhost',
      'To: ann@example.org',
      'Message-ID: <auto-1@mail.localhost>',
      'In-Reply-To: <1@example.org>',
      'References: <0@example.org> <1@example.org>',
      'Date: Sat, 28 Nov 2026 02:03:04 +0000',
      'Auto-Submitted: auto-replied',
      'MIME-Version: 1.0',
    ]),
  )
  expect(await composed(MAIL, ID)).toEqual(octets)
})

test.each([
  [{ subject: 'x\r\nBcc: eve@example.net\r\n\r\nbody' }, 'the subject'],
  [{ subject: 'x\nBcc: eve@example.net' }, 'a bare LF'],
  [{ subject: 'x\rBcc: eve@example.net' }, 'a bare CR'],
  [{ inReplyTo: '<a@x>\r\nBcc: eve@example.net', references: ['<a@x>\r\nBcc: eve@example.net'] }, 'ids'],
  [{ to: 'ann@example.org>\r\nBcc: eve@example.net' }, 'the recipient'],
  [{ from: 'sales@mail.localhost\r\nBcc: eve@example.net' }, 'the sender'],
])('%j begins no field of its own (%s)', async (change, _why) => {
  const octets = await composed({ ...MAIL, ...change }, ID)
  expect(unfolded(octets).filter((line) => /^bcc/i.test(line))).toEqual([])
  expect(headerOf(octets)).toContain('Auto-Submitted: auto-replied')
})
