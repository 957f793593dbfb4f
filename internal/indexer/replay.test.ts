import { sql } from 'kysely'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
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
