// Header values and plain text go around the parser's streams; here its streams say what must come of it.

import * as fc from 'fast-check'
import { MailParser, type AddressObject, type HeaderValue, type MessageText } from 'mailparser'
import { expect, test } from 'vitest'
import { decodeFields, decodeText } from './decode.ts'
import type { Part } from './structure.ts'

const OPTIONS = { skipHtmlToText: true, skipTextToHtml: true, skipTextLinks: true, skipImageLinks: true }

async function streamed(message: Buffer): Promise<{ headers: Map<string, HeaderValue>; text: string }> {
  const parser = new MailParser(OPTIONS)
  let headers = new Map<string, HeaderValue>()
  let text = ''
  parser.on('headers', (found) => (headers = found))
  parser.on('data', (data: MessageText) => (text = data.text ?? ''))
  const over = new Promise((resolve, reject) => parser.on('end', resolve).on('error', reject))
  parser.end(message)
  await over
  return { headers, text }
}

const wordFrom = (...words: string[]) =>
  fc.array(fc.constantFrom(...words), { maxLength: 12 }).map((all) => all.join(''))

test('header values are those of the parser', async () => {
  const words = ['Ann', ' ', '<', '>', '@', 'x.example', '"', ',', ';', ':', '(', ')', '\\', 'ü', '=?utf-8?q?a=C3=A9?=']
  const value = wordFrom(...words, '=?windows-1252?b?6Q==?=', '=?utf-8?b?QSA8YUBiPg==?=', 'a@xn--mnchen-3ya.de').map(
    (each) => each.trim(),
  )
  await fc.assert(
    fc.asyncProperty(value, value, value, async (from, to, subject) => {
      const fields = Object.entries({ from, to, subject }).map(([name, each]) => ({
        name,
        value: each,
        latin1: false,
        cut: false,
      }))
      const head = fields.map((field) => `${field.name}: ${field.value}\r\n`).join('')
      const { headers } = await streamed(Buffer.from(`${head}\r\n`))
      const decoded = decodeFields(fields)
      expect(decoded.subject).toBe(headers.get('subject'))
      for (const name of ['from', 'to'] as const) {
        const plain = (headers.get(name) as AddressObject | undefined)?.value.flatMap((each) => each.group ?? [each])
        const found = decoded.addresses.get(name)
        expect(found).toEqual(plain?.map((each) => ({ name: each.name, address: each.address ?? '' })))
      }
    }),
  )
})

const plain = (charset: string): Part => ({
  type: { value: 'text/plain', params: charset === '' ? [] : [{ name: 'charset', raw: charset }] },
  disposition: { value: '', params: [] },
  encoding: '8bit',
  contentId: '',
  bodyStart: 0,
  bodyEnd: 0,
  children: [],
})

test('text without an encoding is that of the parser', async () => {
  const body = wordFrom('a line', '\r\n', '\n', '\r', ' ', 'ü', '\ufeff', '--b\r\n', 'From x', '.\r\n', '\u2028', '\0')
  await fc.assert(
    fc.asyncProperty(body, fc.constantFrom('', 'utf-8', 'us-ascii'), async (each, charset) => {
      const bytes = Buffer.from(each)
      const range = { raw: { bytes }, start: 0, end: bytes.length, bareCr: false }
      const message = Buffer.concat([Buffer.from('Content-Type: text/plain; charset=utf-8\r\n\r\n'), bytes])
      const { text } = await streamed(message)
      // A mark at the very beginning says that it is UTF-8, where nothing else does (WHATWG Encoding 6).
      const expected = charset === 'utf-8' ? text : text.replace(/^\ufeff/, '')
      expect((await decodeText(plain(charset), range)).text).toBe(expected)
    }),
  )
})
