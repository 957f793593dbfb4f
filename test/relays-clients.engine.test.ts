// Programs that hand mail in themselves: swaks, Python's smtplib, nodemailer, and the commands of the README.

import { execFile, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createTransport } from 'nodemailer'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nsdUnavailable, startNsd, txtData, type Nsd } from './engines/nsd.ts'
import { SWAKS_COMMAND, swaks, swaksUnavailable } from './engines/swaks.ts'
import { CREDENTIAL, openFrontDoor, sha256, TO, type FrontDoor } from './front-door.ts'
import { contentSaid, saidBy, wiretap } from './wiretap.ts'

const run = promisify(execFile)
const FROM = 'ann@sender.example'
const lacking = (program: string) =>
  spawnSync('sh', ['-c', `command -v ${program}`]).status === 0 ? undefined : `no ${program}`
const missing = swaksUnavailable() ?? nsdUnavailable()

const MAIL = `From: Ann <${FROM}>\r\nTo: ${TO}\r\nSubject: clients\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\n\r\n.\r\n..two\r\nbody\r\n`

describe.skipIf(missing)(`clients ${missing ?? ''}`, () => {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const publicKey = keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  let dns: Nsd
  let door: FrontDoor
  let mailFile: string

  beforeAll(async () => {
    dns = await startNsd({
      records: [['mail._domainkey.sender.example', 'TXT', txtData(`v=DKIM1; k=rsa; p=${publicKey}`)]],
    })
    door = await openFrontDoor({ SMTP_AUTHENTICATION: 'all', SMTP_DNS_SERVERS: dns.server })
    mailFile = join(door.folder, 'mail.eml')
    await writeFile(mailFile, MAIL)
  })
  afterAll(async () => {
    await door?.close()
    await dns?.stop()
  })

  const at = (port: number) => ['--server', 'localhost', '--port', String(port), '--from', FROM, '--to', TO]
  const trusting = () => ['--tls-verify', '--tls-ca-path', door.authority]

  describe('swaks', () => {
    test('commands in one packet, and content with dots', async () => {
      const tap = await wiretap(door.ports.smtp)
      const { status, transcript } = await swaks([...at(tap.port), '--pipeline', '--data', `@${mailFile}`])
      await tap.close()
      expect({ status, transcript }).toMatchObject({ status: 0 })
      const said = tap.sessions[0] ?? []
      expect(saidBy('client', said)).toContain(`RCPT TO:<${TO}>\r\nDATA\r\n`)
      const { raw } = await door.follow(transcript)
      expect(sha256(raw)).toBe(sha256(contentSaid(said)))
      expect(raw.toString()).toContain(MAIL)
    })

    test.each([
      ['PLAIN after STARTTLS', 'submission', ['--tls', '--auth', 'PLAIN']],
      ['LOGIN after STARTTLS', 'submission', ['--tls', '--auth', 'LOGIN']],
      ['TLS from the first octet', 'smtps', ['--tls-on-connect']],
    ] as const)('%s, with an attachment', async (_what, listener, how) => {
      const login = listener === 'submission' ? ['--auth-user', CREDENTIAL, '--auth-password', door.secret] : []
      const from = listener === 'submission' ? ['--from', TO] : []
      const attached = ['--attach-type', 'text/csv', '--attach-name', 'a.csv', '--attach', `@${mailFile}`]
      const words = [...at(door.ports[listener]), ...from, ...trusting(), ...how, ...login, ...attached]
      const { status, transcript } = await swaks(words)
      expect({ status, transcript }).toMatchObject({ status: 0 })
      const { row } = await door.follow(transcript)
      const documents = JSON.parse(String(await door.cli('messages', 'show', row.id, '--json'))) as unknown
      expect(documents).toMatchObject({ documents: [{ filename: 'a.csv' }] })
    })

    test('a wrong secret is 535, and in plain text none is asked for', async () => {
      const login = ['--auth', 'PLAIN', '--auth-user', CREDENTIAL, '--auth-password', 'wrong']
      const words = at(door.ports.submission)
      expect((await swaks([...words, ...trusting(), '--tls', ...login])).transcript).toMatch(/<~\* 535 5\.7\.8 /)
      expect((await swaks([...words, ...login])).transcript).toContain('Host did not advertise authentication')
    })
  })

  test.skipIf(lacking('python3'))('smtplib: STARTTLS, AUTH and SMTPUTF8', async () => {
    const script = `
import smtplib, ssl, sys
from email.message import EmailMessage
port, authority, user, secret = sys.argv[1:]
mail = EmailMessage()
mail['From'], mail['To'], mail['Subject'] = 'rosé@mail.localhost', 'rosé@mail.localhost', 'Grüße'
mail['Message-ID'] = '<smtplib@sender.example>'
mail.set_content('.\\nkörper\\n', cte='8bit')
client = smtplib.SMTP('localhost', int(port), timeout=30)
client.set_debuglevel(1)
client.starttls(context=ssl.create_default_context(cafile=authority))
client.login(user, secret)
assert client.send_message(mail) == {}
client.quit()
`
    const words = [String(door.ports.submission), door.authority, CREDENTIAL, door.secret]
    const { stderr } = await run('python3', ['-c', script, ...words], { env: { ...process.env, PYTHONUTF8: '1' } })
    expect(stderr).toMatch(/mail FROM:.*SMTPUTF8/i)
    const { row, raw } = await door.follow(stderr)
    expect(row).toMatchObject({
      subject: 'Grüße',
      mailFrom: 'rosé@mail.localhost',
      recipients: ['rosé@mail.localhost'],
    })
    expect(raw.toString()).toContain('\r\n\r\n.\r\nkörper\r\n')
  })

  test('nodemailer: one connection for several mails, each signed (RFC 6376 3)', async () => {
    const opened = 'mail_ingest_smtp_connections_total{listener="smtp",outcome="accepted"}'
    const before = await door.metric(opened)
    const pool = createTransport({
      pool: true,
      maxConnections: 1,
      host: 'localhost',
      port: door.ports.smtp,
      requireTLS: true,
      tls: { ca: await readFile(door.authority) },
      dkim: {
        domainName: 'sender.example',
        keySelector: 'mail',
        privateKey: String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' })),
      },
    })
    const mails = ['one', 'two', 'three'].map((subject) => ({ from: FROM, to: TO, subject, text: `${subject}\n.\n` }))
    const sent = await Promise.all(mails.map((mail) => pool.sendMail(mail)))
    pool.close()
    expect(await door.metric(opened)).toBe(before + 1)
    const { row } = await door.follow(sent[2]?.response ?? '')
    expect(row).toMatchObject({ subject: 'three', mailFrom: FROM })
    const traced = await door.cli('messages', 'raw', row.id, '--with-trace')
    expect(traced.toString()).toMatch(
      /^Authentication-Results: mail\.localhost;[^]*dkim=pass header\.d=sender\.example/m,
    )
  })

  const README = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const printed = README.split('\n').filter((line) => /^(swaks|curl) /.test(line))
  test.each(printed.map((line) => [line.split(' ')[0] ?? '', line]))('the README: %s', async (program, line) => {
    if (program !== 'swaks') expect(lacking(program)).toBeUndefined()
    const bin = join(door.folder, 'bin')
    await mkdir(bin, { recursive: true })
    await writeFile(join(bin, 'swaks'), `#!/bin/sh\nexec ${SWAKS_COMMAND.join(' ')} "$@"\n`)
    await chmod(join(bin, 'swaks'), 0o755)
    await writeFile(join(door.folder, 'report.pdf'), '%PDF-1.4\n')
    const command = line.replaceAll(':2525', `:${door.ports.smtp}`)
    expect(command).not.toBe(line)
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` }
    const { stdout, stderr } = await run('sh', ['-c', program === 'curl' ? `${command} -v` : command], {
      cwd: door.folder,
      env,
    })
    const { raw } = await door.follow(stdout + stderr)
    if (program === 'curl') expect(sha256(raw)).toBe(sha256(Buffer.from(MAIL)))
    else expect(raw.toString()).toMatch(/filename="report.pdf"/)
  })
})

describe.skipIf(swaksUnavailable())('swaks behind a balancer', () => {
  let door: FrontDoor
  beforeAll(async () => {
    door = await openFrontDoor({ SMTP_PROXY_FROM: '127.0.0.1', SMTP_AUTHENTICATION: 'off' })
  })
  afterAll(() => door?.close())

  test.each([
    ['1', '192.0.2.7', 'TCP4'],
    ['2', '2001:db8::7', 'AF_INET6'],
  ])('PROXY version %s names the client', async (version, address, family) => {
    const own = family === 'TCP4' ? '192.0.2.1' : '2001:db8::1'
    const header = [
      'version',
      version,
      'family',
      family,
      'source',
      address,
      'source-port',
      '4711',
      'dest',
      own,
      'dest-port',
      '25',
    ]
    const words = header.map((word, index) => (index % 2 === 0 ? `--proxy-${word}` : word))
    const more = version === '2' ? ['--proxy-command', 'PROXY', '--proxy-protocol', 'STREAM'] : []
    const to = ['--server', '127.0.0.1', '--port', String(door.ports.smtp), '--from', FROM, '--to', TO]
    const { transcript } = await swaks([...to, ...words, ...more])
    const { row } = await door.follow(transcript)
    expect(row).toMatchObject({ clientAddress: address })
  })
})
