import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventId, type Refusal } from '../envelope/envelope.ts'
import { EventLogError, type MailEvent } from '../eventlog/eventlog.ts'
import { entryId, makeRig, type Rig } from './testing/rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await makeRig()
})
afterEach(() => rig.close())

const id = (n: number) => `00000000-0000-7000-8000-0000000f${n.toString(16).padStart(4, '0')}`

function refusal(n: number, more: Partial<Refusal> = {}): { id: string; note: Refusal } {
  const note: Refusal = {
    refusalId: id(n),
    tenant: 'acme',
    at: '2026-01-02T03:04:05.678Z',
    reason: 'unknown_rcpt',
    code: 550,
    status: '5.1.1',
    stage: 'rcpt',
    senderDomain: 'example.org',
    recipients: [`jon${n}@acme.example`],
    recipientCount: 1,
    peerNetwork: '192.0.2.0/24',
    helo: 'mail.example.org',
    suppressed: 0,
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    ...more,
  }
  return { id: id(n), note }
}

const refused = (events: readonly MailEvent[]) => events.filter(({ type }) => type === 'ingest.refused')
/** `append` that fails for refusals as long as `away.is`. */
function failing(away: { is: boolean }, fault: 'server' | 'too_large' = 'server') {
  return async (events: readonly MailEvent[]) => {
    if (away.is && refused(events).length > 0) throw new EventLogError(fault, 'no topic mail.refusals.v1')
    await rig.events.append(events)
  }
}

test('a refusal is an event of its tenant, with the trace of its transaction, and leaves the spool', async () => {
  await rig.note([refusal(1)])
  const life = await rig.life()
  await life.drained()
  await life.stop()
  const [logged] = await rig.events.query({ type: 'ingest.refused', limit: 9 })
  const { traceparent, ...data } = refusal(1).note
  expect(logged).toMatchObject({ topic: 'mail.refusals.v1' })
  expect(logged?.event).toEqual({
    id: eventId('ingest.refused', id(1)),
    type: 'ingest.refused',
    source: '/ingest/test/uploaderd',
    subject: id(1),
    tenant: 'acme',
    time: data.at,
    traceparent,
    data,
  })
})

test('refusals are published in their order, each once, also across a stage that is killed', async () => {
  const all = Array.from({ length: 250 }, (_, n) => refusal(n))
  await rig.note(all)
  const killed = await rig.life({
    interfere: (step, when, n) =>
      step === 'append' && when === 'after' && n === 1 ? new Promise(() => undefined) : undefined,
  })
  await sleep(100)
  await killed.kill()
  const life = await rig.life()
  await life.drained()
  await life.stop()
  const { events } = await rig.there()
  expect([...new Set(events)]).toEqual(all.map((each) => eventId('ingest.refused', each.id)))
})

test('a log that takes no refusals holds up no mail, and gets them when it does', async () => {
  const away = { is: true }
  await rig.note([refusal(1), refusal(2)])
  await rig.accept([{ n: 1 }])
  const life = await rig.life({ append: failing(away), concurrency: 1 })
  await expect.poll(async () => (await rig.there()).events.length, { timeout: 15_000 }).toBe(2)
  expect(life.problem()).toBeUndefined()
  expect(await life.registry.metrics()).toContain('circuit_breaker_open{target="refusals"} 1')
  away.is = false
  await life.drained()
  await life.stop()
  expect((await rig.events.query({ type: 'ingest.refused', limit: 9 })).map(({ event }) => event.subject)).toEqual([
    id(1),
    id(2),
  ])
})

test('of more than may wait those that have waited longest are let go, and counted', async () => {
  const away = { is: true }
  await rig.note(Array.from({ length: 700 }, (_, n) => refusal(n)))
  await rig.accept([{ n: 1 }])
  const life = await rig.life({ append: failing(away) })
  await expect.poll(async () => (await rig.there()).events.length, { timeout: 15_000 }).toBe(2)
  expect(await life.registry.metrics()).toContain('mail_ingest_refusals_lost_total 199')
  away.is = false
  await life.drained()
  await life.stop()
  const kept = await rig.events.query({ type: 'ingest.refused', limit: 900 })
  expect(kept).toHaveLength(501)
  expect(kept.at(-1)?.event.subject).toBe(id(699))
  expect(rig.lines.filter(({ message, level }) => message === 'refusals let go' && level === 'warn')).toHaveLength(1)
})

test.each([
  ['a note of something else', { hello: 1 }],
  ['a trace that is none', { ...refusal(1).note, traceparent: 'x' }],
  ['a tenant that is missing', { ...refusal(1).note, tenant: undefined }],
])('%s is let go, and holds up nothing', async (_, note) => {
  await rig.note([{ id: id(1), note }, refusal(2)])
  const life = await rig.life()
  await life.drained()
  await life.stop()
  expect((await rig.events.query({ limit: 9 })).map(({ event }) => event.subject)).toEqual([id(2)])
})

test('refusals that the log will never take are let go', async () => {
  await rig.note([refusal(1)])
  await rig.accept([{ n: 1 }])
  const life = await rig.life({ append: failing({ is: true }, 'too_large') })
  await life.drained()
  await life.stop()
  expect(await life.registry.metrics()).toContain('mail_ingest_refusals_lost_total 1')
  expect((await rig.events.query({ entryId: entryId(1), limit: 9 })).length).toBe(2)
})
