import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { nodeFs, openWriter } from '../../spool/spool.ts'
import { messageId } from '../envelope/envelope.ts'
import type { MessageJson } from './message-row.ts'
import { clock, envelopeFor, ids, indexed, openDesk, receivedOf, sha256, spooled } from './testing/desk.ts'

describe('messages', () => {
  test('the JSON of a message has the promised names', async () => {
    const desk = await openDesk()
    const file = { filename: 'a.csv', content: Buffer.from('1,2\r\n') }
    const { id, entryId, traceId, raw } = await indexed(
      desk,
      { from: [{ name: 'Doe, J.', address: 'j@example.org' }] },
      file,
    )
    const [row] = await desk.json<MessageJson[]>('messages list --limit 5')
    expect(row).toEqual({
      id,
      entryId,
      tenant: 'acme',
      mailbox: 'orders+acme@mail.localhost',
      status: 'PARSED',
      messageId: `<${entryId}@example.org>`,
      subject: 'Hello',
      from: '"Doe, J." <j@example.org>',
      to: ['orders+acme@mail.localhost'],
      cc: [],
      date: null,
      receivedAt: '2026-10-06T10:11:12.000Z',
      indexedAt: '2026-10-06T10:11:12.040Z',
      sizeBytes: raw.length,
      sha256: sha256(raw),
      traceId,
      documents: [
        {
          id: expect.any(String),
          filename: 'a.csv',
          contentType: 'text/csv',
          sizeBytes: 5,
          sha256: sha256(file.content),
        },
      ],
      reason: null,
      detail: null,
      synthetic: false,
      duplicateOf: null,
      forced: false,
      threadId: null,
      mailFrom: 'ann@example.org',
      recipients: ['orders+acme@mail.localhost'],
      clientAddress: '192.0.2.1',
      snippet: 'hello',
      flags: [],
      parser: 'test-1',
      contentHash: null,
      rawKey: `acme/2026/10/06/${id}.eml`,
      metaKey: `acme/2026/10/06/${id}.json`,
    })
    expect(await desk.json('messages show ' + id)).toEqual({ ...row, report: null, reportedBy: [], replies: [] })
    const ndjson = (await desk.run('messages list --ndjson')).stdout.trim().split('\n')
    expect(ndjson.map((line) => JSON.parse(line) as unknown)).toEqual([row])
  })

  test('an empty list is an empty array', async () => {
    expect((await (await openDesk()).run('messages list --json')).stdout).toBe('[]\n')
  })

  test('a list longer than a page of the store is complete and in order', async () => {
    const desk = await openDesk()
    await desk.store.transaction(async (tx) => {
      const { saveMessage } = await import('../store/store.ts')
      const { rowOf } = await import('./testing/desk.ts')
      const keys = { raw: '', meta: '' }
      for (let at = 0; at < 1100; at += 1) {
        const entryId = ids.entryId()
        await saveMessage(
          tx,
          rowOf({
            id: messageId(entryId, 'acme'),
            entryId,
            tenant: 'acme',
            traceId: entryId,
            raw: Buffer.alloc(1),
            keys,
          }),
        )
      }
    })
    const rows = await desk.json<MessageJson[]>('messages list --limit 1000000')
    expect(new Set(rows.map((row) => row.id)).size).toBe(1100)
    expect(await desk.json<MessageJson[]>('messages list --limit 1050')).toEqual(rows.slice(0, 1050))
  })

  test.each(['id', 'entryId', 'traceId'] as const)('is found by its %s', async (name) => {
    const desk = await openDesk()
    const kept = await indexed(desk)
    expect(await desk.json(`messages show ${kept[name]}`)).toMatchObject({ id: kept.id })
  })

  test('an entry of two tenants is a conflict that lists both', async () => {
    const desk = await openDesk()
    const { entryId, id } = await indexed(desk)
    await desk.run('tenants add globex')
    const other = await indexed(desk, { entryId, tenant: 'globex' })
    const { status, stdout, stderr } = await desk.run(`messages show ${entryId} --json`)
    expect({ status, stdout }).toEqual({ status: 5, stdout: '' })
    expect(stderr).toContain(id)
    expect(stderr).toContain(other.id)
    expect((await desk.run(`messages show ${other.id}`)).status).toBe(0)
  })

  test('an unknown id is 3', async () => {
    expect((await (await openDesk()).run('messages show 00000000-0000-7000-8000-00000000ffff')).status).toBe(3)
  })

  test('raw is the bytes as received; --with-trace puts our lines before them', async () => {
    const desk = await openDesk()
    const { id, entryId, raw } = await indexed(desk)
    expect((await desk.run(`messages raw ${id}`)).bytes.equals(raw)).toBe(true)
    const before = `Return-Path: <ann@example.org>\r\nReceived: by test id ${entryId}\r\n`
    expect(
      (await desk.run(`messages raw ${id} --with-trace`)).bytes.equals(Buffer.concat([Buffer.from(before), raw])),
    ).toBe(true)
  })

  test('what strangers wrote cannot reach the terminal', async () => {
    const desk = await openDesk()
    await indexed(
      desk,
      { subject: 'pay\u202egpj.exe \x1b]0;title\x07\x1b[31mred\x9b2J\r\nline' },
      { filename: 'a\u202e\x1b[2Jfdp.exe', content: Buffer.from('x') },
    )
    for (const line of [
      'messages list',
      'messages list --plain',
      'messages list --json',
      'documents list',
      'search hello',
    ]) {
      expect((await desk.run(line)).stdout).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/)
    }
    const [row] = await desk.json<MessageJson[]>('messages list')
    expect(row?.subject).toContain('\u202egpj.exe \x1b]0;')
  })

  test('colour only on a terminal that wants it', async () => {
    const desk = await openDesk()
    await indexed(desk)
    expect((await desk.run('messages list', { terminal: true })).stdout).toContain('\x1b[32mPARSED')
    expect((await desk.run('messages list')).stdout).not.toContain('\x1b')
    for (const environment of [{ NO_COLOR: '1' }, { TERM: 'dumb' }])
      expect((await desk.run('messages list', { terminal: true, environment })).stdout).not.toContain('\x1b')
    expect((await desk.run('messages list --no-color', { terminal: true })).stdout).not.toContain('\x1b')
  })

  test('documents are listed and written byte for byte', async () => {
    const desk = await openDesk()
    const content = Buffer.from([0, 1, 2, 255, 10])
    const { id } = await indexed(desk, {}, { filename: 'b.bin', content })
    const [document] = await desk.json<{ id: string }[]>(`documents list ${id}`)
    expect((await desk.run(`documents get ${document?.id}`)).bytes.equals(content)).toBe(true)
    expect((await desk.run('documents get nothing')).status).toBe(3)
  })
})

