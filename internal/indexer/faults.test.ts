// Outages and poison: what is written in the end is what an undisturbed run writes (durability.md T16, T17).

import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { BlobError, type BlobStore } from '../blob/blob.ts'
import { EventLogError, type EventLog, type MailEvent } from '../eventlog/eventlog.ts'
import type { Clock } from '../ports/ports.ts'
import type { Store } from '../store/store.ts'
import { checkpointOf, countByStatus, getMessage, listEvents, outboxState, StoreError } from '../store/store.ts'
import { Bed, eventually, fastClock, mail, putMail, silent, testParsers, withCsv, type Mail } from './testing/bed.ts'

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
})
afterEach(() => bed.close())
afterAll(() => pool.close())

const deliver = (mails: readonly Mail[]) => bed.deliver(mails)

test('a store that another connection has locked makes the lag grow and loses nothing (T16)', async () => {
  const other = new Database(bed.storeFile)
  other.exec('begin immediate')
  const running = bed.start()
  await deliver([withCsv(1, 'a@x')])
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(await countByStatus(bed.store)).toMatchObject({ PARSED: 0 })
  other.exec('rollback')
  other.close()
  await eventually(() => bed.settled())
  await running.stop()
  expect(await countByStatus(bed.store)).toMatchObject({ PARSED: 1 })
})

test('an object that is missing fails after its retries, holds up nobody, and can be tried again', async () => {
  const [lost, fine] = [withCsv(1, 'a@x'), withCsv(2, 'b@x')]
  await putMail(bed.blobs, lost)
  await bed.blobs.delete(lost.meta.rawKey)
  await bed.log.append([lost.event])
  await deliver([fine])
  const order: string[] = []
  await bed.index({ concurrency: 1, onIndexed: ({ messageId }) => order.push(messageId) })
  expect(order).toEqual([fine.meta.messageId, lost.meta.messageId])
  expect(await getMessage(bed.store, lost.meta.messageId)).toMatchObject({
    status: 'FAILED',
    reason: 'object_missing',
    detail: { attempts: 4 },
    mailbox: 'orders@mail.localhost',
  })
  expect((await listEvents(bed.store, { types: ['message.failed'] }, { limit: 5 })).rows).toHaveLength(1)

  await putMail(bed.blobs, lost)
  await bed.log.append([{ ...lost.event, replay: { id: 'again' } }])
  await bed.index()
  expect(await getMessage(bed.store, lost.meta.messageId)).toMatchObject({ status: 'PARSED', reason: null })
})

test('a replay whose object is gone leaves the rows of the first time', async () => {
  const sent = withCsv(1, 'a@x')
  await deliver([sent])
  await bed.index()
  const before = await bed.contents()
  await bed.blobs.delete(sent.meta.rawKey)
  await bed.log.append([{ ...sent.event, replay: { id: 'again' } }])
  await bed.index()
  expect(await bed.contents()).toEqual(before)
})

test('other bytes than were received are our fault, not the message’s', async () => {
  const sent = withCsv(1, 'a@x')
  const event = { ...sent.event, data: { ...sent.event.data, sha256: 'f'.repeat(64) } }
  await putMail(bed.blobs, sent)
  await bed.log.append([event])
  await bed.index()
  expect(await getMessage(bed.store, sent.meta.messageId)).toMatchObject({ status: 'FAILED', reason: 'digest' })
})

test('poison is quarantined with its reason and the checkpoint moves on (T17)', async () => {
  const poison = mail(1, `From: a@b\nMessage-ID: <p@x>\n${'X: y\n'.repeat(20_000)}\nmark\n`)
  await deliver([poison, withCsv(2, 'b@x')])
  await bed.index()
  const row = await getMessage(bed.store, poison.meta.messageId)
  expect(row).toMatchObject({ status: 'QUARANTINED', mailbox: 'orders@mail.localhost' })
  expect(row.reason).toMatch(/^[a-z_]+$/)
  expect((await listEvents(bed.store, { types: ['message.quarantined'] }, { limit: 5 })).rows).toHaveLength(1)
  expect(await countByStatus(bed.store)).toMatchObject({ QUARANTINED: 1, PARSED: 1 })
})

