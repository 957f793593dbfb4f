import { expect, test } from 'vitest'
import { nodeFs, openWriter } from '../../spool/spool.ts'
import { makeEvent, type EventData } from '../eventlog/eventlog.ts'
import { clock, NOW, openDesk, type Desk } from './testing/desk.ts'

type Refused = EventData<'ingest.refused'>

const id = (n: number) => `00000000-0000-7000-8000-0000000a${String(n).padStart(4, '0')}`
const traceId = (n: number) => String(n).padStart(32, '4')

async function refused(desk: Desk, n: number, more: Partial<Refused> = {}): Promise<void> {
  const at = new Date(NOW - 3_600_000 + n * 60_000).toISOString()
  const data: Refused = {
    refusalId: id(n),
    tenant: 'acme',
    at,
    reason: 'unknown_rcpt',
    code: 550,
    status: '5.1.1',
    stage: 'rcpt',
    senderDomain: 'example.org',
    recipients: ['jon@acme.example'],
    recipientCount: 1,
    peerNetwork: '192.0.2.0/24',
    helo: 'mail.example.org',
    suppressed: 0,
    ...more,
  }
  const traceparent = `00-${traceId(n)}-00000000000000ff-01`
  await desk.log.append([
    makeEvent('ingest.refused', { source: '/ingest/test/uploaderd', time: at, traceparent, data }),
  ])
}

async function three(): Promise<Desk> {
  const desk = await openDesk()
  await refused(desk, 1)
  await refused(desk, 2, { reason: 'suspended', status: '5.2.1', recipients: [], recipientCount: 12, suppressed: 7 })
  await refused(desk, 3, { tenant: 'globex', senderDomain: '', entryId: id(99) })
  return desk
}

test.each([
  ['', [1, 2, 3]],
  ['--tenant acme', [1, 2]],
  ['--reason unknown_rcpt', [1, 3]],
  ['--reason unknown_rcpt --limit 1', [3]],
  ['--reason nothing', []],
  ['--limit 2', [2, 3]],
  ['--from 58m', [2, 3]],
  ['--to 58m', [1]],
] as const)('refusals list %s', async (line, wanted) => {
  const desk = await three()
  const found = await desk.json<Refused[]>(`refusals list ${line}`)
  expect(found.map(({ refusalId }) => refusalId)).toEqual(wanted.map(id))
})

test('a refusal is a line that says what was told to whom, and how many like it there were', async () => {
  const desk = await three()
  const { stdout, stderr } = await desk.run('refusals list --plain')
  expect(stdout.split('\n')[0]).toBe(
    [
      '2026-10-06 09:12:12',
      'acme',
      'unknown_rcpt',
      '550 5.1.1 to rcpt',
      'example.org',
      'jon@acme.example',
      '192.0.2.0/24',
      '',
      id(1),
    ].join('\t'),
  )
  expect(stdout.split('\n')[1]).toContain('\t and 12 more\t192.0.2.0/24\t+7\t')
  expect(stdout.split('\n')[2]).toContain('\t<>\t')
  expect(stderr).toContain('AND: refusals of that tenant')
})

test('a refusal is found by its id, its trace and its entry', async () => {
  const desk = await three()
  for (const wanted of [id(3), traceId(3), id(99)]) {
    const { status, stdout } = await desk.run(`trace ${wanted}`)
    expect({ status, found: stdout.includes('ingest.refused') }).toEqual({ status: 0, found: true })
    expect(await desk.json<unknown[]>(`events query ${wanted}`)).toHaveLength(1)
  }
})

test('refusals that are still in the spool are counted beside its entries', async () => {
  const desk = await openDesk()
  const writer = await openWriter({
    fs: nodeFs(),
    dir: `${desk.dataDir}/spool`,
    clock,
    random: (size) => Buffer.alloc(size, 7),
  })
  writer.note(id(1), {})
  await writer.close()
  expect((await desk.run('spool list')).stderr).toContain('0 entries wait, 0 set aside; 1 refusal waits to be told')
  expect((await desk.run('spool verify')).status).toBe(0)
  expect((await desk.run('status --json')).stdout).toContain('"entries": 0')
})
