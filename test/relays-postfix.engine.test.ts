// Postfix hands mail on to the product: what it says is understood, what it hears is, and nothing is lost or doubled between the two.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { postfixUnavailable, startPostfix, type Postfix } from './engines/postfix.ts'
import { belowReceived, openFrontDoor, sha256, TO, type FrontDoor } from './front-door.ts'
import { drained } from './metrics.ts'
import { eventually, ingestctlJson, startSystem, temporaryFolder } from './system.ts'
import { contentSaid, wiretap, type Wiretap } from './wiretap.ts'

const missing = postfixUnavailable()
const FROM = 'ann@sender.example'
const MAILS = 22
/** A burst of fewer than those, and one more every three seconds. */
const MAILS_A_MINUTE = 20
const TEBIBYTE = String(1024 ** 4)

/** As a program of the relay's machine has it: lines end with LF. */
const mailOf = (subject: string, ...lines: readonly string[]) =>
  Buffer.from(
    [
      'From: Ann <ann@sender.example>',
      `To: ${TO}`,
      `Subject: ${subject}`,
      `Message-ID: <${subject}@sender.example>`,
      'Date: Sat, 28 Nov 2026 10:00:00 +0000',
      '',
      ...lines,
      '',
    ].join('\n'),
  )
const onTheWire = (mail: Buffer) => Buffer.from(mail.toString('latin1').replaceAll('\n', '\r\n'), 'latin1')

/** The answer to the delivery of the latest mail, once it is there. */
async function answered(postfix: Postfix, status: string): Promise<string> {
  const delivery = await eventually(
    async () => (await postfix.deliveries()).findLast((each) => each.status === status),
    30_000,
    `a delivery that is ${status}`,
  ).catch(async (error: unknown) => {
    throw new Error(await postfix.log(), { cause: error })
  })
  return delivery.answer
}

describe.skipIf(missing)(`Postfix ${missing ?? ''}`, () => {
  let door: FrontDoor
  beforeAll(async () => {
    door = await openFrontDoor()
  })
  afterAll(() => door?.close())

  let postfix: Postfix | undefined
  let tap: Wiretap | undefined
  afterEach(async () => {
    await postfix?.stop()
    await tap?.close()
    postfix = tap = undefined
  })

  const securely = () =>
    startPostfix(door.ports.smtp, {
      relayhost: `localhost:${door.ports.smtp}`,
      smtp_dns_support_level: 'enabled',
      smtp_host_lookup: 'native',
      smtp_tls_security_level: 'secure',
      smtp_tls_secure_cert_match: 'localhost',
      smtp_tls_CAfile: door.authority,
      smtp_tls_loglevel: '1',
    })

  test('in plain text, with commands in one packet (RFC 2920 3.1) and 8-bit content (RFC 6152 3)', async () => {
    tap = await wiretap(door.ports.smtp)
    postfix = await startPostfix(tap.port)
    const mail = mailOf('plain', '.', '..two', 'grüße', '', '.', '')
    await postfix.submit(FROM, [TO], mail)
    const { row, raw } = await door.follow(await answered(postfix, 'sent'))
    const said = tap.sessions[0] ?? []
    const packets = said.filter(({ by }) => by === 'client').map(({ octets }) => octets.toString('latin1'))
    expect(packets).toContainEqual(
      expect.stringMatching(/^MAIL FROM:<ann@sender.example> SIZE=\d+.*\r\nRCPT TO:<.*>.*\r\nDATA\r\n$/),
    )
    expect(sha256(raw)).toBe(sha256(contentSaid(said)))
    expect(sha256(belowReceived(raw))).toBe(sha256(onTheWire(mail)))
    expect(row).toMatchObject({ sha256: sha256(raw), mailFrom: FROM, recipients: [TO], subject: 'plain' })
  })

  test('over STARTTLS, with a certificate that it demands, and internationalized (RFC 6531 3.3)', async () => {
    postfix = await securely()
    const mail = mailOf('Grüße', 'körper')
    await postfix.submit('jürgen@sender.example', ['rosé@mail.localhost'], mail)
    const { row, raw } = await door.follow(await answered(postfix, 'sent'))
    expect(await postfix.log()).toMatch(/Verified TLS connection established to localhost\S*: TLSv1\.3/)
    expect(sha256(belowReceived(raw))).toBe(sha256(onTheWire(mail)))
    expect(row).toMatchObject({ mailFrom: 'jürgen@sender.example', recipients: ['rosé@mail.localhost'] })
    const traced = await door.cli('messages', 'raw', row.id, '--with-trace')
    expect(traced.toString()).toMatch(/with UTF8SMTPS id .*\s+for <rosé@mail\.localhost>\s+tls TLS_\w+ \(TLSv1\.3\)/)
  })

  test('a 5xx is told to its sender by Postfix, and the report is let in', async () => {
    postfix = await securely()
    await postfix.submit(TO, ['nobody@mail.localhost'], mailOf('lost'))
    expect(await answered(postfix, 'bounced')).toContain('said: 550 5.1.1 ')
    const { row, raw } = await door.follow(await answered(postfix, 'sent'))
    expect(row).toMatchObject({ mailFrom: '', recipients: [TO] })
    expect(raw.toString()).toMatch(/^Final-Recipient: rfc822; nobody@mail\.localhost\r\n/m)
    expect(raw.toString()).toMatch(/^Status: 5\.1\.1\r\n/m)
  })
})

test.skipIf(missing)('what gets 452, for a full disk and for a tenant’s rate, comes later, once each', async () => {
  const folder = temporaryFolder()
  const full = await startSystem(folder, { SPOOL_FREE_MIN: TEBIBYTE, SPOOL_FREE_RESUME: TEBIBYTE })
  const postfix = await startPostfix(full.smtpPort)
  try {
    const subjects = Array.from({ length: MAILS }, (_, nth) => `mail-${nth}`)
    for (const subject of subjects) await postfix.submit(FROM, [TO], mailOf(subject))
    expect(await answered(postfix, 'deferred')).toMatch(/said: 452 4\.3\.1 /)
    await full.stop()

    const settings = { SMTP_PORT: String(full.smtpPort), SMTP_TENANT_MESSAGE_RATE: String(MAILS_A_MINUTE) }
    await startSystem(folder, settings)
    const sent = await eventually(
      async () => {
        const done = (await postfix.deliveries()).filter(({ status }) => status === 'sent')
        return done.length >= MAILS ? done : undefined
      },
      60_000,
      'the last delivery',
    )
    const answers = (await postfix.deliveries()).map(({ answer }) => answer)
    expect(answers.filter((answer) => /said: 452 4\.2\.2 /.test(answer)).length).toBeGreaterThan(0)
    expect(new Set(sent.map(({ queueId }) => queueId)).size).toBe(MAILS)
    await drained({ dataDir: folder }, 60_000, settings)
    const rows = await ingestctlJson<{ subject: string; duplicateOf: unknown }[]>(
      folder,
      ['messages', 'list'],
      settings,
    )
    expect(rows.map(({ subject }) => subject).toSorted()).toEqual(subjects.toSorted())
    expect(rows.filter(({ duplicateOf }) => duplicateOf !== null)).toEqual([])
  } finally {
    await postfix.stop()
  }
})
