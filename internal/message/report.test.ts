import { describe, expect, test } from 'vitest'
import { mail, parsed } from './fixtures.ts'

const TYPE = 'Content-Type: multipart/report; report-type=delivery-status; boundary=r'

/** A report of these parts, each with its header. */
const report = (...parts: string[]): string =>
  mail(TYPE, `${['\r\nnot delivered', ...parts].map((part) => `--r\r\n${part}\r\n`).join('')}--r--\r\n`)

const status = (text: string, type = 'message/delivery-status', more = ''): string =>
  `Content-Type: ${type}\r\n${more}\r\n${text.replaceAll(/\r?\n/g, '\r\n')}`

const ABOUT = `Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: QQ-314159
Arrival-Date: Mon, 3 Nov 2025 10:00:00 +0100
`
const FAILED = `
Original-Recipient: rfc822;Bob+x@example.net
Final-Recipient: RFC822; bob@example.net
Action: Failed (forever)
Status: 5.1.1 (no such user)
Remote-MTA: dns; relay.example.net [192.0.2.7]
Diagnostic-Code: smtp; 550 5.1.1
 no such
 user here
`
const RETURNED = 'Content-Type: message/rfc822\r\n\r\nMessage-ID: <one@example.org>\r\nSubject: hello\r\n\r\nbody\r\n'

describe('delivery reports', () => {
  test('what a report says of its mail and of each recipient (3464 2.2, 2.3)', async () => {
    const delayed = '\nFinal-Recipient: rfc822; carol@example.net\nAction: delayed\nStatus: 4.4.1\n'
    const { report: found, flags } = await parsed(report(status(ABOUT + FAILED + delayed), RETURNED))
    expect(flags).toEqual([])
    expect(found).toEqual({
      originalMessageId: '<one@example.org>',
      originalEnvelopeId: 'QQ-314159',
      reportingMta: 'mx.example.net',
      arrivalDate: '2025-11-03T09:00:00.000Z',
      recipients: [
        {
          originalRecipient: 'Bob+x@example.net',
          finalRecipient: 'bob@example.net',
          action: 'failed (forever)',
          status: '5.1.1',
          remoteMta: 'relay.example.net [192.0.2.7]',
          diagnostic: 'smtp; 550 5.1.1 no such user here',
        },
        { finalRecipient: 'carol@example.net', action: 'delayed', status: '4.4.1' },
      ],
    })
  })

  const HEADERS = 'Message-ID:\r\n <two@example.org>\r\nSubject: hello\r\n'
  test.each([
    [
      [status(ABOUT), `Content-Type: text/rfc822-headers\r\n\r\n${HEADERS}`],
      '<two@example.org>',
      '6522 4 headers only',
    ],
    [[status(ABOUT), `Content-Type: message/global-headers\r\n\r\n${HEADERS}`], '<two@example.org>', '6533 4.2'],
    [
      [status(ABOUT), `Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n${btoa(HEADERS)}`],
      '<two@example.org>',
      'encoded all the same',
    ],
    [
      [status(ABOUT), `Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nMessage-ID: <body@x>\r\n`],
      undefined,
      'not of its body',
    ],
    [[status(ABOUT)], undefined, '6522 3: nothing returned'],
    [[], undefined, 'no status part'],
  ])('the mail that is reported on: %j is %j (%s)', async (parts, id, _why) => {
    expect((await parsed(report(...parts))).report?.originalMessageId).toBe(id)
  })

  test('what a report answers says it where nothing is returned', async () => {
    const text = report(status(ABOUT + FAILED)).replace('Subject:', 'In-Reply-To: <three@example.org>\r\nSubject:')
    expect((await parsed(text)).report?.originalMessageId).toBe('<three@example.org>')
  })

  test.each([
    [FAILED, 1, 'no fields of the message'],
    [`${ABOUT}\n\n\n${FAILED}`, 1, 'many blank lines'],
    [`${ABOUT}Final-Recipient: rfc822; b@x\nAction: failed\n`, 1, 'no blank line'],
    ['', 0, 'empty'],
    ['no fields at all\n\n<html>', 0, 'something else'],
    [`${ABOUT}${'\nFinal-Recipient: rfc822; b@x\nAction: failed\n'.repeat(500)}`, 100, 'more recipients than are kept'],
  ])('%j has %i recipients (%s)', async (text, count, _why) => {
    expect((await parsed(report(status(text)))).report?.recipients).toHaveLength(count)
  })

  test('a report that is not said to be one, and one in UTF-8 (6533 4.1)', async () => {
    const plain = report(status(ABOUT + FAILED)).replace(TYPE, 'Content-Type: multipart/mixed; boundary=r')
    expect(await parsed(plain)).toMatchObject({ automatic: ['bounce'], report: { reportingMta: 'mx.example.net' } })
    const utf8 = status(FAILED.replace('bob@', 'j\u00c3\u00b6rg@'), 'message/global-delivery-status')
    expect((await parsed(report(utf8))).report?.recipients[0]?.finalRecipient).toBe('jörg@example.net')
  })

  test('Exim names those that failed in the header', async () => {
    const text = mail('X-Failed-Recipients: a@x, b@y,\r\nIn-Reply-To: <four@example.org>', 'could not be delivered')
    expect(await parsed(text)).toMatchObject({
      automatic: ['bounce'],
      report: {
        originalMessageId: '<four@example.org>',
        recipients: [
          { finalRecipient: 'a@x', action: 'failed' },
          { finalRecipient: 'b@y', action: 'failed' },
        ],
      },
    })
  })

  test('values are bounded and on one line; a report of a megabyte costs no more than its beginning', async () => {
    const long = `\nFinal-Recipient: rfc822; ${'b'.repeat(9000)}@x\nAction: failed\nDiagnostic-Code: smtp; \u001b[31m${'y'.repeat(9000)}\u202e\n`
    const late = '\nFinal-Recipient: rfc822; late@x\nAction: failed\n'
    const huge = status(ABOUT + long + 'X-Filler: z\n'.repeat(100_000) + late)
    const { report: found, flags } = await parsed(report(huge, RETURNED))
    expect(found?.originalMessageId).toBe('<one@example.org>')
    expect(flags).toContain('header_cut')
    expect(found?.recipients).toHaveLength(1)
    const [recipient] = found?.recipients ?? []
    expect(recipient?.finalRecipient).toHaveLength(500)
    expect(recipient?.diagnostic).toMatch(/^smtp; \[31my{400,}$/)
  })
})
