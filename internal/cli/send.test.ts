import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openBed, type Bed } from '../smtp/testing/bed.ts'
import { FILES } from './files.ts'
import { KINDS, type SampleKind } from './samples.ts'
import { idsIn, Stuffing } from './smtp.ts'
import { emptyDesk, indexed, openDesk } from './testing/desk.ts'

const TO = ['--to', 'orders+acme@mail.example']

async function openDoor(messageBytesMax = 10_000_000): Promise<Bed & { server: string[] }> {
  const bed = await openBed({ limits: { messageBytesMax } })
  onTestFinished(() => bed.close())
  return { ...bed, server: ['--server', `127.0.0.1:${bed.port}`] }
}

describe('transparency (RFC 5321 4.5.2)', () => {
  test.each([
    ['', '.\r\n', 'nothing at all'],
    ['a\r\n', 'a\r\n.\r\n', 'a whole line'],
    ['a', 'a\r\n.\r\n', 'a last line without an end gets one'],
    ['.', '..\r\n.\r\n', 'a lone dot is content'],
    ['.\r\n', '..\r\n.\r\n', 'a dot that would end it'],
    ['..a\r\n.b\r\n', '...a\r\n..b\r\n.\r\n', 'dots at the start of lines'],
    ['a.b\r\n', 'a.b\r\n.\r\n', 'dots elsewhere stay'],
    ['a\n.b\r\n', 'a\n.b\r\n.\r\n', 'a bare LF begins no line'],
    ['a\r.b\r\n', 'a\r.b\r\n.\r\n', 'a bare CR begins no line'],
    ['a\r\n\r\n.', 'a\r\n\r\n..\r\n.\r\n', 'after an empty line'],
  ])('%j goes as %j (%s)', (content, wire, _why) => {
    const bytes = Buffer.from(content)
    const whole = new Stuffing()
    expect(Buffer.from(whole.pass(bytes)).toString() + whole.end()).toBe(wire)
    const slowly = new Stuffing()
    const pieces = [...bytes].map((byte) => Buffer.from(slowly.pass(Buffer.from([byte]))).toString())
    expect(pieces.join('') + slowly.end()).toBe(wire)
  })
})

describe('send', () => {
  test('prints the reply with its ids, and what arrives is what was made', async () => {
    const bed = await openDoor()
    const { status, stdout } = await emptyDesk().run(['send', 'text', ...TO, ...bed.server, '--json'])
    expect(status).toBe(0)
    const sent = JSON.parse(stdout) as { entryId: string; traceId: string }
    const [kept] = await bed.kept()
    expect(sent).toMatchObject({ kind: 'text', accepted: true, code: 250, entryId: kept?.id, duplicate: false })
    expect(sent.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(kept?.bytes.toString()).toContain('Subject: Order 4711\r\n')
  })

  test.each([
    ['dots and all', '.\r\n..\r\n.x\r\n'],
    ['eight bits', 'Subject: \xe4\r\n\r\n\x00\xff\r\n'],
    ['headers only', 'Subject: x\r\n'],
  ])('raw bytes arrive as they are: %s', async (_what, text) => {
    const bed = await openDoor()
    const input = Buffer.from(text, 'latin1')
    const { status, stderr } = await emptyDesk().run(['send', '-', ...TO, ...bed.server], { input })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect((await bed.kept())[0]?.bytes.equals(input)).toBe(true)
  })

  test('--crlf mends line ends, and only then', async () => {
    const bed = await openDoor()
    await emptyDesk().run(['send', '-', '--crlf', ...TO, ...bed.server], { input: 'Subject: x\n\n.a\rb\r\n' })
    expect((await bed.kept())[0]?.bytes.toString()).toBe('Subject: x\r\n\r\n.a\r\nb\r\n')
  })

  test.each(Object.keys(KINDS) as SampleKind[])('the kind %s is accepted, complete, with CRLF only', async (kind) => {
    const bed = await openDoor()
    const { status, stderr } = await emptyDesk().run(['send', kind, '--size', '1M', ...TO, ...bed.server])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const text = (await bed.kept())[0]?.bytes.toString('latin1') ?? ''
    expect(text).toMatch(/^(From|To): /)
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
    expect(/^Message-ID:/im.test(text)).toBe(kind !== 'no-message-id')
  })

  test('a large mail has the size that was asked for, and the one that it announced', async () => {
    const bed = await openDoor(3_000_001)
    expect((await emptyDesk().run(['send', 'large', '--size', '3000000', ...TO, ...bed.server])).status).toBe(0)
    const size = (await bed.kept())[0]?.bytes.length ?? 0
    expect(size).toBeGreaterThan(3_000_000 - 200)
    expect(size).toBeLessThanOrEqual(3_000_000)
  })

  test('duplicate and reply refer to the mail before them', async () => {
    const bed = await openDoor()
    await emptyDesk().run(['send', 'text', 'reply', 'duplicate', ...TO, ...bed.server])
    const [first = '', reply = '', again = ''] = (await bed.kept()).map((kept) => kept.bytes.toString())
    const messageId = /^Message-ID: (<.*>)\r$/m.exec(first)?.[1] ?? 'none'
    expect(reply).toContain(`In-Reply-To: ${messageId}\r\n`)
    expect(again).toContain(`Message-ID: ${messageId}\r\n`)
  })

  test('--demo sends five, --count several of each', async () => {
    const bed = await openDoor()
    expect((await emptyDesk().run(['send', '--demo', ...TO, ...bed.server])).stdout.trim().split('\n')).toHaveLength(5)
    await emptyDesk().run(['send', '--kind', 'text', '--kind', 'html', '--count', '3', ...TO, ...bed.server])
    expect(await bed.kept()).toHaveLength(5 + 6)
  })

  test.each([
    ['--to nobody+x@mail.example', /550 5\.1\.1/, 'an unknown recipient'],
    ['--to orders+acme@mail.example large --size 1M', /552 5\.3\.4/, 'too large'],
  ])('%s ends with 1 and the reply (%s)', async (line, reply, _what) => {
    const bed = await openDoor(2000)
    const { status, stdout } = await emptyDesk().run(['send', ...line.split(' ').filter(Boolean), ...bed.server])
    expect(stdout).toMatch(reply)
    expect(status).toBe(1)
  })

  test('one refused recipient of two: the other gets the mail, and the refusal is told', async () => {
    const bed = await openDoor()
    const { status, stderr } = await emptyDesk().run(['send', ...TO, '--to', 'no@else.example', ...bed.server])
    expect(status).toBe(0)
    expect(stderr).toContain('no@else.example: 55')
    expect((await bed.kept())[0]?.envelope.recipients).toHaveLength(1)
  })

  test('an address cannot smuggle a command', async () => {
    const bed = await openDoor()
    const { status } = await emptyDesk().run(['send', '--to', 'a@b>\r\nDATA', ...bed.server])
    expect(status).toBe(2)
    expect(await bed.kept()).toEqual([])
  })

  test('no server is 6; one that hangs up, too', async () => {
    const { server, port } = await scripted('')
    expect((await emptyDesk().run(['send', '--server', `127.0.0.1:${port}`])).status).toBe(6)
    await new Promise((resolve) => server.close(resolve))
    const { status, stderr } = await emptyDesk().run(['send', '--server', `127.0.0.1:${port}`])
    expect({ status, stderr: stderr.includes('ECONNREFUSED') }).toEqual({ status: 6, stderr: true })
  })

  test('--wait says what became of it', async () => {
    const desk = await openDesk()
    const { entryId } = await indexed(desk)
    const { port } = await scripted(`250 2.0.0 accepted id=${entryId} trace=${'a'.repeat(32)}\r\n`)
    const { status, stdout } = await desk.run(['send', '--wait', '--server', `127.0.0.1:${port}`, '--json'])
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      entryId,
      messages: [{ status: 'PARSED' }],
      indexedMs: expect.any(Number),
    })
  })
})