test('a message that never ends parsing holds back the checkpoint and nobody else; it is shown as STORED', async () => {
  const slow = withCsv(1, 'slow@x')
  const others = Array.from({ length: 10 }, (_, n) => withCsv(n + 2, `${n}@x`))
  await deliver([slow, ...others])
  const parse: typeof bed.parsers.parse = async (input) =>
    input.workDir.includes(slow.meta.messageId) ? new Promise(() => {}) : bed.parsers.parse(input)
  const running = bed.start({ concurrency: 2, parsers: { parse } })
  await eventually(async () => (await countByStatus(bed.store)).PARSED === 10)
  await eventually(async () => (await countByStatus(bed.store)).STORED === 1)
  expect(await checkpointOf(bed.store, 'indexer', 'mail.ingest.v1', 0)).toBe(0)
  expect(await running.stop()).toBeUndefined()
  await bed.index()
  expect(await countByStatus(bed.store)).toMatchObject({ PARSED: 11, STORED: 0 })
})

test('while the log takes no events they wait in the outbox, in order', async () => {
  const broken: EventLog = {
    append: async () => {
      throw new Error('log is down')
    },
    consume: (want) => bed.log.consume(want),
    ends: (topic) => bed.log.ends(topic),
    offsetsAt: (topic, time) => bed.log.offsetsAt(topic, time),
    close: async () => {},
  }
  await deliver([withCsv(1, 'a@x'), withCsv(2, 'b@x')])
  const running = bed.start({ log: broken })
  await eventually(async () => (await countByStatus(bed.store)).PARSED === 2)
  await running.stop()
  expect((await listEvents(bed.store, { types: ['indexer.indexed'] }, { limit: 5 })).rows).toHaveLength(0)
  await bed.index()
  expect((await listEvents(bed.store, { types: ['indexer.indexed'] }, { limit: 5 })).rows).toHaveLength(2)
})

test.each<[string, (event: MailEvent) => MailEvent, Error]>([
  ['too large', (event) => event, new EventLogError('too_large', 'larger than the max message size')],
  // As the log says it of data that its schema forbids.
  [
    'against its schema',
    (event) => ({ ...event, data: { ...event.data, sizeBytes: -1 } }) as MailEvent,
    new TypeError(),
  ],
])(
  'an event that the log never takes (%s) is set aside with its reason; the others go on',
  async (_name, told, error) => {
    const mails = [1, 2, 3].map((n) => withCsv(n, `${n}@x`))
    await deliver(mails)
    const bad = mails[1]?.event.subject
    const changed = (event: MailEvent) =>
      event.type === 'indexer.indexed' && event.subject === bad ? told(event) : event
    const log: EventLog = {
      ...bed.log,
      append: async (events) => {
        const all = events.map(changed)
        if (
          error instanceof EventLogError &&
          events.some(({ subject, type }) => subject === bad && type !== 'ingest.received')
        )
          throw error
        await bed.log.append(all)
      },
    }
    const said: object[] = []
    const logger = { ...silent, error: (fields: object) => void said.push(fields) }
    const running = bed.start({ log, logger })
    await eventually(async () => (await countByStatus(bed.store)).PARSED === 3 && (await bed.settled()))
    await running.stop()
    const subjects = (await listEvents(bed.store, { types: ['indexer.indexed'] }, { limit: 9 })).rows.map(
      ({ subject }) => subject,
    )
    expect(new Set(subjects)).toEqual(new Set([mails[0], mails[2]].map((each) => each?.event.subject)))
    expect(said).toMatchObject([{ type: 'indexer.indexed', messageId: bad }])
    expect(await outboxState(bed.store)).toMatchObject({ pending: 0, refused: 1 })
    // A person mended it: it goes out with the next ones.
    await sql`update outbox set refused = null`.execute(bed.store.kysely)
    await bed.index()
    expect(
      (await listEvents(bed.store, { types: ['indexer.indexed'] }, { limit: 9 })).rows.map((row) => row.subject),
    ).toContain(bad)
  },
)