describe('mail on its way', () => {
  const entryId = '01890000-0000-7000-8000-000000000001'
  const bytes = Buffer.from('Subject: waits\r\n\r\n.dots\r\n')

  test('in the spool it is RECEIVED, and shown, traced and downloaded all the same', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes)
    const row = await desk.json<MessageJson>(`messages show ${entryId}`)
    expect(row).toMatchObject({
      id: messageId(entryId, 'acme'),
      status: 'RECEIVED',
      subject: null,
      sha256: sha256(bytes),
      documents: [],
    })
    for (const id of [row.id, row.traceId]) expect(await desk.json(`messages show ${id}`)).toEqual(row)
    expect((await desk.run(`messages raw ${row.id}`)).bytes.equals(bytes)).toBe(true)
    expect((await desk.run(`messages raw ${row.id} --with-trace`)).stdout).toMatch(
      /^Return-Path: .*\r\nReceived: .*\r\nSubject: waits\r\n/,
    )
    expect((await desk.run(`trace ${entryId}`)).stdout).toContain('RECEIVED')
    expect((await desk.run('messages list')).stderr).toContain('1 more entry in the spool')
  })

  test('also where only the SMTP listener ever ran', async () => {
    const { emptyDesk } = await import('./testing/desk.ts')
    const desk = emptyDesk()
    await spooled(desk, entryId, bytes)
    expect(await desk.json(`messages show ${entryId}`)).toMatchObject({ status: 'RECEIVED' })
    expect((await desk.run(`trace ${entryId}`)).status).toBe(0)
  })

  test('handed on and not indexed yet it is RECEIVED, from its event', async () => {
    const desk = await openDesk()
    const id = messageId(entryId, 'acme')
    const facts = { messageId: id, entryId, tenant: 'acme', sizeBytes: 3, sha256: sha256(bytes), rawKey: 'a.eml' }
    await desk.log.append([receivedOf(facts, envelopeFor(entryId), 'a.json')])
    expect(await desk.json(`messages show ${entryId}`)).toMatchObject({ id, status: 'RECEIVED', rawKey: 'a.eml' })
  })

  test('an entry of two tenants is two messages already', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes, ['acme', 'globex'])
    expect((await desk.run(`messages show ${entryId}`)).status).toBe(5)
    expect(await desk.json(`messages show ${messageId(entryId, 'globex')}`)).toMatchObject({ tenant: 'globex' })
  })

  test('spool list, show, verify and export', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes)
    expect(await desk.json('spool list')).toMatchObject([
      { id: entryId, state: 'pending', sizeBytes: bytes.length, tenants: ['acme'] },
    ])
    expect(await desk.json(`queue show ${entryId}`)).toMatchObject({
      id: entryId,
      envelope: { mailFrom: 'ann@example.org' },
    })
    expect((await desk.run('spool verify')).status).toBe(0)
    const into = `${desk.dataDir}/out`
    expect((await desk.run(`spool export ${entryId} --into ${into}`)).status).toBe(0)
    const { readFileSync } = await import('node:fs')
    expect(readFileSync(`${into}/${entryId}.eml`).equals(bytes)).toBe(true)
    expect((await desk.run(`spool export ${entryId} --into ${into}`)).status).toBe(5)
    expect((await desk.run(`spool export ${ids.entryId()} --into ${into}`)).status).toBe(3)
    expect((await desk.run(`spool show ${ids.entryId()}`)).status).toBe(3)
  })

  test('spool verify finds a damaged end of an older segment also while a writer lives', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes)
    const { readdirSync, readFileSync, writeFileSync } = await import('node:fs')
    const dir = `${desk.dataDir}/spool/log`
    const [segment] = readdirSync(dir)
    await spooled(desk, ids.entryId(), bytes) // each writer begins a segment of its own
    const writer = await openWriter({ fs: nodeFs(), dir: `${desk.dataDir}/spool`, clock, random: randomBytes })
    const content = readFileSync(`${dir}/${segment}`)
    content[content.length - 1] = 0
    writeFileSync(`${dir}/${segment}`, content)
    const { status, stdout } = await desk.run('spool verify')
    await writer.close()
    expect({ status, stdout }).toEqual({ status: 5, stdout: expect.stringContaining(String(segment)) })
  })

  test('spool verify takes what a living writer is writing for no damage', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes)
    const writer = await openWriter({ fs: nodeFs(), dir: `${desk.dataDir}/spool`, clock, random: randomBytes })
    const { appendFileSync, readdirSync } = await import('node:fs')
    const dir = `${desk.dataDir}/spool/log`
    appendFileSync(`${dir}/${readdirSync(dir).sort().at(-1)}`, 'SPLF')
    const { status, stderr } = await desk.run('spool verify')
    await writer.close()
    expect(stderr).toContain('torn or being written')
    expect(status).toBe(0)
  })

  test('spool verify finds a flipped byte', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes)
    const { readdirSync, readFileSync, writeFileSync } = await import('node:fs')
    const dir = `${desk.dataDir}/spool/log`
    const [segment] = readdirSync(dir)
    const content = readFileSync(`${dir}/${segment}`)
    content[content.indexOf('waits')] = 0x57
    writeFileSync(`${dir}/${segment}`, content)
    expect((await desk.run('spool verify')).status).toBe(5)
  })

  test('a damaged entry is told also once recovery has set its bytes aside', async () => {
    const desk = await openDesk()
    await spooled(desk, entryId, bytes)
    const { readdirSync, readFileSync, writeFileSync } = await import('node:fs')
    const dir = `${desk.dataDir}/spool/log`
    const [segment] = readdirSync(dir)
    await spooled(desk, ids.entryId(), bytes)
    const content = readFileSync(`${dir}/${segment}`)
    content[content.indexOf('waits')] = 0x57
    writeFileSync(`${dir}/${segment}`, content)
    await spooled(desk, ids.entryId(), bytes)
    expect((await desk.run('spool verify')).stdout).toContain('aside/')
    for (const verb of ['spool show', 'trace'])
      expect(await desk.run(`${verb} ${entryId}`)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('damaged'),
      })
    const { status, stdout } = await desk.run('status --json')
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: 'warn', damaged: { value: 1 } })
  })
})

