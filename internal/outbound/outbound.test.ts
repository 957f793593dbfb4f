// The channel against a real server that takes, defers, refuses and falls silent.

import { expect, test } from 'vitest'
import { claimOutbound, listOutbound, retryOutbound } from '../store/store.ts'
import { eventually, localhostPair, openBed, saying, startRelay, type Answers } from './testing/bed.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

const attempts = async (registry: { getSingleMetricAsString(name: string): Promise<string> }, result: string) =>
  Number(
    new RegExp(`result="${result}"[^}]*} (\\d+)`).exec(
      await registry.getSingleMetricAsString('mail_ingest_outbound_attempts_total'),
    )?.[1],
  )

test('what is queued goes out once, with the null sender, and is sent', async () => {
  const bed = await openBed()
  const { relay, taken } = await startRelay()
  const ids = [await bed.queue(1), await bed.queue(2), await bed.queue(3)]
  const { registry, stop } = bed.start(relay)
  await eventually(async () => (await bed.state(ids[2] ?? '')).state === 'sent' && taken.length === 3)
  await eventually(async () => (await listOutbound(bed.store, { state: 'sent' }, { limit: 5 })).rows.length === 3)
  await stop()
  const paths = taken.map(({ from, to }) => `<${from}> to ${to.join()}`)
  expect(new Set(paths)).toEqual(new Set([1, 2, 3].map((n) => `<> to ann-${n}@example.org`)))
  expect(taken.every(({ text }) => /^Message-ID: <auto-\d@mail\.localhost>\r$/m.test(text))).toBe(true)
  expect(await attempts(registry, 'sent')).toBe(3)
  expect((await bed.state(ids[0] ?? '')).lastResult).toMatch(/^250 /)
})

test.each([
  ['a recipient that is deferred', { onRecipient: () => saying(451, 'later') }, 'deferred', 'pending', /^451 later/],
  ['a mail that is deferred', { onContent: () => saying(452, 'full') }, 'deferred', 'pending', /^452 full/],
  ['a recipient that is refused', { onRecipient: () => saying(550, 'nobody') }, 'refused', 'failed', /^550 nobody/],
  ['a mail that is refused', { onContent: () => saying(554, 'spam') }, 'refused', 'failed', /^554 spam/],
  ['a relay that wants a login', { onRecipient: () => saying(530, 'log in') }, 'unreachable', 'pending', /^530 log in/],
  ['a relay that refuses us', { onConnect: () => saying(554, 'not you') }, 'unreachable', 'pending', /^554 not you/],
] as [string, Answers, string, string, RegExp][])('%s', async (_what, answers, result, state, reply) => {
  const bed = await openBed()
  const { relay } = await startRelay(answers)
  const id = await bed.queue(1)
  const { registry } = bed.start(relay)
  await eventually(async () => (await bed.state(id)).lastResult !== null)
  expect(await bed.state(id)).toMatchObject({ state, attempts: 1 })
  expect((await bed.state(id)).lastResult).toMatch(reply)
  await eventually(async () => (await attempts(registry, result)) === 1)
})

test('a deferred mail is tried again when its time comes, and not before; it keeps its Message-ID', async () => {
  const bed = await openBed()
  const texts: string[] = []
  const { relay, taken } = await startRelay({
    onContent: ({ text }) => (texts.push(text) < 3 ? saying(451, 'later') : undefined),
  })
  const id = await bed.queue(1)
  bed.start(relay)
  await eventually(() => texts.length === 1)
  await eventually(async () => (await bed.state(id)).state === 'pending')
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(texts).toHaveLength(1)
  bed.clock.turn(MINUTE_MS)
  await eventually(async () => texts.length === 2 && (await bed.state(id)).state === 'pending')
  bed.clock.turn(5 * MINUTE_MS)
  await eventually(() => taken.length === 1)
  expect(new Set(texts).size).toBe(1)
  await eventually(async () => (await bed.state(id)).state === 'sent')
  expect((await bed.state(id)).attempts).toBe(3)
})

test('after five days it has failed; a person has it tried again', async () => {
  const bed = await openBed()
  let isOpen = false
  const { relay, taken } = await startRelay({ onRecipient: () => (isOpen ? undefined : saying(451, 'later')) })
  const id = await bed.queue(1)
  const { registry } = bed.start(relay)
  await eventually(async () => (await bed.state(id)).lastResult !== null)
  bed.clock.turn(5 * DAY_MS)
  await eventually(async () => (await bed.state(id)).state === 'failed')
  await eventually(async () => (await attempts(registry, 'expired')) === 1)
  isOpen = true
  await retryOutbound(bed.store, id, bed.clock.now())
  await eventually(() => taken.length === 1)
})

test('a relay that takes its time over the final dot gets a mail once (RFC 5321 4.5.3.2.6)', async () => {
  const bed = await openBed()
  const { relay, taken, sessions } = await startRelay({
    onContent: () => new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 1000)),
  })
  const id = await bed.queue(1)
  bed.start({ ...relay, timeoutMs: 200 })
  await eventually(async () => (await bed.state(id)).lastResult !== null)
  expect(await bed.state(id)).toMatchObject({ state: 'sent', attempts: 1 })
  expect([taken.length, sessions()]).toEqual([1, 1])
})