test.each([
  ['server', 'down'],
  ['timeout', 'no answer'],
  ['client', 'InvalidAccessKeyId: wrong credentials'],
  ['client', 'NoSuchBucket'],
] as const)('an object store that refuses every object (%s: %s) is waited for', async (fault, message) => {
  const sent = withCsv(1, 'a@x')
  await deliver([sent])
  let down = true
  const blobs: BlobStore = {
    ...bed.blobs,
    get: async (key) => {
      if (down) throw new BlobError(fault, message)
      return bed.blobs.get(key)
    },
  }
  const running = bed.start({ blobs, retries: 0 })
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(await countByStatus(bed.store)).toMatchObject({ FAILED: 0, PARSED: 0 })
  down = false
  await eventually(() => bed.settled())
  await running.stop()
  expect(await countByStatus(bed.store)).toMatchObject({ PARSED: 1 })
})

test('without the right to write, mails with attachments wait, however many without get through', async () => {
  await deliver([withCsv(0, '0@x')])
  let refused = 0
  let denied = true
  const blobs: BlobStore = {
    ...bed.blobs,
    put: async (key, upload) => {
      if (!denied) return bed.blobs.put(key, upload)
      refused += 1
      throw new BlobError('client', 'AccessDenied')
    },
  }
  // No pause between the tries, so that there are more than an object that is alone gets.
  const clock: Clock = { ...fastClock, sleep: (_ms, signal) => fastClock.sleep(1, signal) }
  const running = bed.start({ blobs, retries: 0, clock })
  let sent = 0
  await eventually(async () => {
    await deliver([mail(++sent, `From: a@b\nMessage-ID: <${sent}@x>\n\nmark\n`)])
    return refused > 50 && sent > 50
  })
  expect(await countByStatus(bed.store)).toMatchObject({ FAILED: 0 })
  denied = false
  await eventually(() => bed.settled())
  await running.stop()
  expect(await countByStatus(bed.store)).toMatchObject({ FAILED: 0, PARSED: sent + 1 })
})

/** A store whose transactions fail while `broken` says so. */
const failing = (broken: () => boolean): Store => ({
  ...bed.store,
  close: async () => {},
  transaction: async (work) => {
    if (broken()) throw new StoreError('invalid', 'a bug')
    return bed.store.transaction(work)
  },
})

test.each([
  ['for a while', 3],
  ['also when FAILED is to be written', 40],
])('a store error that is no outage, %s: tried until the message is PARSED or FAILED', async (_how, failures) => {
  await deliver([withCsv(1, 'a@x')])
  let count = 0
  // The projector's transactions fail as well.
  await bed.index({ store: failing(() => count++ < failures), retries: 1 })
  const { FAILED, PARSED } = await countByStatus(bed.store)
  expect(FAILED + PARSED).toBe(1)
})

test('a table that is away for a while holds messages up and leaves none of them out', async () => {
  const admin = new Database(bed.storeFile)
  admin.pragma('legacy_alter_table = on')
  admin.exec('alter table messages rename to messages_away')
  const running = bed.start({ retries: 0 })
  await deliver([1, 2, 3, 4, 5, 6].map((n) => withCsv(n, `${n}@x`)))
  await new Promise((resolve) => setTimeout(resolve, 500))
  admin.exec('alter table messages_away rename to messages')
  admin.close()
  await eventually(() => bed.settled(), 10_000)
  expect(await running.stop()).toBeUndefined()
  expect(await countByStatus(bed.store)).toMatchObject({ FAILED: 0, PARSED: 6 })
})

test('work directories left by a kill are removed at the start, and none is left in the end', async () => {
  await mkdir(join(bed.workRoot, 'messages', 'left'), { recursive: true })
  await deliver([withCsv(1, 'a@x')])
  await bed.index()
  expect(await readdir(join(bed.workRoot, 'messages')).catch(() => [])).toEqual([])
  await rm(bed.workRoot, { recursive: true, force: true })
})
