// Bad inputs of full size. Each is refused with its reason or parsed with its flags, and each within two seconds.

import { expect, test } from 'vitest'
import { attachment, LIMITS_IN_TESTS, mail, mixed, nested, part, read } from './fixtures.ts'
import type { ParsedMessage } from './message.ts'
import type { QuarantineReason } from './reasons.ts'

/** No measure of speed: what these mails would cost without care is minutes, or never ends. */
const EACH_MS = 20_000
const MIB = 1024 * 1024

const REFUSED: [string, () => string, QuarantineReason][] = [
  ['1 000 nested multiparts', () => nested(1_000), 'mime_depth'],
  ['5 000 nested multiparts', () => nested(5_000), 'mime_depth'],
  ['one multipart deeper than allowed', () => nested(100), 'mime_depth'],
  ['100 000 flat parts', () => mixed(...Array.from({ length: 100_000 }, () => '\r\nx')), 'mime_parts'],
  ['1 000 parts and the message', () => mixed(...Array.from({ length: 1_000 }, () => '\r\nx')), 'mime_parts'],
  ['a header line of 2 MB', () => mail(`X-A: ${'a'.repeat(2 * MIB)}`, 'body'), 'header_size'],
  ['a header line of 2 MB without end', () => `X-A: ${'a'.repeat(2 * MIB)}`, 'header_size'],
  ['the same in a part', () => mixed(part('text/plain', 'x', `X-A: ${'a'.repeat(2 * MIB)}`)), 'header_size'],
  ['100 000 header lines', () => mail(Array.from({ length: 100_000 }, () => 'A: b').join('\r\n')), 'header_count'],
  ['100 000 folded lines', () => mail(`A: b${'\r\n b'.repeat(100_000)}`), 'header_count'],
  [
    '501 attachments',
    () => mixed(...Array.from({ length: 501 }, () => attachment('filename=a'))),
    'too_many_attachments',
  ],
  ['10 000 attachments', () => mixed(...Array.from({ length: 10_000 }, () => attachment('filename=a'))), 'mime_parts'],
  ['binary data', () => `\x7fELF${'\0\x01\x02'.repeat(100)}`, 'malformed'],
]

test.each(REFUSED)('%s is refused', { timeout: 30_000 }, async (_name, make, reason) => {
  const { parsed, ms } = await read(make())
  expect(parsed).toMatchObject({ reason })
  expect(ms).toBeLessThan(EACH_MS)
})

