// What tenants hear of refusals: bounded in rate and memory, and true in sum.

import { Registry } from '@prometheus-io/client'
import { describe, expect, test } from 'vitest'
import type { Refusal } from '../envelope/envelope.ts'
import { REFUSAL_REASONS, Refusals, type Told } from './refusals.ts'
import { openBed } from './testing/bed.ts'
import { Client } from './testing/client.ts'

const told = (more: Partial<Told> = {}): Told => ({
  tenant: 'acme',
  reason: 'unknown_rcpt',
  code: 550,
  status: '5.1.1',
  stage: 'rcpt',
  senderDomain: 'example.org',
  recipients: ['jon@acme.example'],
  recipientCount: 1,
  peerNetwork: '192.0.2.0/24',
  helo: 'mail.example.org',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ...more,
})

/** Refusals into a list, at a time that the test moves; `takes` is what the spool says. */
function rig(perMinute: number) {
  const noted: Refusal[] = []
  const at = { ms: 0, takes: true }
  const registry = new Registry()
  let serial = 0
  const refusals = new Refusals({
    perMinute,
    registry,
    clock: { now: () => at.ms, monotonic: () => at.ms },
    ids: { entryId: () => `id${(serial += 1)}` },
    notes: { note: (_, note) => at.takes && noted.push(note as Refusal) > 0 },
  })
  const outcome = async (label: string) =>
    new RegExp(`outcome="${label}"[^}]*} (\\d+)`).exec(await registry.metrics())?.[1]
  const sum = () => noted.reduce((all, { suppressed }) => all + 1 + suppressed, 0)
  return { refusals, noted, at, outcome, sum }
}

test('up to the rate each is told; the next that may go says how many did not', async () => {
  const { refusals, noted, at, outcome, sum } = rig(3)
  for (let n = 0; n < 10; n++) refusals.tell(told({ recipients: [`${n}@acme.example`] }))
  refusals.flush()
  expect(noted.map(({ suppressed }) => suppressed)).toEqual([0, 0, 0])
  at.ms += 20_000
  refusals.tell(told({ recipients: ['later@acme.example'] }))
  refusals.flush()
  expect(noted[3]).toMatchObject({ recipients: ['later@acme.example'], suppressed: 7, at: '1970-01-01T00:00:20.000Z' })
  expect(sum()).toBe(11)
  expect(await outcome('suppressed')).toBe('7')
})

test('what was suppressed is told when its time comes, also if there is no other refusal', () => {
  const { refusals, noted, at, sum } = rig(1)
  for (let n = 0; n < 5; n++) refusals.tell(told({ recipients: [`${n}@acme.example`] }))
  refusals.flush()
  at.ms += 59_000
  refusals.flush()
  expect(noted).toHaveLength(1)
  at.ms += 1000
  refusals.flush()
  expect(noted[1]).toMatchObject({ recipients: ['4@acme.example'], suppressed: 3 })
  expect(sum()).toBe(5)
})

test('each tenant and each reason has a rate of its own', () => {
  const { refusals, noted } = rig(1)
  for (const tenant of ['acme', 'beta'])
    for (const reason of ['suspended', 'quota'] as const)
      for (let n = 0; n < 2; n++) refusals.tell(told({ tenant, reason }))
  refusals.flush()
  expect(noted.map(({ tenant, reason }) => `${tenant} ${reason}`)).toEqual([
    'acme suspended', 'acme quota', 'beta suspended', 'beta quota',
  ]) // prettier-ignore
})

test('what the spool drops is told later, in one', () => {
  const { refusals, noted, at, sum } = rig(60)
  at.takes = false
  for (let n = 0; n < 4; n++) refusals.tell(told())
  refusals.flush()
  at.takes = true
  refusals.flush()
  expect(noted).toMatchObject([{ suppressed: 3 }])
  expect(sum()).toBe(4)
})

test('at the end all that is held is told, whatever the rate', () => {
  const { refusals, noted, sum } = rig(1)
  for (let n = 0; n < 5; n++) refusals.tell(told())
  refusals.flush(true)
  expect(noted).toHaveLength(2)
  expect(sum()).toBe(5)
})

test('memory is bounded: of more kinds than are held the oldest is given up, and counted', async () => {
  const { refusals, noted, outcome, sum } = rig(1)
  for (let n = 0; n < 6000; n++) refusals.tell(told({ tenant: `t${n}` }))
  refusals.flush(true)
  expect(noted.length).toBe(5000)
  expect(sum() + Number(await outcome('lost'))).toBe(6000)
})