describe('ids alone', () => {
  test.each([
    ['--ids', (id: string) => `${id}\n`],
    ['--ids --plain', (id: string) => `${id}\n`],
    ['--ids --ndjson', (id: string) => `"${id}"\n`],
    ['--ids --json', (id: string) => `[\n"${id}"\n]\n`],
  ])('messages list %s', async (line, told) => {
    const desk = await openDesk()
    const { id } = await indexed(desk)
    expect((await desk.run(`messages list ${line}`)).stdout).toBe(told(id))
    expect((await desk.run(`search hello ${line}`)).status).toBe(0)
  })
})

describe('trace', () => {
  test.each(['id', 'entryId', 'traceId'] as const)('by %s shows row, objects and log positions', async (name) => {
    const desk = await openDesk()
    const kept = await indexed(desk)
    const { stdout, status } = await desk.run(`trace ${kept[name]}`)
    expect(status).toBe(0)
    for (const part of [kept.id, kept.entryId, kept.traceId, 'ingest.received', 'mail.ingest.v1/0/0', '.eml', '.json'])
      expect(stdout).toContain(part)
    expect(await desk.json(`trace ${kept[name]}`)).toMatchObject({
      entryIds: [kept.entryId],
      traceIds: [kept.traceId],
      messages: [{ id: kept.id }],
      events: [{ type: 'ingest.received', position: { topic: 'mail.ingest.v1', partition: 0, offset: 0 } }],
    })
  })

  test('an object that is gone is said to be gone', async () => {
    const desk = await openDesk()
    const { id } = await indexed(desk)
    await desk.blobs.delete(`acme/2026/10/06/${id}.eml`)
    expect((await desk.run(`trace ${id}`)).stdout).toContain('.eml  not there')
  })

  test('an unknown id is 3', async () => {
    expect((await (await openDesk()).run('trace 01890000-0000-7000-8000-00000000ffff')).status).toBe(3)
  })
})
