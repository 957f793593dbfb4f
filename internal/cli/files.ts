// Small valid files made in code, one of each kind that people attach. Nothing is read from disk.

import { crc32, deflateSync } from 'node:zlib'

export interface SampleFile {
  filename: string
  contentType: string
  content: Buffer
}

const ROWS = [
  ['order', 'item', 'quantity', 'price'],
  ['4711', 'Blue pens', '20', '1.50'],
  ['4711', 'Paper, A4', '5', '4.20'],
]

const OFFICE = 'application/vnd.openxmlformats-officedocument'

/** File kinds by the name that `send` takes. */
export const FILES = {
  pdf: () => file('invoice.pdf', 'application/pdf', pdf('Invoice 4711')),
  xlsx: () => file('prices.xlsx', `${OFFICE}.spreadsheetml.sheet`, xlsx(ROWS)),
  docx: () => file('letter.docx', `${OFFICE}.wordprocessingml.document`, docx('Please find the order attached.')),
  csv: () => file('order.csv', 'text/csv', csv()),
  zip: () => file('order.zip', 'application/zip', zip([['order.csv', csv()]])),
  png: () => file('logo.png', 'image/png', png(16)),
  txt: () => file('notes.txt', 'text/plain', Buffer.from('Deliver before noon.\r\n')),
  json: () => file('order.json', 'application/json', Buffer.from(JSON.stringify({ order: 4711, items: 2 }))),
} as const satisfies Record<string, () => SampleFile>

const file = (filename: string, contentType: string, content: Buffer): SampleFile => ({
  filename,
  contentType,
  content,
})

const csv = (): Buffer => Buffer.from(`${ROWS.map((row) => row.map(csvCell).join(',')).join('\r\n')}\r\n`)

const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text) // RFC 4180 2

/** One page with one line of text (ISO 32000-1 7.5): objects, the cross-reference table with their offsets, the trailer. */
export function pdf(title: string): Buffer {
  const draw = `BT /F1 18 Tf 72 720 Td (${title.replace(/[\\()]/g, '\\$&')}) Tj ET`
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
    `<< /Length ${draw.length} >>\nstream\n${draw}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ]
  let text = '%PDF-1.4\n'
  const offsets = objects.map((body, at) => {
    const offset = text.length
    text += `${at + 1} 0 obj\n${body}\nendobj\n`
    return offset
  })
  const table = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('')
  const size = objects.length + 1
  text += `xref\n0 ${size}\n0000000000 65535 f \n${table}trailer\n<< /Size ${size} /Root 1 0 R >>\n`
  return Buffer.from(`${text}startxref\n${text.indexOf('xref\n')}\n%%EOF\n`, 'latin1')
}

/** 1 January 1980, the first day a ZIP can name: the same bytes each time. */
const DOS_DATE = 0x21

/** A ZIP of stored members (PKWARE APPNOTE 4.3): local headers with content, the central directory, its end record. */
export function zip(members: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  const locals: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const [name, content] of members) {
    const facts = memberFacts(name, content)
    const local = Buffer.concat([word(0x04034b50), half(20), facts, Buffer.from(name), content])
    const place = [half(0), half(0), half(0), word(0), word(offset)] // comment, disk, attributes, offset
    central.push(Buffer.concat([word(0x02014b50), half(20), half(20), facts, ...place, Buffer.from(name)]))
    locals.push(local)
    offset += local.length
  }
  const directory = Buffer.concat(central)
  const counts = [half(0), half(0), half(members.length), half(members.length)]
  const end = [word(0x06054b50), ...counts, word(directory.length), word(offset), half(0)]
  return Buffer.concat([...locals, directory, ...end])
}

/** What both headers of a member say: flags (UTF-8 names), stored, time, date, CRC, sizes, length of name and extra. */
const memberFacts = (name: string, content: Buffer): Buffer =>
  Buffer.concat([
    half(0x0800),
    half(0),
    half(0),
    half(DOS_DATE),
    word(crc32(content)),
    word(content.length),
    word(content.length),
    half(Buffer.byteLength(name)),
    half(0),
  ])

function half(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

const XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
const PACKAGE = 'http://schemas.openxmlformats.org/package/2006'
const DOCUMENT = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships'
const MAIN = 'http://schemas.openxmlformats.org'

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const part = (name: string, xml: string): [string, Buffer] => [name, Buffer.from(XML + xml)]
const contentTypes = (overrides: readonly (readonly [string, string])[]): [string, Buffer] => {
  const rows = overrides.map(([name, type]) => `<Override PartName="/${name}" ContentType="${type}+xml"/>`).join('')
  const rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
  return part('[Content_Types].xml', `<Types xmlns="${PACKAGE}/content-types">${rels}${rows}</Types>`)
}
const relations = (name: string, type: string, target: string): [string, Buffer] => {
  const row = `<Relationship Id="rId1" Type="${DOCUMENT}/${type}" Target="${target}"/>`
  return part(name, `<Relationships xmlns="${PACKAGE}/relationships">${row}</Relationships>`)
}

/** A workbook of one sheet with inline strings (ECMA-376 part 1, 18.2). */
export function xlsx(rows: readonly (readonly string[])[]): Buffer {
  const cell = (text: string) => `<c t="inlineStr"><is><t>${escaped(text)}</t></is></c>`
  const data = rows.map((row) => `<row>${row.map(cell).join('')}</row>`).join('')
  const main = `${MAIN}/spreadsheetml/2006/main`
  const sheets = '<sheets><sheet name="Prices" sheetId="1" r:id="rId1"/></sheets>'
  return zip([
    contentTypes([
      ['xl/workbook.xml', `${OFFICE}.spreadsheetml.sheet.main`],
      ['xl/worksheets/sheet1.xml', `${OFFICE}.spreadsheetml.worksheet`],
    ]),
    relations('_rels/.rels', 'officeDocument', 'xl/workbook.xml'),
    part('xl/workbook.xml', `<workbook xmlns="${main}" xmlns:r="${DOCUMENT}">${sheets}</workbook>`),
    relations('xl/_rels/workbook.xml.rels', 'worksheet', 'worksheets/sheet1.xml'),
    part('xl/worksheets/sheet1.xml', `<worksheet xmlns="${main}"><sheetData>${data}</sheetData></worksheet>`),
  ])
}

/** A document of one paragraph (ECMA-376 part 1, 17.2). */
export function docx(text: string): Buffer {
  const main = `${MAIN}/wordprocessingml/2006/main`
  const body = `<w:body><w:p><w:r><w:t>${escaped(text)}</w:t></w:r></w:p></w:body>`
  return zip([
    contentTypes([['word/document.xml', `${OFFICE}.wordprocessingml.document.main`]]),
    relations('_rels/.rels', 'officeDocument', 'word/document.xml'),
    part('word/document.xml', `<w:document xmlns:w="${main}">${body}</w:document>`),
  ])
}

/** A grey square (RFC 2083 3): eight bits a sample, no filter. */
export function png(side: number): Buffer {
  const size = Buffer.alloc(8)
  size.writeUInt32BE(side, 0)
  size.writeUInt32BE(side, 4)
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(side, 0x99)])
  const pixels = deflateSync(Buffer.concat(Array<Buffer>(side).fill(row)))
  const header = Buffer.concat([size, Buffer.from([8, 0, 0, 0, 0])])
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', pixels), chunk('IEND', Buffer.alloc(0))])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const ends = Buffer.alloc(8)
  ends.writeUInt32BE(data.length, 0)
  ends.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)])
}
