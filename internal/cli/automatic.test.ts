import { describe, expect, test } from 'vitest'
import {
  addMailbox,
  claimOutbound,
  claimKey,
  findMessage,
  listOutbound,
  queueOutbound,
  saveReport,
  settleOutbound,
} from '../store/store.ts'
import { indexed, NOW, openDesk, type Desk } from './testing/desk.ts'

const RELAY = { environment: { OUTBOUND_URL: 'smtp://127.0.0.1:25' } }
const SALES = 'sales@mail.localhost'

async function withSales(): Promise<Desk> {
  const desk = await openDesk()
  await addMailbox(desk.store, { address: SALES, tenant: 'acme', now: NOW })
  return desk
}

const queue = (desk: Desk, id: string, change: { tenant?: string; aboutMessageId?: string } = {}) =>
  desk.store.transaction((tx) =>
    queueOutbound(tx, {
      id,
      tenant: 'acme',
      purpose: 'auto_reply',
      aboutMessageId: null,
      headerMessageId: `<auto-${id}@mail.localhost>`,
      mail: {
        from: SALES,
        to: 'ann@example.org',
        subject: 'Auto: hello\u001b[31m',
        text: 'away',
        date: NOW,
        inReplyTo: null,
        references: [],
        autoSubmitted: 'auto-replied',
      },
      now: NOW,
      ...change,
    }),
  )
const fail = async (desk: Desk, id: string) => {
  await claimOutbound(desk.store, { now: NOW, limit: 10 })
  await settleOutbound(desk.store, id, { move: 'refused', result: '550 nobody', now: NOW })
}

describe('autoreplies', () => {
  test('set from standard input, shown, listed, removed', async () => {
    const desk = await withSales()
    const line = ['autoreplies', 'set', SALES, '--file', '-', '--subject', 'Away', '--until', '2027-01-04', '--json']
    const { status, stdout } = await desk.run(line, { ...RELAY, input: 'We are\r\naway.\r\n' })
    expect(status).toBe(0)
    const reply = {
      address: SALES,
      subject: 'Away',
      body: 'We are\naway.\n',
      everyMs: 604_800_000,
      from: null,
      until: '2027-01-04T00:00:00.000Z',
      updatedAt: new Date(NOW).toISOString(),
    }
    expect(JSON.parse(stdout)).toEqual(reply)
    expect(await desk.json(`autoreplies show ${SALES}`)).toEqual(reply)
    expect(await desk.json('autoreplies list --tenant acme')).toEqual([reply])
    expect((await desk.run(`autoreplies show ${SALES}`)).stdout).toContain('2027-01-04 00:00:00')
    expect((await desk.run(`autoreplies remove ${SALES}`)).status).toBe(0)
    expect((await desk.run(`autoreplies show ${SALES}`)).status).toBe(3)
  })

  test.each([
    [`autoreplies set ${SALES} --file -`, {}, 2, /OUTBOUND_URL is not set/, 'nobody would send it'],
    [`autoreplies set ${SALES}`, RELAY, 2, /--file/, 'no text'],
    [`autoreplies set none@mail.localhost --file -`, RELAY, 3, /no mailbox/, 'no mailbox'],
    [`autoreplies set ${SALES} --file - --every 1h`, RELAY, 2, /1 to 365 days/, 'too often'],
    [`autoreplies set ${SALES} --file - --every often`, RELAY, 2, /not a duration/, 'no duration'],
    [`autoreplies set ${SALES} --file - --until soon`, RELAY, 2, /not a time/, 'no time'],
    [`autoreplies set ${SALES} --file /nowhere`, RELAY, 1, /ENOENT/, 'no file'],
  ])('%s %j: %i %s (%s)', async (line, options, status, says, _why) => {
    const desk = await withSales()
    const ran = await desk.run(line, { input: 'away', ...options })
    expect(ran.stderr).toMatch(says)
    expect(ran.status).toBe(status)
  })

  test('a text without end is not read to its end', async () => {
    const desk = await withSales()
    const ran = await desk.run(`autoreplies set ${SALES} --file -`, { ...RELAY, input: Buffer.alloc(1_000_000, 'x') })
    expect(ran).toMatchObject({ status: 2, stderr: expect.stringMatching(/larger than 65536/) as string })
  })
})

