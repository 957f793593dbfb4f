// A mail's whole life through the real ports: SMTP in, command line out.

import { readFileSync } from 'node:fs'
import { createTransport } from 'nodemailer'
import { describe, expect, test } from 'vitest'
import { entryIdOf, mailOf, Session } from './mail.ts'
import { drained, samples, total } from './metrics.ts'
import { eventually, ingestctl, ingestctlJson, startSystem, temporaryFolder, type System } from './system.ts'

interface Row {
  id: string
  entryId: string
  tenant: string
  mailbox: string
  status: string
  messageId: string
  subject: string
  sizeBytes: number
  sha256: string
  traceId: string
  duplicateOf?: string
  threadId?: string
  documents: { id: string; filename: string; contentType: string; sizeBytes: number; sha256: string }[]
}

const MIB = 1024 * 1024
const ACME = 'orders+acme@mail.localhost'

async function send(system: System, body: Buffer, to: readonly string[] = [ACME]): Promise<string> {
  const session = await Session.open(system.smtpPort)
  const reply = await session.send('ann@sender.example', to, body)
  session.close()
  return reply
}

const indexed = (system: System, entryId: string): Promise<Row> =>
  eventually(async () => {
    const { status, stdout } = await ingestctl(system.dataDir, ['messages', 'show', entryId, '--json'])
    if (status !== 0) return undefined
    const row = JSON.parse(stdout.toString()) as Row
    return row.status === 'RECEIVED' || row.status === 'STORED' ? undefined : row
  })

