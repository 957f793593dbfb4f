import { sql } from 'kysely'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EventLogError, type Consumption } from '../eventlog/eventlog.ts'
import { countByStatus, getJob, listEvents } from '../store/store.ts'
import { planReplay, replay, type ReplaySelector } from './indexer.ts'
import { Bed, fastClock, mail, testParsers, withCsv } from './testing/bed.ts'

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
})
afterEach(() => bed.close())
afterAll(() => pool.close())

const poison = mail(9, `From: a@b\nMessage-ID: <p@x>\n${'X: y\n'.repeat(20_000)}\nmark\n`)
const mails = [
  withCsv(1, 'a@x'),
  withCsv(2, 'b@x'),
  withCsv(3, 'b@x'),
  mail(4, 'Subject: s\n\nmark\n', { tenant: 'other' }),
  poison,
]
const idOf = (n: number) => mails[n]?.meta.messageId ?? ''
const parts = () => ({ store: bed.store, blobs: bed.blobs, log: bed.log, clock: fastClock, source: '/ingest/test/ctl' })
const never = new AbortController().signal

test.each<[string, ReplaySelector, number[]]>([
  ['ids', { by: 'messages', ids: [idOf(1), idOf(0)] }, [1, 0]],
  ['a tenant', { by: 'filter', filter: { tenant: 'other' } }, [3]],
  ['a status', { by: 'filter', filter: { status: 'QUARANTINED' } }, [4]],
  ['a reason that no message has', { by: 'filter', filter: { reason: 'none' } }, []],
  ['a time range, newest first', { by: 'filter', filter: { from: 1.7e12 + 2000, until: 1.7e12 + 4000 } }, [2, 1]],
  ['log offsets', { by: 'offsets', partition: 0, from: 1, until: 3 }, [1, 2]],
  ['log offsets to the end', { by: 'offsets', partition: 0, from: 3 }, [3, 4]],
  ['objects', { by: 'objects', prefix: 'other/' }, [3]],
])('planned by %s', async (_what, selector, want) => {
  await bed.deliver(mails)
  await bed.index()
  const plan = await planReplay(parts(), selector)
  expect(plan).toEqual({ count: want.length, sample: want.map(idOf) })
})

describe('offsets', () => {
  const everyOffset: ReplaySelector = { by: 'offsets', partition: 0, from: 0 }
  const told = async (selector: ReplaySelector, change = {}) =>
    (await planReplay({ ...parts(), ...change }, selector)).sample

  test('are read from the log itself, so an empty store will do', async () => {
    await bed.deliver(mails)
    const selector = { by: 'offsets', partition: 0, from: 1, until: 4 } as const
    expect(await told(selector)).toEqual([1, 2, 3].map(idOf))
    expect(await replay(parts(), { jobId: 'j', selector, perSecond: 1000, signal: never })).toMatchObject({ done: 3 })
  })

  test('that retention took from the log are read from the copy in the store', async () => {
    await bed.deliver(mails)
    await bed.index()
    const { log } = bed
    const trimmed = {
      ...log,
      offsetsAt: async () => [{ topic: 'mail.ingest.v1', partition: 0, offset: 3 }],
      consume: (want: Consumption) => {
        const startAt = async (topic: string, partition: number, held: AbortSignal) => {
          const offset = await want.startAt(topic, partition, held)
          if (offset < 3) throw new EventLogError('server', 'gone')
          return offset
        }
        return log.consume({ ...want, startAt })
      },
    }
    expect(await told(everyOffset, { log: trimmed })).toEqual(mails.map((_, n) => idOf(n)))
    expect(await told({ ...everyOffset, until: 2 }, { log: trimmed })).toEqual([0, 1].map(idOf))
  })

  test('are looked for in the copy from the first that is there: what it never had costs nothing', async () => {
    const far = 50_000_000
    const partition = 0
    await bed.deliver(mails)
    await bed.index()
    await sql`update events set log_offset = log_offset + ${far} where topic = 'mail.ingest.v1'`.execute(
      bed.store.kysely,
    )
    const at = async (offset: number) => [{ topic: 'mail.ingest.v1', partition, offset }]
    const trimmed = { ...bed.log, offsetsAt: () => at(far + 10), ends: () => at(far + 10) }
    expect(await told(everyOffset, { log: trimmed })).toEqual(mails.map((_, n) => idOf(n)))
  })

  test('without an end stop where the log ended at the start, and do not follow what they tell', async () => {
    await bed.deliver(mails)
    const stop = new AbortController()
    const begun = { jobId: 'j', selector: everyOffset, perSecond: 2, signal: stop.signal }
    await replay(parts(), { ...begun, onProgress: () => stop.abort() })
    const done = await replay(parts(), { jobId: 'j', resume: true, perSecond: 1000, signal: never })
    expect(done).toMatchObject({ state: 'done', done: 5, total: 5 })
  })

  test('of a partition that is none are refused', async () => {
    await expect(told({ ...everyOffset, partition: 7 })).rejects.toMatchObject({ reason: 'invalid' })
  })

  test('keep what an operator had decided then', async () => {
    await bed.deliver(mails.slice(0, 3))
    const last = mails[2]
    if (last !== undefined) await bed.log.append([{ ...last.event, replay: { id: 'p', force: 'duplicate' } }])
    const selector = { by: 'offsets', partition: 0, from: 3 } as const
    await replay(parts(), { jobId: 'j', selector, perSecond: 1000, signal: never })
    const [event] = await bed.log.query({ limit: 1, newest: true })
    expect(event?.event.replay).toEqual({ id: 'j', force: 'duplicate' })
  })
})

