// TLS as real clients see it: certificates by name, certificates that change, handshakes that never end.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import { createTransport } from 'nodemailer'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openBed, type Bed, type BedOptions } from './testing/bed.ts'
import { makePair } from './testing/certificates.ts'
import { Client } from './testing/client.ts'
import { openCertificates, type KeyPair } from './smtp.ts'

let dir: string
let bed: Bed
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tls-'))
})
afterEach(async () => {
  await bed.close()
  rmSync(dir, { recursive: true })
})

/** A client that has had its 220 to STARTTLS. */
async function ready(): Promise<Client> {
  const client = new Client(bed.port)
  await client.hello()
  expect(await client.say('STARTTLS')).toMatch(/^220 2\.0\.0/)
  return client
}

/** The name in the certificate that a client gets who asks for `servername`. */
async function shownTo(servername?: string): Promise<string | string[] | undefined> {
  const client = await ready()
  const socket = await client.secure(servername === undefined ? {} : { servername })
  const name = socket?.getPeerCertificate().subject.CN
  client.socket.destroy()
  return name
}

const metric = async (line: string): Promise<boolean> =>
  (await bed.registry.metrics()).includes(`\nmail_ingest_${line}\n`)

test('each name gets its certificate, every other name the first (RFC 6066 3)', async () => {
  bed = await openBed({
    tls: [makePair(dir, 'one', ['mx.example', 'mx2.example']), makePair(dir, 'two', ['*.other.example'])],
  })
  expect(await shownTo()).toBe('mx.example')
  expect(await shownTo('mx2.example')).toBe('mx.example')
  expect(await shownTo('in.other.example')).toBe('*.other.example')
  expect(await shownTo('IN.other.example')).toBe('*.other.example')
  expect(await shownTo('a.b.other.example')).toBe('mx.example')
})

describe('a certificate that changes', () => {
  let pair: KeyPair
  const replace = ({ cert, key }: KeyPair) => {
    copyFileSync(cert, pair.cert)
    copyFileSync(key, pair.key)
  }
  const look = () => bed.certificates?.look()
  beforeEach(async () => {
    pair = makePair(dir, 'used', ['old.example'])
    // Two days from now, so that one can be over.
    bed = await openBed({ tls: [pair], now: () => Date.now() + 2 * 86_400_000 })
  })

  test('is shown from the next handshake on, and no session is dropped', async () => {
    const open = await ready()
    await open.secure()
    expect(await open.say('EHLO c')).toMatch(/^250/)
    replace(makePair(dir, 'fresh', ['new.example'], 90))
    await look()
    expect(await shownTo()).toBe('new.example')
    expect(await open.say('NOOP')).toMatch(/^250/)
    expect(await open.mail('Subject: x\r\n\r\n')).toMatch(/^250/)
    expect(await metric('tls_reloads_total{result="ok"} 1')).toBe(true)
    const text = await bed.registry.metrics()
    const expiry = Number(/^mail_ingest_tls_certificate_expiry_timestamp_seconds (\S+)$/m.exec(text)?.[1])
    expect(Math.abs(expiry - Date.now() / 1000 - 90 * 86_400)).toBeLessThan(3600)
  })

  test('is looked for every five seconds', async () => {
    const stop = new AbortController()
    const registry = new Registry()
    const sleptMs: number[] = []
    const sleep = async (ms: number) => {
      if (sleptMs.push(ms) === 1) replace(makePair(dir, 'fresh', ['new.example']))
      else stop.abort()
    }
    const silent = { info() {}, warn() {} }
    const clock = { now: () => Date.now(), sleep }
    await (await openCertificates({ pairs: [pair], registry, clock, log: silent })).follow(stop.signal)
    expect(sleptMs).toEqual([5000, 5000])
    expect(await registry.metrics()).toContain('\nmail_ingest_tls_reloads_total{result="ok"} 1\n')
  })

  const fresh = () => makePair(dir, 'fresh', ['new.example'])
  test.each<[string, () => void]>([
    ['whose key is another’s', () => copyFileSync(fresh().cert, pair.cert)],
    ['that is out of date', () => replace(makePair(dir, 'over', ['new.example'], 1))],
    ['that is none', () => writeFileSync(pair.cert, 'nothing')],
    ['whose file is gone', () => rmSync(pair.key)],
  ])('%s changes nothing but the metric, once, until there is a good one', async (_what, spoil) => {
    spoil()
    await look()
    await look()
    expect(await shownTo()).toBe('old.example')
    expect(await metric('tls_reloads_total{result="failed"} 1')).toBe(true)
    expect(await metric('tls_reload_failing 1')).toBe(true)
    replace(makePair(dir, 'good', ['good.example']))
    await look()
    expect(await shownTo()).toBe('good.example')
    expect(await metric('tls_reload_failing 0')).toBe(true)
  })

  test('is as good as new when the old files come back', async () => {
    const kept = { cert: join(dir, 'kept.crt'), key: join(dir, 'kept.key') }
    copyFileSync(pair.cert, kept.cert)
    copyFileSync(pair.key, kept.key)
    rmSync(pair.cert)
    await look()
    expect(await metric('tls_reload_failing 1')).toBe(true)
    replace(kept)
    await look()
    expect(await metric('tls_reload_failing 0')).toBe(true)
  })
})

