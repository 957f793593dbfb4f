// What the parser makes of odd but readable mail: structure, headers, text. File names have a test of their own.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mail, mixed, parsed, part, read } from './fixtures.ts'
import { PARSER } from './limits.ts'
import type { ParsedMessage } from './message.ts'

type Want = Partial<Record<keyof ParsedMessage, unknown>>

/** All of what is wanted, and exactly; the rest of the message is not looked at. */
async function expectParsed(raw: string | Buffer, want: Want): Promise<void> {
  const message = await parsed(raw)
  const wanted = Object.keys(want) as (keyof ParsedMessage)[]
  expect(Object.fromEntries(wanted.map((key) => [key, message[key]]))).toEqual(want)
}

const two = (line: string): string =>
  mail('Content-Type: multipart/mixed; boundary=b', `--b\r\n\r\none\r\n${line}\r\n\r\ntwo\r\n--b--\r\n`)

const STRUCTURE: [string, string | Buffer, Want][] = [
  ['', '', { text: '', flags: ['empty', 'no_from', 'no_date'] }],
  ['headers only', 'From: a@b.cc\r\nSubject: x', { subject: 'x', flags: ['no_date'] }],
  [
    'body only',
    'Hello there\r\nfriend\r\n',
    { snippet: 'Hello there friend', flags: ['no_header', 'no_from', 'no_date'] },
  ],
  ['LF only', mail('X: y', 'a\r\nb').replaceAll('\r', ''), { subject: 's', text: 'a\nb', flags: [] }],
  ['CR only', two('--b').replaceAll('\n', ''), { subject: 's', text: 'one\n\ntwo', flags: ['bare_cr'] }],
  ['an mbox separator', `From ann Mon Nov  3\r\n${mail('', 'x')}`, { subject: 's', text: 'x', flags: [] }],
  ['a boundary line with trailing space (RFC 2046 5.1.1)', two('--b \t '), { text: 'one\n\ntwo', flags: [] }],
  ['a longer boundary is another', two('--bb'), { text: 'one\n--bb\n\ntwo', flags: [] }],
  ['a boundary behind text is text', two('x--b'), { text: 'one\nx--b\n\ntwo' }],
  [
    'a boundary of pattern characters',
    two('--b')
      .replaceAll(/(-|=)b(\r|-)/g, '$1".*+?(x)[a]"$2')
      .replaceAll('--".*+?(x)[a]"', '--.*+?(x)[a]'),
    { text: 'one\n\ntwo' },
  ],
  [
    'an empty boundary',
    mail('Content-Type: multipart/mixed; boundary=""', '--\r\n\r\nx'),
    { text: '--\n\nx', flags: ['no_parts'] },
  ],
  ['no boundary', mail('Content-Type: multipart/mixed', 'x'), { text: 'x', flags: ['no_parts'] }],
  ['no closing boundary', two('--b').replace('--b--\r\n', ''), { text: 'one\n\ntwo', flags: ['unclosed'] }],
  ['parts behind the closing boundary', `${two('--b')}--b\r\n\r\nthree`, { text: 'one\n\ntwo\n\nthree' }],
  [
    'a boundary in two parts (RFC 2231 3)',
    two('--b').replace('boundary=b', 'boundary*1=""; boundary*0=b'),
    { text: 'one\n\ntwo' },
  ],
  [
    'a comment in Content-Type (RFC 5322 3.2.2)',
    mail('Content-Type: (a) text/html (b; c="d")', '<p>x'),
    { text: 'x', hasHtml: true, attachments: [] },
  ],
  [
    'two Content-Types: the first',
    mail('Content-Type: text/plain\r\nContent-Type: text/html', '<p>'),
    { text: '<p>', flags: ['duplicate_header'] },
  ],
  ['a part that is no header', mixed('Hello world'), { text: 'Hello world' }],
  ['uuencode', mail('', 'begin 644 a\r\n#86)C\r\n`\r\nend'), { text: 'begin 644 a\n#86)C\n`\nend', attachments: [] }],
]

test.each(STRUCTURE)('structure: %s', (_name, raw, want) => expectParsed(raw, want))