describe('through a door', () => {
  const BODY = 'Subject: x\r\n\r\nx\r\n.'

  async function refusalsOf(options: Parameters<typeof openBed>[0], lines: readonly string[]): Promise<Refusal[]> {
    const bed = await openBed(options)
    try {
      const client = new Client(bed.port)
      await client.reply()
      for (const line of lines) {
        await client.say(line)
        if (line === 'STARTTLS') await client.secure()
      }
      client.socket.end()
      return await bed.refusals()
    } finally {
      await bed.close()
    }
  }

  const BEGIN = ['EHLO mail.example.org', 'MAIL FROM:<a@Sender.example>', 'RCPT TO:<ann@acme.example>']

  test('a refusal says who was asked for, by whom and from where, and no address of the sender', async () => {
    const [refusal] = await refusalsOf({}, [
      'EHLO mail.example.org',
      'MAIL FROM:<a@Sender.example> SIZE=99',
      'RCPT TO:<Jon@acme.example>',
    ])
    expect(refusal).toEqual({
      refusalId: expect.any(String) as string,
      at: '2026-10-06T10:11:12.000Z',
      tenant: 'acme',
      reason: 'unknown_rcpt',
      code: 550,
      status: '5.1.1',
      stage: 'rcpt',
      senderDomain: 'sender.example',
      recipients: ['Jon@acme.example'],
      recipientCount: 1,
      peerNetwork: '127.0.0.0/24',
      helo: 'mail.example.org',
      sizeBytes: 99,
      suppressed: 0,
      traceparent: expect.stringMatching(/^00-/) as string,
    })
  })

  test('a spool that is away is told with the transaction that it ended', async () => {
    const full = Object.assign(new Error('full'), { fault: 'full' })
    const refusals = await refusalsOf(
      {
        spool: (real) => ({
          check: (n) => real.check(n),
          reserve: async () => Promise.reject(full),
          begin: (id) => real.begin(id),
        }),
      },
      [...BEGIN, 'DATA'],
    )
    expect(refusals).toMatchObject([
      { reason: 'spool_full', code: 452, stage: 'data', recipients: ['ann@acme.example'] },
    ])
  })

  test('content that is too large is told with its size and transaction', async () => {
    const big = `Subject: x\r\n\r\n${'x'.repeat(70)}\r\n`.padEnd(1500, 'y\r\n')
    const refusals = await refusalsOf({ limits: { messageBytesMax: 1000 } }, [...BEGIN, 'DATA', `${big}\r\n.`])
    expect(refusals).toMatchObject([
      { reason: 'too_large', code: 552, stage: 'data', entryId: expect.any(String) as string },
    ])
    expect(refusals[0]?.sizeBytes).toBeGreaterThan(1000)
  })

  test('mail that is let go since nobody is to know is told to the domain, with its digest', async () => {
    const lines = [...BEGIN.slice(0, 2), 'RCPT TO:<nobody@quiet.example>', 'DATA', BODY]
    const digest = expect.stringMatching(/^[0-9a-f]{64}$/) as string
    expect(await refusalsOf({}, lines)).toMatchObject([
      {
        tenant: 'acme',
        reason: 'unknown_rcpt',
        code: 250,
        status: '2.0.0',
        stage: 'discarded',
        sizeBytes: 17,
        sha256: digest,
      },
    ])
  })

  test('an accepted mail and one that the client gives up are no refusals', async () => {
    expect(await refusalsOf({}, [...BEGIN, 'DATA', BODY, ...BEGIN.slice(1), 'RSET', ...BEGIN.slice(1)])).toEqual([])
  })

  test('a client that is too slow in the content is told as a timeout', async () => {
    const lines = [...BEGIN, 'DATA', 'Subject: x']
    expect(await refusalsOf({ limits: { dataTimeoutMs: 100 } }, lines)).toMatchObject([
      { reason: 'timeout', code: 421, status: '4.4.2', stage: 'data' },
    ])
  })

  test('who logged in is told what MAIL was refused for', async () => {
    const login = Buffer.from('\0ann\0open sesame').toString('base64')
    const lines = ['EHLO c', `AUTH PLAIN ${login}`, 'MAIL FROM:<bob@acme.example>']
    expect(await refusalsOf({ listener: 'submission' }, ['EHLO c', 'STARTTLS', ...lines])).toMatchObject([
      { tenant: 'acme', reason: 'other', code: 550, stage: 'mail', recipients: [] },
    ])
  })
})

test('every reason has a meaning', () => {
  expect(Object.values(REFUSAL_REASONS).filter((meaning) => meaning === '')).toEqual([])
})
