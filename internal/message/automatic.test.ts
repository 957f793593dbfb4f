import { describe, expect, test } from 'vitest'
import { mail, parsed } from './fixtures.ts'

describe('kinds of automatic mail', () => {
  test.each([
    ['', [], 'nothing said'],
    ['Auto-Submitted: no', [], '3834 5: no'],
    ['Auto-Submitted: NO (a person); x=y', [], '3834 5: any case, a comment, a parameter'],
    ['Auto-Submitted: auto-replied', ['auto_reply'], '3834 5'],
    ['Auto-Submitted: auto-generated; owner-email="x"', ['auto_reply'], '3834 5'],
    ['Auto-Submitted: (no) auto-notified', ['auto_reply'], '5436 2.7.1; a comment says nothing'],
    ['Auto-Submitted: whatever', ['auto_reply'], '3834 2: anything but no'],
    ['Auto-Submitted: no\r\nAuto-Submitted: auto-replied', ['auto_reply'], 'a second field hides nothing'],
    ['Precedence: bulk', ['list'], '3834 2'],
    ['Precedence: LIST', ['list'], '3834 2'],
    ['Precedence: junk', ['list'], '3834 2'],
    ['Precedence: first-class', [], 'not one of those'],
    ['Precedence: auto_reply', ['auto_reply'], 'as some responders say'],
    ['X-Auto-Response-Suppress: DR, OOF, AutoReply', ['auto_reply'], 'MS-OXCMAIL 2.2.3.2.14'],
    ['X-Auto-Response-Suppress: DR, RN', [], 'asks for no receipts, and for nothing else'],
    ['X-Autoreply: yes', ['auto_reply'], 'as some responders say'],
    ['X-Autoreply: no', [], 'as others say'],
    ['X-Loop: list@example.org', ['auto_reply'], 'as some responders say'],
    ['List-Id: <l.example.org>', ['list'], '2919 3'],
    ['List-Unsubscribe: <mailto:u@example.org>', ['list'], '2369 3.2'],
    ['List-Post: NO', ['list'], '2369 3.4'],
    ['List-Id: <l.example.org>\r\nAuto-Submitted: auto-generated', ['auto_reply', 'list'], 'both'],
    ['Content-Type: multipart/report; report-type=delivery-status; boundary=b', ['bounce'], '3464 2'],
    ['Content-Type: multipart/report; boundary=b; report-type="Delivery-Status"', ['bounce'], '3464 2: any case'],
    ['Content-Type: multipart/report; report-type=disposition-notification; boundary=b', ['auto_reply'], '8098 3'],
    ['Content-Type: multipart/mixed; boundary=b; report-type=delivery-status', [], '6522 3: another type'],
    ['X-Failed-Recipients: bob@example.net', ['bounce'], 'as Exim says'],
  ])('%j: %j (%s)', async (more, kinds, _why) => {
    expect((await parsed(mail(more, '--b\r\n\r\nx\r\n--b--\r\n'))).automatic).toEqual(kinds)
  })

  test('a mark behind a thousand other fields counts', async () => {
    const others = Array.from({ length: 1000 }, (_, n) => `List-Archivex: ${n}\r\nReceived-SPF: none ${n}`).join('\r\n')
    expect((await parsed(mail(`${others}\r\nAuto-Submitted: auto-replied`))).automatic).toEqual(['auto_reply'])
  })
})