const from = (value: string): string => `From: ${value}\r\nDate: Mon, 3 Nov 2025 10:00:00 +0000\r\n\r\n`
const HEADERS: [string, string | Buffer, Want][] = [
  [
    'of two the first, and the other is kept',
    'From: a@b.cc\r\nFrom: d@e.ff\r\nSubject: 1\r\nSubject: 2\r\nDate: 3 Nov 2025 10:00 GMT\r\n\r\n',
    {
      from: [{ name: '', address: 'a@b.cc' }],
      subject: '1',
      flags: ['duplicate_header'],
      headers: [
        { name: 'from', value: 'd@e.ff' },
        { name: 'subject', value: '2' },
        { name: 'received-count', value: '0' },
      ],
    },
  ],
  [
    'names that objects have',
    mail('__proto__: x\r\nconstructor: y\r\nprototype: z\r\nlist-__proto__: w', 'b'),
    { subject: 's', text: 'b' },
  ],
  [
    'an address as a name',
    from('"boss@bank.example" <thief@evil.example>'),
    { from: [{ name: 'boss@bank.example', address: 'thief@evil.example' }] },
  ],
  [
    'encoded words split within a character',
    mail('Cc: =?utf-8?B?w7zD?= =?utf-8?B?vA==?= <a@b.cc>'),
    { cc: [{ name: 'üü', address: 'a@b.cc' }] },
  ],
  [
    'a group',
    mail('Cc: friends: a@b.cc, D <d@e.ff>;'),
    {
      cc: [
        { name: '', address: 'a@b.cc' },
        { name: 'D', address: 'd@e.ff' },
      ],
    },
  ],
  ['raw UTF-8', from('J\xc3\xbcrg <a@b.cc>'), { from: [{ name: 'Jürg', address: 'a@b.cc' }], flags: [] }],
  ['raw Latin-1', from('J\xfcrg <a@b.cc>'), { from: [{ name: 'Jürg', address: 'a@b.cc' }], flags: ['header_8bit'] }],
  [
    'utf-7 hides nothing',
    'From: a@b.cc\r\nSubject: =?utf-7?Q?+ADw-script+AD4-?=\r\n\r\n',
    { subject: '+ADw-script+AD4-', flags: ['no_date', 'charset_unknown'] },
  ],
  [
    'a folded subject with controls and bidi marks',
    'From: a@b.cc\r\nSubject: a\r\n\t\x01b =?utf-8?B?4oCuY+KBpw==?=\r\n\r\n',
    { subject: 'a b c' },
  ],
  [
    'a Date that is none',
    'From: a@b.cc\r\nDate: not a date\r\n\r\n',
    { date: undefined, dateRaw: 'not a date', flags: ['bad_date'] },
  ],
  ['a Message-ID', mail('Message-ID:  <a@b> (comment)'), { headerMessageId: '<a@b>' }],
  ['one without brackets', mail('Message-ID: a@b'), { headerMessageId: '<a@b>' }],
  [
    'one that is too long is none',
    mail(`Message-ID: <${'a'.repeat(997)}>`),
    { headerMessageId: undefined, flags: ['bad_message_id'] },
  ],
  [
    'References',
    mail('References: <a@b>\r\n <c@d><a@b> junk <e\r\nIn-Reply-To: your mail of <x@y>'),
    { references: ['<a@b>', '<c@d>'], inReplyTo: ['<x@y>'] },
  ],
  [
    'too many References: the first and the last',
    mail(`References: ${Array.from({ length: 300 }, (_, at) => `<${at}@x>`).join(' ')}`),
    { references: ['<0@x>', ...Array.from({ length: 99 }, (_, at) => `<${at + 201}@x>`)] },
  ],
  [
    'raw text for a synthetic id',
    mail(''),
    {
      fromRaw: 'Ann <ann@example.org>',
      toRaw: 'bob@example.net',
      subjectRaw: 's',
      dateRaw: 'Mon, 3 Nov 2025 10:00:00 +0000',
    },
  ],
  [
    'headers worth searching',
    mail('Received: a\r\nReceived: b\r\nList-ID: <l.example>\r\nX-Else: no'),
    {
      headers: [
        { name: 'list-id', value: '<l.example>' },
        { name: 'received-count', value: '2' },
      ],
    },
  ],
]

test.each(HEADERS)('headers: %s', (_name, raw, want) => expectParsed(raw, want))

const qp = 'Content-Transfer-Encoding: quoted-printable'
const text = (type: string, body: string, more = ''): string =>
  mail(`Content-Type: ${type}${more && `\r\n${more}`}`, body)
