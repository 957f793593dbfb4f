// Files that came with a message: which parts are files, what they are called, and that their bytes are theirs.

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { decodeFile } from './decode.ts'
import { attachment, LIMITS_IN_TESTS, mail, mixed, parsed, part, read } from './fixtures.ts'
import { readStructure } from './structure.ts'

const base64 = 'Content-Transfer-Encoding: base64'

const NAMES: [string, string, string][] = [
  ['filename="a b.pdf"', 'a b.pdf', 'quoted'],
  ['filename=a.pdf', 'a.pdf', 'bare'],
  ['filename="=?utf-8?B?w7w=?=.txt"', 'ü.txt', 'encoded words in quotes, against RFC 2047 5, as many mailers do'],
  ['filename="=?utf-8?B?w7zD?= =?utf-8?B?vC50eHQ=?="', 'üü.txt', 'split within a character'],
  ["filename*=utf-8'en'%c3%bc.txt", 'ü.txt', 'RFC 2231 4 with a language'],
  ["filename*=iso-8859-1''%fc.txt", 'ü.txt', 'RFC 2231 4, Latin-1'],
  ["filename*1*=%bc.txt; filename*0*=utf-8''a%c3", 'aü.txt', 'RFC 2231 4.1 out of order, split within a character'],
  ["filename=old.txt; filename*=utf-8''new.txt", 'new.txt', 'RFC 6266 4.3: the extended one counts'],
  ['filename="gr\xc3\xbcn.txt"', 'grün.txt', 'raw UTF-8'],
  ['filename="gr\xfcn.txt"', 'grün.txt', 'raw Latin-1'],
  ["filename*=utf-7''+ADw-.txt", '+ADw-.txt', 'utf-7 is not decoded'],
  ['filename="../../etc/passwd"', 'passwd', 'a path'],
  ['filename="..\\\\..\\\\x"', 'x', 'a path of Windows'],
  ['filename="C:\\\\a\\\\b.txt"', 'b.txt', 'a drive'],
  ['filename="/"', 'attachment-1.bin', 'only a path'],
  ['filename="CON"', '_CON', 'a device'],
  ['filename="con.tar.gz"', '_con.tar.gz', 'a device with extensions'],
  ["filename*=utf-8''a%00.exe", 'a.exe', 'NUL'],
  ['filename="a%0d%0aX:1"', 'a%0d%0aX:1', 'no header line comes of it'],
  ["filename*=utf-8''a%0d%0aX:1", 'a X:1', 'nor of the decoded one'],
  ["filename*=utf-8''%e2%80%aefdp.exe", 'fdp.exe', 'right to left override'],
  [`filename="${'x'.repeat(5000)}.pdf"`, `${'x'.repeat(251)}.pdf`, 'cut before the extension'],
  ['filename=""', 'attachment-1.bin', 'empty'],
  ['filename="."', 'attachment-1.bin', 'a dot'],
  ['filename=".. "', 'attachment-1.bin', 'two dots'],
  ['filename="<img src=x onerror=y>.png"', '<img src=x onerror=y>.png', 'markup is text to us'],
]

test.each(NAMES)('%s is %j (%s)', async (params, want, _why) => {
  const { attachments } = await parsed(mixed(attachment(params)))
  expect(attachments.map((file) => file.filename)).toEqual([want])
})

test('the name as sent is kept where it was changed', async () => {
  const { attachments } = await parsed(mixed(attachment('filename="../a.txt"'), attachment('filename=b.txt')))
  expect(attachments.map((file) => file.originalFilename)).toEqual(['../a.txt', undefined])
})

test('names are unique within the message, letter case aside', async () => {
  const { attachments } = await parsed(
    mixed(...['a.txt', 'A.txt', 'a (2).txt', 'a.txt'].map((name) => attachment(`filename="${name}"`))),
  )
  expect(attachments.map((file) => file.filename)).toEqual(['a.txt', 'A (2).txt', 'a (2) (2).txt', 'a (3).txt'])
})

test('long names of many bytes are cut between characters', async () => {
  const { attachments } = await parsed(mixed(attachment(`filename="${'\xf0\x9f\x8e\x89'.repeat(200)}.pdf"`)))
  expect(attachments[0]?.filename).toBe(`${'🎉'.repeat(62)}.pdf`)
})