const html = (body: string): string => mail('Content-Type: text/html', body)
const PARSED: [string, () => string, (message: ParsedMessage) => void][] = [
  ['nesting at the limit', () => nested(98), (m) => expect(m.text).toBe('deep')],
  ['999 parts', () => mixed(...Array.from({ length: 999 }, () => '\r\nx')), (m) => expect(m.text).toContain('x')],
  [
    '100 000 addresses',
    () => mail(`Cc: ${'a@b.cc, '.repeat(100_000)}`),
    (m) => expect([m.cc.length, m.flags]).toEqual([500, ['header_cut']]),
  ],
  ['50 000 nested groups', () => mail(`Cc: ${'g:'.repeat(50_000)}`), (m) => expect(m.flags).toContain('header_cut')],
  [
    'a field folded 9 000 times',
    () => mail(`List-ID: x${'\r\n aaaaaaaaaa'.repeat(9_000)}`),
    (m) => expect(m.flags).toEqual(['header_cut']),
  ],
  ['200 000 (', () => mail(`Cc: ${'('.repeat(200_000)}`), (m) => expect(m.subject).toBe('s')],
  ['200 000 "', () => mail(`Cc: ${'"'.repeat(200_000)}`), (m) => expect(m.subject).toBe('s')],
  [
    '200 000 ( in Content-Type',
    () => mail(`Content-Type: ${'('.repeat(200_000)}`, 'x'),
    (m) => expect(m.text).toBe('x'),
  ],
  [
    '200 000 < in References',
    () => mail(`References: ${'<'.repeat(200_000)}`),
    (m) => expect(m.references).toEqual([]),
  ],
  ['=? 100 000 times', () => mail(`Cc: ${'=?'.repeat(100_000)}`), (m) => expect(m.subject).toBe('s')],
  [
    '=?utf-8?q? 60 000 times',
    () => mail(`Reply-To: ${'=?utf-8?q?a?= '.repeat(60_000)}`),
    (m) => expect(m.subject).toBe('s'),
  ],
  [
    'a file name of 20 000 continuations',
    () => mixed(attachment(Array.from({ length: 20_000 }, (_, nr) => `filename*${nr}=a`).join('; '))),
    (m) => expect([m.attachments[0]?.filename, m.flags]).toEqual(['a'.repeat(255), ['header_cut']]),
  ],
  [
    'a continuation far off',
    () => mixed(attachment('filename*999999999=b; filename*0=a')),
    (m) => expect(m.attachments[0]?.filename).toBe('ab'),
  ],
  [
    'a boundary of 60 KB',
    () => mail(`Content-Type: multipart/mixed; boundary="${'b'.repeat(60_000)}"`, `--${'b'.repeat(60_000)}\r\n\r\nx`),
    (m) => expect(m.flags).toEqual(['no_parts']),
  ],
  [
    'a charset name of 10 KB',
    () => mail(`Content-Type: text/plain; charset=${'x'.repeat(10_000)}`, 'body'),
    (m) => expect([m.text, m.flags]).toEqual(['body', ['charset_unknown']]),
  ],
  ['20 000 nested elements', () => html(`${'<div>'.repeat(20_000)}deep`), (m) => expect(m.text).toBe('deep')],
  ['400 000 nested elements', () => html(`${'<b>'.repeat(400_000)}deep`), (m) => expect(m.text).toBe('deep')],
  ['2 MB of flat HTML', () => html('<p>word</p>'.repeat(190_000)), (m) => expect(m.text.length).toBe(64 * 1024)],
  [
    'HTML that shows nothing for 2 MB is not read on',
    () => html(`<!--${' '.repeat(2 * MIB)}-->late`),
    (m) => expect([m.text, m.flags]).toEqual(['', ['html_skipped']]),
  ],
  [
    '2 MB of text in one part, and more behind it',
    () => mixed(part('text/plain', ' '.repeat(2 * MIB)), part('text/plain', 'next')),
    (m) => expect(m.text).toBe('next'),
  ],
  ['2 MB of <', () => html('<'.repeat(2 * MIB)), (m) => expect(m.hasHtml).toBe(true)],
  ['2 MB of &', () => html('&'.repeat(2 * MIB)), (m) => expect(m.hasHtml).toBe(true)],
  ['a comment without end', () => html(`<!--${'-'.repeat(2 * MIB)}`), (m) => expect(m.text).toBe('')],
  [
    '1 000 000 closing tags',
    () => html('<a>'.repeat(100_000) + '</b>'.repeat(300_000)),
    (m) => expect(m.text).toBe(''),
  ],
  [
    'cid: 20 000 times',
    () =>
      mail(
        'Content-Type: multipart/related; boundary=b',
        `--b\r\n${part('text/html', '<img src=cid:a>x'.repeat(20_000))}\r\n--b\r\n${part('image/png', 'p'.repeat(1000), 'Content-ID: <a>')}\r\n--b--`,
      ),
    (m) => expect([m.text.length, m.attachments]).toEqual([20_000, []]),
  ],
  [
    '1 000 000 = in base64',
    () => mixed(part('application/pdf', `aGVsbG8=${'='.repeat(1_000_000)}`, 'Content-Transfer-Encoding: base64')),
    (m) => expect(m.attachments[0]?.sizeBytes).toBeGreaterThanOrEqual(5),
  ],
  ['20 MB on one line', () => mail('', 'a'.repeat(20 * MIB)), (m) => expect(m.flags).toEqual(['text_cut'])],
  [
    'a million lines of --',
    () => mail('Content-Type: multipart/mixed; boundary=b', '--\r\n'.repeat(1_000_000)),
    (m) => expect(m.flags).toContain('no_parts'),
  ],
]

test.each(PARSED)('%s: parsed', { timeout: 30_000 }, async (_name, make, look) => {
  const { parsed, ms } = await read(make())
  if (!('message' in parsed)) throw new Error(parsed.reason)
  look(parsed.message)
  expect(ms).toBeLessThan(EACH_MS)
})

test('50 MB of HTML beside plain text: the text is indexed, the HTML is not decoded', { timeout: 30_000 }, async () => {
  const alternatives = `--b\r\n${part('text/plain', 'plain')}\r\n--b\r\n${part('text/html', '<p>rich</p>\r\n'.repeat(4 * MIB))}\r\n--b--`
  const { parsed, ms } = await read(mail('Content-Type: multipart/alternative; boundary=b', alternatives))
  expect(parsed).toMatchObject({ message: { text: 'plain', hasHtml: true, flags: [] } })
  expect(ms).toBeLessThan(EACH_MS)
})

test('a limit is checked at its own number, not near it', async () => {
  const two = mixed(part('text/plain', 'a'), part('text/plain', 'b'))
  expect((await read(two, { ...LIMITS_IN_TESTS, partsMax: 3 })).parsed).toHaveProperty('message')
  expect((await read(two, { ...LIMITS_IN_TESTS, partsMax: 2 })).parsed).toMatchObject({ reason: 'mime_parts' })
  expect((await read(two, { ...LIMITS_IN_TESTS, depthMax: 2 })).parsed).toHaveProperty('message')
  expect((await read(two, { ...LIMITS_IN_TESTS, depthMax: 1 })).parsed).toMatchObject({ reason: 'mime_depth' })
})