test('engines that are away for a while are waited for, and nothing is left out', async () => {
  await bed.deliver(mails)
  await bed.index()
  let away = 4
  const trouble = () => {
    if (--away % 2 === 1 && away > 0) throw new EventLogError('server', 'away')
  }
  const log = {
    ...bed.log,
    append: async (events: Parameters<typeof bed.log.append>[0]) => {
      trouble()
      await bed.log.append(events)
      trouble()
    },
  }
  const options = { jobId: 'j', selector: { by: 'filter', filter: {} }, perSecond: 2, signal: never } as const
  expect(await replay({ ...parts(), log }, options)).toMatchObject({ state: 'done', done: 5, failed: 0 })
  const replayed = (await bed.log.query({ limit: 100 })).filter(({ event }) => event.replay?.id === 'j')
  expect(new Set(replayed.map(({ event }) => event.subject)).size).toBe(5)
})

test('the log gets no more messages each second than were asked for', async () => {
  await bed.deliver(mails)
  await bed.index()
  let now = 0
  const clock = { ...fastClock, monotonic: () => now, sleep: async (ms: number) => void (now += ms) }
  const appended: { at: number; count: number }[] = []
  const append = async (events: readonly unknown[]) => void appended.push({ at: now, count: events.length })
  const selector = { by: 'messages', ids: Array.from({ length: 500 }, (_, at) => idOf(at % 5)) } as const
  const log = { ...bed.log, append }
  await replay({ ...parts(), clock, log }, { jobId: 'j', selector, perSecond: 100, signal: never })
  expect(appended.reduce((sum, { count }) => sum + count, 0)).toBe(500)
  for (const { at } of appended) {
    const within = appended.filter((each) => each.at >= at && each.at < at + 1000)
    expect(within.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(100)
  }
  expect(now).toBeGreaterThanOrEqual(4000)
})

test('told twice, the rows are the same, and every event of the replays has their mark', async () => {
  await bed.deliver(mails)
  await bed.index()
  const before = await bed.contents()
  const first = await bed.log.query({ limit: 1000 })
  for (const jobId of ['one', 'two']) {
    await replay(parts(), { jobId, selector: { by: 'filter', filter: {} }, perSecond: 1000, signal: never })
    await bed.index()
    expect(await bed.contents()).toEqual(before)
  }
  const later = (await bed.log.query({ limit: 1000 })).slice(first.length)
  expect(later.map(({ event }) => event.replay?.id)).toEqual([...Array(10).fill('one'), ...Array(10).fill('two')])
  const known = new Set(first.map(({ event }) => event.id))
  expect(later.filter(({ event }) => !known.has(event.id))).toEqual([])
})

test('an id that is none is said so, and nothing is told', async () => {
  await bed.deliver(mails)
  await bed.index()
  const jobId = 'j'
  const options = {
    jobId,
    selector: { by: 'messages', ids: [idOf(0), 'none'] } as const,
    perSecond: 1000,
    signal: never,
  }
  await expect(replay(parts(), options)).rejects.toMatchObject({ reason: 'not_found' })
  await expect(getJob(bed.store, jobId)).rejects.toMatchObject({ reason: 'not_found' })
})

test('told again, everything comes out the same; interrupted, it goes on where it was', async () => {
  await bed.deliver(mails)
  await bed.index()
  const before = await bed.contents()
  const stop = new AbortController()
  const selector: ReplaySelector = { by: 'filter', filter: {} }
  const first = await replay(parts(), {
    jobId: 'j',
    selector,
    perSecond: 2,
    signal: stop.signal,
    onProgress: () => stop.abort(),
  })
  expect(first).toMatchObject({ state: 'interrupted', done: 2, total: 5 })
  const second = await replay(parts(), { jobId: 'j', resume: true, perSecond: 1000, signal: never })
  expect(second).toMatchObject({ state: 'done', done: 5, failed: 0 })
  await bed.index()
  expect(await bed.contents()).toEqual(before)
  const told = (await listEvents(bed.store, { types: ['ingest.received'] }, { limit: 100 })).rows
  expect(told.filter((event) => event.replayId === 'j')).toHaveLength(5)
  expect(new Set(told.map((event) => event.id)).size).toBe(5)
  await expect(replay(parts(), { jobId: 'j', resume: true, perSecond: 1, signal: never })).rejects.toMatchObject({
    reason: 'conflict',
  })
})

test('rows that are lost come back from the object store alone', async () => {
  await bed.deliver(mails)
  await bed.index()
  const before = await bed.contents()
  for (const table of ['messages', 'message_mailboxes', 'message_keys', 'documents', 'thread_ids', 'search_index']) {
    await sql.raw(`delete from ${table}`).execute(bed.store.kysely)
  }
  const selector: ReplaySelector = { by: 'objects', prefix: '' }
  expect(await replay(parts(), { jobId: 'j', selector, perSecond: 1000, signal: never })).toMatchObject({ done: 5 })
  await bed.index()
  expect(await bed.contents()).toEqual(before)
  expect(await countByStatus(bed.store)).toMatchObject({ PARSED: 3, DUPLICATE: 1, QUARANTINED: 1 })
})