describe('one message', () => {
  test('is answered, indexed, shown, downloaded and traced by the id of its 250', async () => {
    const system = await startSystem(temporaryFolder())
    const body = mailOf('life', 3000)
    const reply = await send(system, body)
    expect(reply).toMatch(/^250 2\.0\.0 accepted id=[0-9a-f-]{36} trace=[0-9a-f]{32}$/)
    const [, entryId = '', traceId = ''] = /id=(\S+) trace=(\S+)/.exec(reply) ?? []

    const row = await indexed(system, entryId)
    expect(row).toMatchObject({
      entryId,
      tenant: 'acme',
      status: 'PARSED',
      messageId: '<life@sender.example>',
      subject: 'token life',
      sizeBytes: body.length,
      traceId,
    })

    const raw = await ingestctl(system.dataDir, ['messages', 'raw', row.id])
    expect(raw.stdout.equals(body)).toBe(true)
    const withTrace = (await ingestctl(system.dataDir, ['messages', 'raw', row.id, '--with-trace'])).stdout.toString()
    expect(withTrace).toMatch(/^Return-Path: <ann@sender\.example>\r\nReceived: from client\.example /)
    expect(withTrace).toContain(`id ${entryId}`)
    expect(withTrace.endsWith(body.toString())).toBe(true)

    const life = (await ingestctl(system.dataDir, ['trace', entryId])).stdout.toString()
    for (const step of ['ingest.received', 'objectstore.uploaded', 'indexer.indexed', row.id, traceId])
      expect(life).toContain(step)
    for (const id of [row.id, traceId]) {
      expect((await ingestctl(system.dataDir, ['trace', id])).stdout.toString()).toContain('indexer.indexed')
    }
    expect(system.lines.find((line) => line.includes(entryId))).toMatch(/received .* indexed in \d+ ms/)
    const log = readFileSync(`${system.dataDir}/ingest.log`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(
      log
        .filter((line) => line['traceId'] === traceId && line['entryId'] === entryId)
        .map((line) => line['stage'] ?? '').length,
    ).toBeGreaterThan(0)
  })

  test('from an ordinary client with attachments becomes documents', async () => {
    const system = await startSystem(temporaryFolder())
    const transport = createTransport({ host: '127.0.0.1', port: system.smtpPort, ignoreTLS: true })
    const sent = await transport.sendMail({
      from: 'ann@sender.example',
      to: ACME,
      subject: 'Grüße',
      text: 'see attached',
      html: '<p>see attached <img src="cid:logo@x"></p>',
      attachments: [
        { filename: 'Übersicht 2026.csv', content: 'a,b\r\n1,2\r\n', contentType: 'text/csv' },
        { filename: 'scan.pdf', content: '%PDF-1.4\n%%EOF\n', contentType: 'application/pdf' },
        {
          filename: 'logo.png',
          content: Buffer.from('89504e47', 'hex'),
          contentType: 'image/png',
          cid: 'logo@x',
          contentDisposition: 'inline',
        },
      ],
    })
    const row = await indexed(system, entryIdOf(sent.response) ?? '')
    expect(row.subject).toBe('Grüße')
    expect(row.documents.map(({ filename, contentType }) => [filename, contentType])).toEqual([
      ['Übersicht 2026.csv', 'text/csv'],
      ['scan.pdf', 'application/pdf'],
    ])
    const search = await ingestctlJson<Row[]>(system.dataDir, ['messages', 'search', 'filename:Übersicht'])
    expect(search.map((found) => found.id)).toEqual([row.id])
  })
})

describe('tenants', () => {
  test('one transaction to two tenants is two messages; the same mail again is a duplicate in each (R16)', async () => {
    const system = await startSystem(temporaryFolder())
    expect((await ingestctl(system.dataDir, ['tenants', 'add', 'globex'])).status).toBe(0)
    const both = [ACME, 'orders+globex@mail.localhost']
    const body = mailOf('twice', 1000)
    const first = await eventually(async () => {
      const reply = await send(system, body, both)
      return reply.startsWith('250') ? reply : undefined
    })
    const second = await send(system, body, both)
    expect(second).toContain('(duplicate)')
    await drained(system)
    const rows = await ingestctlJson<Row[]>(system.dataDir, ['messages', 'list', '--limit', '10'])
    const firsts = rows.filter((row) => row.entryId === entryIdOf(first))
    const seconds = rows.filter((row) => row.entryId === entryIdOf(second))
    expect(firsts.map((row) => row.tenant).toSorted()).toEqual(['acme', 'globex'])
    expect(new Set(firsts.map((row) => row.id)).size).toBe(2)
    for (const row of seconds) {
      expect(row).toMatchObject({
        status: 'DUPLICATE',
        duplicateOf: firsts.find((each) => each.tenant === row.tenant)?.id,
      })
    }
    expect((await ingestctl(system.dataDir, ['messages', 'show', entryIdOf(first) ?? ''])).status).toBe(5)
  })

  test.each([
    ['orders+nobody@mail.localhost', /^550 5\.1\.1 /, 'R2: no such organization'],
    ['orders+ACME@mail.localhost', /^550 5\.1\.1 /, 'R1: slugs are case-sensitive'],
    ['ann@elsewhere.example', /^550 5\.7\.1 /, 'no relay'],
    ['postmaster@mail.localhost', /^250 2\.0\.0 /, 'RFC 5321 4.5.1'],
  ])('%s is answered %s (%s)', async (address, reply, _why) => {
    const system = await startSystem(temporaryFolder())
    expect(await send(system, mailOf('route', 500), [address])).toMatch(reply)
  })
})

describe('sizes (R8)', () => {
  test('25 MiB passes in bounded memory, several at a time; one byte more is 552 5.3.4, declared or not', async () => {
    const system = await startSystem(temporaryFolder())
    const largest = mailOf('largest', 25 * MIB - 200).subarray(0, 25 * MIB - 2)
    const body = Buffer.concat([
      largest,
      Buffer.alloc(Math.max(0, 25 * MIB - 2 - largest.length), 'y'),
      Buffer.from('\r\n'),
    ])
    expect(body.length).toBe(25 * MIB)
    const replies = await Promise.all([1, 2, 3].map(() => send(system, body)))
    for (const reply of replies) expect(reply).toMatch(/^250 /)

    const session = await Session.open(system.smtpPort)
    expect(await session.command(`MAIL FROM:<a@b.example> SIZE=${25 * MIB + 1}`)).toMatch(/^552 5\.3\.4 /)
    await session.expect(250, 'MAIL FROM:<a@b.example>')
    await session.expect(250, `RCPT TO:<${ACME}>`)
    await session.expect(354, 'DATA')
    await session.write(Buffer.concat([body.subarray(0, -2), Buffer.from('y\r\n')]))
    expect(await session.command('.')).toMatch(/^552 5\.3\.4 /)
    expect(await session.command('RSET')).toMatch(/^250 /)
    session.close()

    await drained(system)
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${system.pid}/status`, 'utf8'))?.[1]) * 1024
    process.stdout.write(`whole-path.test.ts: peak resident memory ${Math.round(peak / MIB)} MiB\n`)
    expect(peak).toBeLessThan(300e6)
    expect(total(await samples(system), 'mail_ingest_spool_bytes')).toBe(0)
  })
})

test('a broken mail is quarantined with its reason, blocks nothing and can be tried again', async () => {
  const system = await startSystem(temporaryFolder())
  const depth = Array.from(
    { length: 150 },
    (_, level) => `--b${level}\r\nContent-Type: multipart/mixed; boundary=b${level + 1}\r\n\r\n`,
  )
  const bomb = Buffer.from(`From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n${depth.join('')}`)
  const bad = entryIdOf(await send(system, bomb)) ?? ''
  const good = entryIdOf(await send(system, mailOf('after', 500))) ?? ''
  expect((await indexed(system, good)).status).toBe('PARSED')
  expect(await indexed(system, bad)).toMatchObject({ status: 'QUARANTINED', reason: 'mime_depth' })
  const dry = await ingestctl(system.dataDir, ['quarantine', 'redrive', '--reason', 'mime_depth', '--dry-run'])
  expect(dry.status).toBe(0)
  expect(`${dry.stdout.toString()}${dry.stderr}`).toMatch(/\b1 message/)
  expect((await ingestctl(system.dataDir, ['quarantine', 'redrive', '--reason', 'mime_depth', '--yes'])).status).toBe(0)
  await drained(system)
  expect(await indexed(system, bad)).toMatchObject({ status: 'QUARANTINED', reason: 'mime_depth' })
})

describe('mail that is refused', () => {
  interface Refused {
    tenant: string
    reason: string
    code: number
    stage: string
    senderDomain: string
    recipients: string[]
    suppressed: number
    refusalId: string
    traceId: string
  }

  test('is told to its tenant, whatever the reason, and found by the command line; the sum is true', async () => {
    const system = await startSystem(temporaryFolder(), {
      SMTP_REFUSAL_RATE: '2',
      SMTP_MAX_MESSAGE_SIZE: '20000',
      SMTP_MAX_RECIPIENTS: '100',
    })
    for (const line of [
      ['domains', 'add', 'acme.example', '--tenant', 'acme'],
      ['domains', 'add', 'quiet.example', '--tenant', 'acme'],
      ['domains', 'set', 'quiet.example', '--anti-enumeration', 'on'],
      ['mailboxes', 'add', 'ann@acme.example', '--tenant', 'acme'],
    ]) {
      const { status, stderr } = await ingestctl(system.dataDir, line)
      expect({ line, status, stderr }).toMatchObject({ status: 0 })
    }
    /** Refusals until the directory knew the mailbox: told as well. */
    let early = 0
    await eventually(async () => {
      const session = await Session.open(system.smtpPort)
      const reply = await session.send('ann@sender.example', ['ann@acme.example'], mailOf('warm', 10))
      session.close()
      if (reply.startsWith('550 5.1.1')) early += 1
      return reply.startsWith('250') ? true : undefined
    })
    const told = async (to: readonly string[], body: Buffer) => {
      const session = await Session.open(system.smtpPort)
      const reply = await session.send('bob@sender.example', to, body).catch((error: unknown) => String(error))
      session.close()
      return reply
    }
    for (let n = 0; n < 6; n += 1) await told([`nobody${n}@acme.example`], mailOf(`r${n}`, 10))
    // A size that is announced is refused before anybody is named: no tenant is known then.
    const unannounced = await Session.open(system.smtpPort)
    for (const line of ['MAIL FROM:<bob@sender.example>', `RCPT TO:<${ACME}>`, 'DATA']) await unannounced.command(line)
    await unannounced.write(mailOf('large', 30_000))
    expect(await unannounced.command('.')).toMatch(/^552 /)
    unannounced.close()
    await told([ACME], Buffer.from('Subject: x\r\n\r\na\nb\r\n'))
    await told([ACME], Buffer.from(`${'Received: from a by b\r\n'.repeat(101)}\r\nx\r\n`))
    const quiet = await told(['nobody@quiet.example'], mailOf('quiet', 10))
    expect(quiet).toMatch(/^250 /)
    await told(['x@elsewhere.example'], mailOf('relay', 10))

    const list = async () =>
      await ingestctlJson<Refused[]>(system.dataDir, ['refusals', 'list', '--tenant', 'acme', '--from', '1h'])
    const found = await eventually(async () => {
      const rows = await list()
      return rows.some(({ stage }) => stage === 'discarded') && rows.some(({ reason }) => reason === 'loop')
        ? rows
        : undefined
    })
    const kinds = new Set(found.map(({ reason, code, stage }) => `${reason} ${code} ${stage}`))
    expect(kinds).toEqual(new Set([
      'unknown_rcpt 550 rcpt', 'too_large 552 data', 'bare_lf 550 data', 'loop 554 data', 'unknown_rcpt 250 discarded',
    ])) // prettier-ignore
    expect(found.map(({ senderDomain }) => senderDomain).every((domain) => domain === 'sender.example')).toBe(true)

    const byEntry = await ingestctl(system.dataDir, ['trace', /id=(\S+)/.exec(quiet)?.[1] ?? ''])
    expect(byEntry.stdout.toString()).toContain('ingest.refused')
    // The rest was over the rate: it is told at the end at the latest.
    expect(await system.stop()).toBe(0)
    const again = await startSystem(system.dataDir)
    const unknown = await eventually(async () => {
      const rows = (
        await ingestctlJson<Refused[]>(again.dataDir, ['refusals', 'list', '--reason', 'unknown_rcpt'])
      ).map((row) => 1 + row.suppressed)
      const sum = rows.reduce((all, each) => all + each, 0)
      return sum >= 7 + early ? { sum, events: rows.length } : undefined
    })
    expect(unknown.sum).toBe(7 + early)
    expect(unknown.events).toBeLessThan(unknown.sum)
  })
})