const png = (more: string): string => part('image/png', 'p', more)
const html = (text: string): string => part('text/html', text)
const photo = (id: string): string => png(`Content-Disposition: inline; filename=a.png\r\nContent-ID: <${id}>`)
const PARTS: [string, string, string[]][] = [
  ['an image said to be inline', mixed(png('Content-Disposition: inline')), []],
  ['a photo said to be inline', mixed(png('Content-Disposition: inline; filename=a.png')), ['image/png']],
  [
    'a photo that the HTML shows (RFC 2392 2)',
    mixed(html('<img src="cid:a%25b@x&amp;y">'), photo('a%b@x&y')).replace('mixed', 'related'),
    [],
  ],
  ['a photo that the HTML shows by an address without quotes', mixed(html('<img src=CID:a>'), photo('a')), []],
  ['a photo that the HTML does not show', mixed(html('<img src="cid:b">'), photo('a')), ['image/png']],
  ['a photo beside HTML that is too long to look for it', mixed(html('x'.repeat(2_100_000)), photo('a')), []],
  ['an image of the HTML', mixed(png('Content-ID: <a>')).replace('mixed', 'related'), []],
  [
    'an image that is an attachment all the same',
    mixed(png('Content-ID: <a>\r\nContent-Disposition: attachment')).replace('mixed', 'related'),
    ['image/png'],
  ],
  ['an image that nothing is said of', mixed(png('X: y')), ['image/png']],
  ['text with a name', mixed(part('text/plain; name=a.txt', 'x')), ['text/plain']],
  ['HTML as attachment', mixed(part('text/html', 'x', 'Content-Disposition: attachment')), ['text/html']],
  [
    'a disposition that nobody knows (RFC 2183 2.8)',
    mixed(part('text/plain', 'x', 'Content-Disposition: foo')),
    ['text/plain'],
  ],
  ['a mail', mixed(part('message/rfc822', 'Subject: inner\r\n\r\nx')), ['message/rfc822']],
  [
    'a mail said to be inline',
    mixed(part('message/rfc822', 'Subject: i\r\n\r\nx', 'Content-Disposition: inline')),
    ['message/rfc822'],
  ],
  ['a digest (RFC 2046 5.1.5)', mixed('\r\nSubject: i\r\n\r\nx').replace('mixed', 'digest'), ['message/rfc822']],
  [
    'a signature',
    mixed(part('application/pgp-signature', 'x')).replace('mixed', 'signed'),
    ['application/pgp-signature'],
  ],
  ['TNEF', mixed(part('application/ms-tnef', 'x')), ['application/ms-tnef']],
  ['a calendar', mixed(part('text/calendar', 'x')).replace('mixed', 'alternative'), ['text/calendar']],
  ['a whole message that is a file', mail('Content-Type: application/pdf', 'x'), ['application/pdf']],
  ['a type known by the name', mixed(attachment('filename=a.pdf')), ['application/pdf']],
  ['a type as long as any', mixed(part(`x/${'y'.repeat(127)}`, 'x')), [`x/${'y'.repeat(127)}`]],
  ['a type longer than any, RFC 6838 4.2', mixed(part(`x/${'y'.repeat(128)}`, 'x')), ['application/octet-stream']],
  ['a type that is none', mixed(part('foo', 'x', 'Content-Disposition: attachment')), ['application/octet-stream']],
]

test.each(PARTS)('%s', async (_name, raw, want) => {
  expect((await parsed(raw)).attachments.map((file) => file.contentType)).toEqual(want)
})

test('500 mails one in the other are one attachment', async () => {
  const inner = 'Content-Type: message/rfc822\r\n\r\n'.repeat(500)
  expect((await parsed(mixed(`${inner}x`))).attachments).toHaveLength(1)
})

test('an archive is stored as it is, never unpacked', async () => {
  const zip = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(1000, 7)])
  const { files } = await read(mixed(part('application/zip', zip.toString('base64'), base64)))
  expect(files).toEqual([zip])
})

const everyByte = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 7 + (at >> 8)) & 0xff))
const lines = everyByte.toString('base64').replace(/.{76}/g, '$&\r\n')
const BODIES: [string, string, Buffer][] = [
  ['base64', part('application/x-a', lines, base64), everyByte],
  ['binary', part('application/x-a', everyByte.toString('latin1'), 'Content-Transfer-Encoding: binary'), everyByte],
  ['8bit with an empty line at the end', part('application/x-a', 'a\r\n\r\n'), Buffer.from('a\r\n\r\n')],
  ['nothing', part('application/x-a', ''), Buffer.alloc(0)],
  [
    'quoted-printable',
    part('application/x-a', 'a=3Db=\r\nc\r\n', 'Content-Transfer-Encoding: quoted-printable'),
    Buffer.from('a=bc\r\n'),
  ],
]

test.each(BODIES)('bytes: %s', async (_name, raw, want) => {
  const { parsed, files } = await read(mixed(raw))
  const [file] = 'message' in parsed ? parsed.message.attachments : []
  expect(files[0]?.equals(want)).toBe(true)
  expect(file).toMatchObject({ sizeBytes: want.length, sha256: createHash('sha256').update(want).digest('hex') })
})

test('a full disk is an error, however small the file', async () => {
  const { root } = await readStructure(Readable.from([Buffer.from('Content-Type: a/b\r\n\r\nx')]), {
    sizeBytes: 22,
    limits: LIMITS_IN_TESTS,
    wanted: () => false,
  })
  const range = { raw: { path: import.meta.filename }, start: 0, end: 1, bareCr: false }
  await expect(decodeFile(root, range, '/dev/full')).rejects.toMatchObject({ code: 'ENOSPC' })
})