test('nobody there, and a relay that falls silent: tried again, and others go on', async () => {
  const bed = await openBed()
  const { relay, taken } = await startRelay({
    onRecipient: (address) => (address.startsWith('slow') ? new Promise(() => undefined) : undefined),
  })
  const slow = await bed.queue(1, { to: 'slow@example.org' })
  const quick = await bed.queue(2)
  const { stop } = bed.start({ ...relay, replyTimeoutMs: 500 })
  await eventually(async () => (await bed.state(quick)).state === 'sent')
  await eventually(async () => (await bed.state(slow)).lastResult !== null)
  expect(await bed.state(slow)).toMatchObject({ state: 'pending', lastResult: 'Timeout' })
  await stop()
  expect(taken).toHaveLength(1)
  bed.clock.turn(MINUTE_MS)
  bed.start({ ...relay, port: 1 })
  await eventually(async () => /ECONNREFUSED/.test((await bed.state(slow)).lastResult ?? ''))
})

test('no more mails are under way at a time than is set', async () => {
  const bed = await openBed()
  let now = 0
  let most = 0
  const { relay, taken } = await startRelay({
    onRecipient: async () => {
      most = Math.max(most, ++now)
      await new Promise((resolve) => setTimeout(resolve, 20))
      now -= 1
      return undefined
    },
  })
  for (let n = 1; n <= 8; n++) await bed.queue(n)
  bed.start(relay, { connections: 3 })
  await eventually(() => taken.length === 8)
  expect(most).toBe(3)
})

test('what a process had that ended between claim and mark is sent again, with the same Message-ID', async () => {
  const bed = await openBed()
  const { relay, taken } = await startRelay()
  const id = await bed.queue(1)
  expect(await claimOutbound(bed.store, { now: bed.clock.now(), limit: 1 })).toHaveLength(1)
  bed.start(relay)
  await eventually(async () => (await bed.state(id)).state === 'sent')
  expect(taken).toHaveLength(1)
  expect((await bed.state(id)).attempts).toBe(2)
})

test.each(['onRecipient', 'onContent'] as const)(
  'a stop waits a little for what is under way, and leaves the rest to the next process: %s',
  async (step) => {
    const bed = await openBed()
    const stuck = Promise.withResolvers<void>()
    let isStuck = true
    const answer = () => {
      stuck.resolve()
      return isStuck ? new Promise<undefined>(() => undefined) : undefined
    }
    const { relay, taken } = await startRelay({ [step]: answer })
    const id = await bed.queue(1)
    const { stop } = bed.start(relay)
    await stuck.promise
    await stop()
    expect((await bed.state(id)).state).toBe('sending')
    isStuck = false
    bed.start(relay)
    await eventually(async () => (await bed.state(id)).state === 'sent')
    expect([taken.length, (await bed.state(id)).attempts]).toEqual([1, 2])
  },
)

test('the queue is on the gauges; what is over is forgotten', async () => {
  const bed = await openBed()
  const { relay } = await startRelay({ onRecipient: (to) => (to.startsWith('ann-1') ? saying(451, 'x') : undefined) })
  const first = await bed.queue(1)
  const { registry } = bed.start(relay)
  const gauge = async (name: string) =>
    Number(/^\S+ (\S+)$/m.exec(await registry.getSingleMetricAsString(`mail_ingest_outbound_${name}`))?.[1])
  await eventually(async () => (await gauge('pending')) === 1)
  expect(await gauge('oldest_timestamp_seconds')).toBeCloseTo((await bed.state(first)).createdAt / 1000, 3)
  const second = await bed.queue(2)
  await eventually(async () => (await bed.state(second)).state === 'sent')
  bed.clock.turn(31 * DAY_MS)
  bed.start(relay)
  await eventually(
    async () =>
      await bed.state(second).then(
        () => false,
        () => true,
      ),
  )
})

test('TLS: demanded and not there; offered by a name that holds; and no password in plain text', async () => {
  const pair = localhostPair()
  const logins: string[] = []
  const onAuth: NonNullable<Parameters<typeof startRelay>[1]>['onAuth'] = ({ username, password }, _session, done) => {
    logins.push(`${username}:${password}`)
    done(null, { user: username })
  }
  const plain = await startRelay(
    {},
    { hideSTARTTLS: true, disabledCommands: ['STARTTLS'], allowInsecureAuth: true, onAuth },
  )
  const offered = await startRelay({}, { ...pair, onAuth })
  const implicit = await startRelay({}, { ...pair, secure: true, onAuth })
  const credentials = { user: 'u@x', pass: 'p/%' }
  const trusted = { host: 'localhost', ca: pair.cert }
  const cases: [what: object, state: string, says: RegExp][] = [
    [{ ...plain.relay, tls: 'required' }, 'pending', /STARTTLS|502|500/i],
    [{ ...plain.relay, credentials }, 'pending', /no TLS, and a password is not sent/],
    [{ ...plain.relay }, 'sent', /^250/],
    [{ ...offered.relay, tls: 'required' }, 'pending', /self-signed|altnames|certificate/i],
    [{ ...offered.relay, tls: 'required', ...trusted, credentials }, 'sent', /^250/],
    [{ ...offered.relay, tls: 'opportunistic' }, 'sent', /^250/],
    [{ ...implicit.relay, secure: true, tls: 'opportunistic' }, 'pending', /self-signed|altnames|certificate/i],
    [{ ...implicit.relay, secure: true, tls: 'opportunistic', ...trusted, credentials }, 'sent', /^250/],
  ]
  const bed = await openBed()
  for (const [n, [relay, state, says]] of cases.entries()) {
    const id = await bed.queue(n)
    const { stop } = bed.start(relay as typeof plain.relay)
    await eventually(async () => (await bed.state(id)).lastResult !== null)
    await stop()
    expect([n, await bed.state(id)]).toMatchObject([n, { state, lastResult: expect.stringMatching(says) as string }])
  }
  expect(logins).toEqual(['u@x:p/%', 'u@x:p/%'])
  expect([plain, offered, implicit].map(({ taken }) => taken.length)).toEqual([1, 2, 1])
})