const alternative = (...parts: string[]): string => mixed(...parts).replace('mixed', 'alternative')
const TEXT: [string, string, Want][] = [
  [
    'utf-7 is not decoded',
    text('text/html; charset=utf-7', '+ADw-script+AD4-'),
    { text: '+ADw-script+AD4-', flags: ['charset_unknown'] },
  ],
  [
    'an unknown charset: UTF-8 if it is',
    text('text/plain; charset=x-unknown', 'gr\xc3\xbcn'),
    { text: 'grün', flags: ['charset_unknown'] },
  ],
  [
    'a path as charset: else western',
    text('text/plain; charset="../../"', 'gr\xfcn'),
    { text: 'grün', flags: ['charset_unknown'] },
  ],
  ['no charset, but UTF-8', mail('', 'gr\xc3\xbcn'), { text: 'grün', flags: [] }],
  ['iso-8859-1 with quotes of windows-1252', text('text/plain; charset=iso-8859-1', '\x93a\x94'), { text: '“a”' }],
  ['iso-2022-jp', text('text/plain; charset=iso-2022-jp', '\x1b$B%F%9%H\x1b(B'), { text: 'テスト' }],
  ['a code page', text('text/plain; charset=IBM437', '\x81'), { text: 'ü' }],
  [
    'utf-16',
    text('text/plain; charset=utf-16le', 'aGkA', 'Content-Transfer-Encoding: base64').replace('aGkA', 'aABpAA=='),
    { text: 'hi' },
  ],
  ['bad quoted-printable is literal', text('text/plain', 'a=ZZ b=3D c=', qp), { text: 'a=ZZ b= c' }],
  [
    'base64 with junk and without padding',
    text('text/plain', 'aGV!s\r\nbG8', 'Content-Transfer-Encoding: base64'),
    { text: 'hello' },
  ],
  ['flowed (RFC 3676 4.2)', text('text/plain; format=flowed', 'a \r\nb\r\nc'), { text: 'a b\nc' }],
  [
    'of alternatives the plain one',
    alternative(part('text/html', '<p>h'), part('text/plain', 'p')),
    { text: 'p', hasHtml: true, attachments: [] },
  ],
  [
    'a blank plain one does not count',
    alternative(part('text/plain', ' \r\n'), part('text/html', '<p>h')),
    { text: 'h' },
  ],
  [
    'a footer does not hide the HTML before it',
    mixed(part('text/html', '<p>h'), part('text/plain', 'footer')),
    { text: 'h\n\nfooter' },
  ],
  [
    'HTML',
    text(
      'text/html; charset=utf-8',
      '<title>t</title><style>s</style><p>a&amp;b&nbsp;c<br>d</p><script>"</p>"</script><td>e<td>f',
    ),
    { text: 'a&b c\nd\ne f' },
  ],
  [
    'a delivery report',
    mixed(part('text/plain', 'failed'), part('message/delivery-status', 'Status: 5.1.1')),
    { text: 'failed\n\nStatus: 5.1.1', attachments: [] },
  ],
  [
    'controls and bidi marks',
    mail('', 'a\0b\x1b[31m \xe2\x80\xae c\r\n\r\n\r\n\r\nd'),
    { text: 'a b [31m c\n\nd', snippet: 'a b [31m c d' },
  ],
]

test.each(TEXT)('text: %s', (_name, raw, want) => expectParsed(raw, want))

test('the snippet is the first characters of the text, on one line and never half a character', async () => {
  const { snippet } = await parsed(mail('', `${'x'.repeat(199)}\xf0\x9f\x8e\x89 more`))
  expect(snippet).toBe('x'.repeat(199))
})

test('the same bytes give the same message', async () => {
  for (const [, raw] of [...STRUCTURE, ...HEADERS, ...TEXT])
    expect(await read(raw)).toMatchObject({ parsed: (await read(raw)).parsed })
})

test('no header can change what objects are', async () => {
  await parsed(
    mail('__proto__: polluted\r\nlist-__proto__: <http://x>\r\nContent-Type: text/plain; __proto__=polluted', 'b'),
  )
  expect(Object.keys(Object.prototype)).toEqual([])
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

test('the name of the parser is that of the installed one', () => {
  const { version } = JSON.parse(readFileSync('node_modules/mailparser/package.json', 'utf8')) as { version: string }
  expect(PARSER).toMatch(`mailparser@${version}/`)
})
