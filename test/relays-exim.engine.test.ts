// Exim hands mail on to the product in chunks (RFC 3030 2), which keep line ends that DATA could not carry.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eximUnavailable, startExim, type Exim } from './engines/exim.ts'
import { belowReceived, openFrontDoor, sha256, TO, type FrontDoor } from './front-door.ts'
import { saidBy, wiretap, type Wiretap } from './wiretap.ts'

const missing = eximUnavailable()
const FROM = 'ann@sender.example'
const HEADER = `From: Ann <ann@sender.example>\r\nTo: ${TO}\r\nSubject: chunks\r\nMessage-ID: <chunks@sender.example>\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\n\r\n`
const CHUNKS_OK = 'mail_ingest_smtp_commands_total{command="BDAT",code_class="2xx"}'

describe.skipIf(missing)(`Exim ${missing ?? ''}`, () => {
  let door: FrontDoor
  beforeAll(async () => {
    door = await openFrontDoor()
  })
  afterAll(() => door?.close())

  let exim: Exim | undefined
  let tap: Wiretap | undefined
  afterEach(async () => {
    await exim?.stop()
    await tap?.close()
    exim = tap = undefined
  })

  test('in plain text, chunks with bare LF and dots come as they are', async () => {
    tap = await wiretap(door.ports.smtp)
    exim = await startExim(tap.port, { hosts_avoid_tls: '*' })
    const mail = `${HEADER}bare\nLF\n.\n..\r\n.\r\nend\r\n`
    const before = await door.metric(CHUNKS_OK)
    await exim.say(
      `EHLO me.example\r\nMAIL FROM:<${FROM}>\r\nRCPT TO:<${TO}>\r\nBDAT ${mail.length} LAST\r\n${mail}QUIT\r\n`,
    )
    const { row, raw } = await door.follow(await exim.log())
    const said = saidBy('client', tap.sessions[0] ?? [])
    expect(said).toMatch(/MAIL FROM:<ann@sender.example> SIZE=\d+\r\nRCPT TO:<.*>\r\nBDAT \d+ LAST\r\n/)
    const [, octets = '', content = ''] = /BDAT (\d+) LAST\r\n([^]*)QUIT\r\n$/.exec(said) ?? []
    expect(raw.length).toBe(Number(octets))
    expect(sha256(raw)).toBe(sha256(Buffer.from(content, 'latin1')))
    expect(sha256(belowReceived(raw))).toBe(sha256(Buffer.from(mail)))
    expect(row).toMatchObject({ sha256: sha256(raw), mailFrom: FROM, recipients: [TO] })
    expect(await door.metric(CHUNKS_OK)).toBe(before + 1)
  })

  test('over STARTTLS, with a certificate that it demands, in several chunks', async () => {
    exim = await startExim(door.ports.smtp, {
      hosts_require_tls: '*',
      tls_verify_certificates: door.authority,
      tls_verify_hosts: '*',
    })
    const mail = HEADER + `${'x'.repeat(98)}\r\n`.repeat(10_000)
    const before = await door.metric(CHUNKS_OK)
    await exim.submit(FROM, [TO], Buffer.from(mail.replaceAll('\r\n', '\n')))
    const log = await exim.log()
    expect(log).toMatch(/ X=TLS1\.3:\S+ CV=yes .* K C="250 2\.0\.0 accepted/)
    const { raw } = await door.follow(log)
    expect(sha256(belowReceived(raw))).toBe(sha256(Buffer.from(mail)))
    expect(await door.metric(CHUNKS_OK)).toBeGreaterThan(before + 1)
  })
})
