// Test mail: what `send` can make. Each kind is a row; composing is nodemailer's, what must be broken is written by hand.

import type { MailComposerOptions } from 'nodemailer/lib/mail-composer'
import { FILES, type SampleFile } from './files.ts'

/** What one mail is made from: everything that varies is an argument, so the same facts give the same mail. */
export interface SampleFacts {
  from: string
  to: readonly string[]
  /** Replaces the kind's own subject. */
  subject?: string
  nowMs: number
  /** Unique in this run; Message-IDs and boundaries derive from it. */
  unique: string
  /** Header Message-ID of an earlier mail, for kinds that refer to one. */
  earlier: string
  /** Size of the `large` mail in bytes, about. */
  sizeBytes: number
}

export interface Sample {
  /** Undefined where only the stream's end tells. */
  sizeBytes?: number
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

interface Kind {
  about: string
  make(facts: SampleFacts): Promise<Sample> | Sample
}

/** The standard test string of every malware scanner (eicar.org), kept in two halves so that no scanner stops this file. */
const EICAR = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR', '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'].join('')

const TEXT = 'Hello,\n\nplease deliver order 4711 before noon.\n\nKind regards\nBob\n'
const HTML = '<p>Hello,</p><p>please deliver <b>order 4711</b> before noon.</p><p>Kind regards<br>Bob</p>'
const DEPTH = 120
const MANY = 40

const attachmentKind = (name: keyof typeof FILES): Kind => ({
  about: `one ${name.toUpperCase()} attachment`,
  make: (facts) =>
    composed(facts, `With a file: ${FILES[name]().filename}`, { text: TEXT, attachments: [FILES[name]()] }),
})

// prettier-ignore
export const KINDS = {
  text: { about: 'plain text', make: (facts) => composed(facts, 'Order 4711', { text: TEXT }) },
  html: { about: 'text and HTML alternatives', make: (facts) => composed(facts, 'Order 4711, with HTML', { text: TEXT, html: HTML }) },
  pdf: attachmentKind('pdf'),
  xlsx: attachmentKind('xlsx'),
  docx: attachmentKind('docx'),
  csv: attachmentKind('csv'),
  zip: attachmentKind('zip'),
  png: attachmentKind('png'),
  txt: attachmentKind('txt'),
  json: attachmentKind('json'),
  attachments: { about: 'one file of each kind in one mail', make: (facts) => composed(facts, 'One file of each kind', { text: TEXT, attachments: Object.values(FILES).map((make) => make()) }) },
  many: { about: `${MANY} attachments, two with the same content`, make: (facts) => composed(facts, 'Many files', { text: TEXT, attachments: manyFiles() }) },
  names: { about: 'non-ASCII subject, sender and file names (RFC 2047 5, RFC 2231 4)', make: nonAscii },
  inline: { about: 'an image inside the HTML, which is no document', make: inlineImage },
  large: { about: 'a mail of --size bytes with one attachment, streamed', make: large },
  broken: { about: 'MIME that breaks its own rules: no closing boundary, bad base64, bad charset', make: (facts) => byHand(facts, 'Broken MIME', brokenMime()) },
  deep: { about: `multiparts nested ${DEPTH} deep`, make: (facts) => byHand(facts, 'Nested deeply', nested(DEPTH)) },
  eicar: { about: 'the harmless test file that malware scanners recognise', make: (facts) => composed(facts, 'EICAR test file', { text: TEXT, attachments: [{ filename: 'eicar.com', contentType: 'application/octet-stream', content: Buffer.from(EICAR) }] }) },
  'bad-dkim': { about: 'a DKIM signature that does not verify', make: (facts) => byHand(facts, 'Forged signature', [badSignature(facts), 'Content-Type: text/plain', '', 'This was signed by somebody else.', '']) },
  'no-message-id': { about: 'no Message-ID header', make: (facts) => byHand(facts, 'No Message-ID', ['Content-Type: text/plain', '', 'Who am I?', ''], { messageId: false }) },
  duplicate: { about: 'the Message-ID of the mail before it (an own pair if it is the first)', make: (facts) => byHand(facts, 'Once more', ['Content-Type: text/plain', '', 'The same again.', ''], { messageId: facts.earlier }) },
  reply: { about: 'a reply to the mail before it (In-Reply-To, References)', make: (facts) => composed(facts, 'Re: Order 4711', { text: 'Thank you.\n', inReplyTo: facts.earlier, references: [facts.earlier] }) },
} as const satisfies Record<string, Kind>

export type SampleKind = keyof typeof KINDS

/** What `--demo` sends, in this order. */
export const DEMO: readonly SampleKind[] = ['text', 'html', 'attachments', 'bad-dkim', 'eicar']

/** `<unique@example.test>`: the Message-ID that a sample made from these facts has. */
export const messageIdFor = (unique: string): string => `<${unique}@example.test>`

export async function makeSample(kind: SampleKind, facts: SampleFacts): Promise<Sample> {
  return await KINDS[kind].make(facts)
}

async function composed(facts: SampleFacts, subject: string, mail: MailComposerOptions): Promise<Sample> {
  const { default: MailComposer } = await import('nodemailer/lib/mail-composer')
  const node = new MailComposer({
    from: { name: 'Bob Example', address: facts.from },
    to: [...facts.to],
    subject: facts.subject ?? subject,
    date: new Date(facts.nowMs),
    messageId: messageIdFor(facts.unique),
    baseBoundary: facts.unique,
    newline: 'windows',
    disableFileAccess: true,
    disableUrlAccess: true,
    ...mail,
  }).compile()
  const bytes = await node.build()
  return { sizeBytes: bytes.length, body: [bytes] }
}

function manyFiles(): SampleFile[] {
  const numbered = (at: number) => ({
    filename: `file-${String(at).padStart(2, '0')}.txt`,
    contentType: 'text/plain',
    content: Buffer.from(`File ${Math.max(1, at)}\r\n`),
  })
  return [...Array(MANY).keys()].map(numbered)
}

function nonAscii(facts: SampleFacts): Promise<Sample> {
  const names = [
    'Rechnung März – Größe.pdf',
    '請求書.pdf',
    'it\'s 100% "fine"; really.pdf',
    `${'sehr-langer-name-'.repeat(8)}ü.pdf`,
  ]
  return composed(facts, 'Größe & цена: 見積もり ✉', {
    from: { name: 'Jörg Müller', address: facts.from },
    text: 'Grüße aus Köln\n',
    attachments: names.map((filename, at) => ({
      ...FILES.pdf(),
      filename,
      content: Buffer.concat([FILES.pdf().content, Buffer.from(`%${at}\n`)]),
    })),
  })
}

function inlineImage(facts: SampleFacts): Promise<Sample> {
  const logo = { ...FILES.png(), cid: `logo-${facts.unique}@example.test`, contentDisposition: 'inline' as const }
  return composed(facts, 'With a logo', {
    text: TEXT,
    html: `${HTML}<img alt="logo" src="cid:${logo.cid}">`,
    attachments: [logo, FILES.pdf()],
  })
}

const headers = (facts: SampleFacts, subject: string, messageId: string | false): string[] => [
  `From: Bob Example <${facts.from}>`,
  `To: ${facts.to.join(', ')}`,
  `Subject: ${(facts.subject ?? subject).replace(/[\r\n]+/g, ' ')}`,
  `Date: ${new Date(facts.nowMs).toUTCString().replace('GMT', '+0000')}`,
  ...(messageId === false ? [] : [`Message-ID: ${messageId}`]),
  'MIME-Version: 1.0',
]

/** Lines as they are, after the usual headers; the last of them may be the end of the headers and the body. */
function byHand(
  facts: SampleFacts,
  subject: string,
  lines: readonly string[],
  given: { messageId?: string | false } = {},
): Sample {
  const messageId = given.messageId ?? messageIdFor(facts.unique)
  const bytes = Buffer.from([...headers(facts, subject, messageId), ...lines].join('\r\n'))
  return { sizeBytes: bytes.length, body: [bytes] }
}

const brokenMime = (): string[] => [
  'Content-Type: multipart/mixed; boundary="outer',
  'Content-Type: multipart/mixed; boundary=outer',
  'Subject: a second subject',
  'X-No-Colon-Follows',
  '',
  'preamble',
  '--outer',
  'Content-Type: text/plain; charset=klingon-8',
  'Content-Transfer-Encoding: quoted-printable',
  '',
  'half an escape =4 and a stray =ZZ',
  '--outer',
  'Content-Type: application/pdf; name="=?utf-8?B?not base64?="',
  'Content-Transfer-Encoding: base64',
  "Content-Disposition: attachment; filename*0*=utf-8''a%; filename*2=c.pdf",
  '',
  'JVBERi0x!!!!LjQK=====',
  '--inner-never-opened--',
  '',
]

function nested(depth: number): string[] {
  const open = [...Array(depth).keys()].flatMap((at) => [
    `Content-Type: multipart/mixed; boundary=b${at}`,
    '',
    `--b${at}`,
  ])
  const close = [...Array(depth).keys()].reverse().map((at) => `--b${at}--`)
  return [...open, 'Content-Type: text/plain', '', 'the bottom', ...close, '']
}

const badSignature = (facts: SampleFacts): string =>
  [
    'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.test; s=none;',
    `\th=from:to:subject; bh=${Buffer.alloc(32, 7).toString('base64')};`,
    `\tb=${Buffer.alloc(128, facts.unique.length).toString('base64')}`,
  ].join('\r\n')

/** Base64 lines are 76 characters (RFC 2045 6.8): 57 bytes each. */
const LINE_BYTES = 57
const LINE_CHARS = 78
/** Lines of one chunk of a large body. */
const CHUNK_LINES = 512

function large(facts: SampleFacts): Sample {
  const boundary = `large-${facts.unique}`
  const text = ['Content-Type: text/plain', '', 'A large file is attached.']
  const part = [
    'Content-Type: application/octet-stream',
    'Content-Disposition: attachment; filename="large.bin"',
    'Content-Transfer-Encoding: base64',
  ]
  const type = `Content-Type: multipart/mixed; boundary="${boundary}"`
  const start = [...headers(facts, 'A large file', messageIdFor(facts.unique)), type, '', `--${boundary}`, ...text]
  const head = Buffer.from([...start, `--${boundary}`, ...part, '', ''].join('\r\n'))
  const tail = Buffer.from(`--${boundary}--\r\n`)
  const lines = Math.max(1, Math.floor((facts.sizeBytes - head.length - tail.length) / LINE_CHARS))
  return {
    sizeBytes: head.length + lines * LINE_CHARS + tail.length,
    body: largeBody({ head, tail, lines, lead: facts.unique }),
  }
}

/** Made as it is sent: a mail of gigabytes takes no memory. Its first bytes are the unique id, so that no two are equal. */
function* largeBody(large: { head: Buffer; tail: Buffer; lines: number; lead: string }): Generator<Buffer> {
  yield large.head
  let lead = Buffer.from(large.lead)
  for (let left = large.lines; left > 0; left -= CHUNK_LINES) {
    const content = Buffer.alloc(Math.min(left, CHUNK_LINES) * LINE_BYTES, 0x2e)
    lead.copy(content)
    lead = Buffer.alloc(0)
    yield Buffer.from(content.toString('base64').replace(/.{76}/g, '$&\r\n'))
  }
  yield large.tail
}