describe('outbound', () => {
  test('is listed by state, shown without what could steer a terminal, tried again and dropped', async () => {
    const desk = await openDesk()
    for (const id of ['one', 'two']) await queue(desk, id)
    await fail(desk, 'one')
    const failed = await desk.json<{ id: string; lastResult: string }[]>('outbound list --state failed')
    expect(failed).toMatchObject([{ id: 'one', lastResult: '550 nobody', nextAt: null, to: 'ann@example.org' }])
    const shown = await desk.run('outbound show one')
    expect(shown.stdout).toContain('550 nobody')
    expect(shown.stdout).not.toContain('\u001b')
    expect(await desk.json('outbound show one')).toMatchObject({ state: 'failed', attempts: 1, text: 'away' })
    expect((await desk.run('outbound retry one none')).status).toBe(5)
    expect((await desk.run('outbound retry one')).status).toBe(5)
    expect((await desk.run('outbound retry none')).status).toBe(3)
    expect((await desk.run('outbound drop one')).status).toBe(0)
    expect((await desk.run('outbound drop two')).status).toBe(5)
    expect((await listOutbound(desk.store, {}, { limit: 5 })).rows.map(({ id }) => id)).toEqual(['two'])
    expect((await desk.run('outbound list --state gone')).status).toBe(2)
  })

  test('status tells of mail that waits and of mail that failed, and of nothing else', async () => {
    const desk = await openDesk()
    const outbound = async () => (await desk.run('status --json')).stdout
    expect(JSON.parse(await outbound())).not.toHaveProperty('outbound')
    await queue(desk, 'one')
    expect(JSON.parse(await outbound())).toMatchObject({ outbound: { level: 'ok', value: { mails: 1, failed: 0 } } })
    await fail(desk, 'one')
    expect(JSON.parse(await outbound())).toMatchObject({ outbound: { level: 'warn', value: { mails: 0, failed: 1 } } })
  })
})

describe('what belongs to a message', () => {
  test('a report leads to its message and to outbound mail, and they to it; never across tenants', async () => {
    const desk = await openDesk()
    const original = await indexed(desk)
    const bounce = await indexed(desk, { flags: ['bounce'] })
    await queue(desk, 'one', { aboutMessageId: original.id })
    const { headerMessageId } = (await findMessage(desk.store, original.id)) ?? {}
    const base = { tenant: 'acme', originalEnvelopeId: null, reportingMta: 'mx.example', arrivalDate: NOW }
    const recipients = [
      { finalRecipient: 'bob@example.net', action: 'failed', status: '5.1.1', diagnostic: 'smtp; 550 no' },
    ]
    await desk.store.transaction(async (tx) => {
      const key = { tenant: 'acme', source: 'EMAIL', headerMessageId: headerMessageId ?? '' }
      await claimKey(tx, { ...key, messageId: original.id, entryId: original.entryId })
      await saveReport(tx, { ...base, messageId: bounce.id, originalMessageId: headerMessageId ?? '', recipients })
      const other = { ...base, tenant: 'globex', messageId: 'elsewhere' }
      await saveReport(tx, { ...other, originalMessageId: headerMessageId ?? '', recipients })
    })
    expect(await desk.json(`messages show ${bounce.id}`)).toMatchObject({
      report: { originalId: original.id, outboundId: null, recipients, arrivalDate: new Date(NOW).toISOString() },
    })
    expect(await desk.json(`messages show ${original.id}`)).toMatchObject({
      report: null,
      reportedBy: [{ id: bounce.id, recipients }],
      replies: [{ id: 'one', state: 'pending' }],
    })
    const lines = (await desk.run(`trace ${bounce.id}`)).stdout
    expect(lines).toMatch(new RegExp(`^reports on .*${original.id}$`, 'm'))
    expect(lines).toMatch(/^recipient bob@example\.net failed 5\.1\.1 \(smtp; 550 no\)$/m)
    expect((await desk.run(`trace ${original.id}`)).stdout).toMatch(new RegExp(`^reported by ${bounce.id}: bob@`, 'm'))
    expect(await desk.json('messages list --flag bounce')).toMatchObject([{ id: bounce.id }])
  })

  test('a report on a reply of ours leads to it', async () => {
    const desk = await openDesk()
    await queue(desk, 'one')
    const bounce = await indexed(desk, { flags: ['bounce'] })
    const report = {
      messageId: bounce.id,
      tenant: 'acme',
      originalMessageId: '<auto-one@mail.localhost>',
      originalEnvelopeId: null,
      reportingMta: null,
      arrivalDate: null,
      recipients: [],
    }
    await desk.store.transaction((tx) => saveReport(tx, report))
    expect(await desk.json(`messages show ${bounce.id}`)).toMatchObject({
      report: { originalId: null, outboundId: 'one' },
    })
    expect((await desk.run(`messages show ${bounce.id}`)).stdout).toContain('outbound one')
  })
})