/** A server that says yes to everything, with `final` after the content; an empty one hangs up at once. */
async function scripted(final: string) {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    if (final === '') return socket.destroy()
    let content = false
    socket.write('220-hello\r\n220 there\r\n')
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1')
      if (content) content = !text.endsWith('\r\n.\r\n')
      else if (text.startsWith('DATA')) content = true
      if (text.startsWith('DATA')) socket.write('354 go on\r\n')
      else if (!content) socket.write(text.endsWith('\r\n.\r\n') ? final : '250-yes\r\n250 SIZE\r\n')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { server, port: (server.address() as AddressInfo).port }
}

describe('replies', () => {
  test.each([
    ['2.0.0 accepted id=01890000-0000-7000-8000-000000000001 trace=0123456789abcdef0123456789abcdef', false],
    ['2.0.0 accepted id=01890000-0000-7000-8000-000000000001 trace=0123456789abcdef0123456789abcdef (duplicate)', true],
  ])('%s', (text, duplicate) => {
    expect(idsIn(text)).toEqual({
      id: '01890000-0000-7000-8000-000000000001',
      traceId: '0123456789abcdef0123456789abcdef',
      duplicate,
    })
  })

  test('of other servers have no ids', () => expect(idsIn('2.0.0 Ok: queued as 4F2')).toEqual({ duplicate: false }))
})

describe('attached files', () => {
  const READERS: Record<string, string> = {
    'application/zip': 'import sys,zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None',
    'image/png': 'import sys; assert open(sys.argv[1],"rb").read()[:8] == b"\\x89PNG\\r\\n\\x1a\\n"',
  }

  test.each(Object.entries(FILES))('%s is what it says', (name, make) => {
    const { content, contentType } = make()
    const folder = mkdtempSync(join(tmpdir(), 'file-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, name)
    writeFileSync(path, content)
    const zipped = contentType.includes('openxmlformats') ? 'application/zip' : contentType
    const reader = READERS[zipped]
    if (reader !== undefined) execFileSync('python3', ['-c', reader, path])
    if (name === 'pdf') {
      const text = readFileSync(path, 'latin1')
      const offsets = [...text.matchAll(/^(\d{10}) 00000 n /gm)].map((match) => Number(match[1]))
      expect(offsets.map((offset, at) => text.slice(offset).startsWith(`${at + 1} 0 obj`))).toEqual(
        offsets.map(() => true),
      )
      expect(text.slice(Number(/startxref\n(\d+)/.exec(text)?.[1])).startsWith('xref')).toBe(true)
    }
  })
})