test('TLS 1.2 and 1.3 are spoken, TLS 1.1 is not (RFC 8996 5)', async () => {
  bed = await openBed({ tls: true })
  const versions = ['TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const
  const spoken = []
  for (const version of versions) {
    const client = await ready()
    const ciphers = 'DEFAULT@SECLEVEL=0'
    const socket = await client.secure({ minVersion: version, maxVersion: version, ciphers })
    spoken.push(socket?.getProtocol())
    client.socket.destroy()
  }
  expect(spoken).toEqual([undefined, 'TLSv1.2', 'TLSv1.3'])
  expect(await metric('smtp_tls_handshakes_total{version="none",result="failed"} 1')).toBe(true)
  expect(await metric('smtp_tls_handshakes_total{version="1.2",result="ok"} 1')).toBe(true)
})

test('where TLS comes first, a session too many costs no handshake', async () => {
  bed = await openBed({ listener: 'smtps', limits: { sessionsMax: 1 } })
  const first = new Client(bed.port)
  await once(first.socket, 'connect')
  await first.secure()
  await first.hello()
  expect(await new Client(bed.port).reply()).toBeUndefined()
  expect(await metric('smtp_tls_handshakes_total{version="1.3",result="ok"} 1')).toBe(true)
  expect(await metric('smtp_connections_total{listener="smtps",outcome="limit"} 1')).toBe(true)
  expect(await metric('rate_limited_total{limiter="sessions"} 1')).toBe(true)
  first.socket.destroy()
})

describe('nobody is waited for', () => {
  const cases: [string, number, BedOptions, string[], string][] = [
    ['a handshake', 30, { tls: true }, ['EHLO c', 'STARTTLS'], '\x16'],
    ['a handshake of implicit TLS', 30, { listener: 'smtps' }, [], '\x16'],
    ['a PROXY header', 5, { proxies: ['127.0.0.1'] }, [], 'PROXY '],
  ]
  test.each(cases)('who never ends %s has %d seconds', async (_what, seconds, options, lines, start) => {
    let nowMs = 0
    const limits = { idleTimeoutMs: 100, sessionTimeoutMs: 3_600_000 }
    bed = await openBed({ ...options, limits, monotonic: () => nowMs })
    const client = new Client(bed.port)
    if (lines.length > 0) await client.reply()
    for (const line of lines) await client.say(line)
    client.send(start)
    for (const atMs of [0, seconds * 1000]) {
      nowMs = atMs
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(bed.door.sessions()).toBe(1)
    }
    nowMs += 1
    await client.closed
    expect(await client.reply()).toBeUndefined()
  })

  test('and on shutdown no word of ours gets into a handshake', async () => {
    bed = await openBed({ tls: true })
    const client = await ready()
    const closed = bed.door.close(300)
    await client.secure()
    expect(await client.reply()).toMatch(/^421 4\.3\.2/)
    await closed
  })
})

describe('real clients', () => {
  test('openssl s_client', async () => {
    bed = await openBed({ tls: true })
    const child = spawn(
      'openssl',
      ['s_client', '-starttls', 'smtp', '-connect', `127.0.0.1:${bed.port}`, '-quiet', '-crlf'],
      { stdio: ['pipe', 'pipe', 'ignore'] },
    )
    child.stdin.write('EHLO c\n')
    let text = ''
    for await (const chunk of child.stdout) {
      text += String(chunk)
      if (/250 LIMITS/.test(text.slice(text.indexOf('PIPELINING')))) child.stdin.end('QUIT\n')
    }
    expect(text).toContain('221 2.0.0 bye')
  })

  const message = { from: 'ann@acme.example', to: 'ann@acme.example', subject: 'x', text: 'y' }
  const auth = { user: 'app', pass: 'open sesame' }
  test.each([
    ['STARTTLS', { tls: true }, { requireTLS: true }, 'ESMTPS'],
    ['implicit TLS', { listener: 'smtps' }, { secure: true }, 'ESMTPS'],
    ['submission, PLAIN', { listener: 'submission' }, { auth, authMethod: 'PLAIN' }, 'ESMTPSA'],
    ['submission, LOGIN', { listener: 'submission' }, { auth, authMethod: 'LOGIN' }, 'ESMTPSA'],
  ] as [string, BedOptions, object, string][])('nodemailer by %s', async (_what, options, how, protocol) => {
    bed = await openBed(options)
    const transport = createTransport({ host: '127.0.0.1', port: bed.port, tls: { rejectUnauthorized: false }, ...how })
    const { response } = await transport.sendMail(message)
    transport.close()
    expect(response).toMatch(/^250 2\.0\.0 accepted/)
    const [entry] = await bed.kept()
    expect(entry?.envelope.traceHeaders.received).toContain(`with ${protocol} id`)
    expect(entry?.envelope.submitted).toBe(protocol === 'ESMTPSA' ? true : undefined)
    expect(entry?.envelope.client.tls).toEqual({ version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' })
  })

  test('Python’s smtplib', async () => {
    bed = await openBed({ listener: 'submission' })
    const script = `
import smtplib, ssl
s = smtplib.SMTP('127.0.0.1', ${bed.port})
s.starttls(context=ssl._create_unverified_context())
s.login('app', 'open sesame')
print(s.sendmail('ann@acme.example', ['ann@acme.example'], 'Subject: x\\r\\n\\r\\ny\\r\\n'))
s.quit()`
    const child = spawn('python3', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (chunk) => (text += String(chunk)))
    child.stderr.on('data', (chunk) => (text += String(chunk)))
    await new Promise((resolve) => child.on('close', resolve))
    expect(text).toBe('{}\n')
    expect(await bed.kept()).toHaveLength(1)
  })
})
