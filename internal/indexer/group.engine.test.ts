// Several indexers share one consumer group: they join, leave, die and come back, and in the end everything is done, once, in order.

import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import type { EventLog } from '../eventlog/eventlog.ts'
import { BlobError } from '../blob/blob.ts'
import { openLog } from '../eventlog/testing/kafka-bed.ts'
import { countByStatus } from '../store/store.ts'
import { missing, sharedBed } from '../store/testing/postgres-bed.ts'
import { eventually, testParsers, withCsv, type Mail } from './testing/bed.ts'
import { Group } from './testing/group.ts'

const pool = testParsers()
afterAll(() => pool.close())

const mailsFrom = (first: number, count: number): Mail[] =>
  Array.from({ length: count }, (_, n) => withCsv(first + n, `${first + n}@x`))

describe.skipIf(missing)(`indexers of one group ${missing ?? ''}`, () => {
  const postgres = sharedBed()
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await startKafka()
  })
  afterAll(() => kafka.stop())
  const open = () => Group.open(kafka, postgres(), pool)

  /** Delivers mails without end. `stop` resolves with how many there are. */
  function load(group: Group, pauseMs: number): { stop(): Promise<number> } {
    const over = new AbortController()
    let count = 0
    const running = (async () => {
      for (; !over.signal.aborted; count += 5) {
        await group.deliver(mailsFrom(count + 1, 5))
        await sleep(pauseMs)
      }
      return count
    })()
    const stop = () => {
      over.abort()
      return running
    }
    onTestFinished(async () => void (await stop()))
    return { stop }
  }

  /** Each message is PARSED and told of; the events of each are told in the order in which they were asked for. */
  async function expectAllDone(group: Group, count: number, replays: readonly string[] = []): Promise<void> {
    await eventually(() => group.settled(), 30_000)
    const { PARSED, ...others } = await countByStatus(group.store)
    expect({ PARSED, others: Object.values(others).filter((each) => each > 0) }).toEqual({ PARSED: count, others: [] })
    const events = await group.told()
    const [{ projected } = { projected: 0 }] = (
      await sql<{
        projected: number
      }>`select count(*) as projected from events where topic = 'mail.messages.v1'`.execute(group.store.kysely)
    ).rows
    expect(projected).toBe(events.length)
    const told = Map.groupBy(events, ({ event }) => event.subject)
    expect(told.size).toBe(count)
    for (const each of told.values()) {
      const order = [...new Set(each.map(({ event }) => event.replay?.id ?? ''))]
      expect(order).toEqual(['', ...replays])
    }
  }

  test('partitions go to a member that joins and come back when it leaves, while mail flows', async () => {
    const group = await open()
    const first = await group.join()
    const flow = load(group, 50)
    await eventually(async () => (await countByStatus(group.store)).PARSED > 10)
    for (let turn = 0; turn < 3; turn++) {
      const second = await group.join()
      await sleep(2500)
      expect(await second.stop()).toBeUndefined()
      await sleep(500)
    }
    const count = await flow.stop()
    await expectAllDone(group, count)
    expect(await first.stop()).toBeUndefined()
  })

  test('a member that loses its partitions with work under way: the next one does it, and what comes late changes nothing', async () => {
    const group = await open()
    const held = Promise.withResolvers<void>()
    const parse: typeof pool.parsers.parse = async (input) => {
      await held.promise
      return pool.parsers.parse(input)
    }
    const slow = await group.join({ parsers: { parse }, concurrency: 8 })
    await group.deliver(mailsFrom(1, 40))
    await sleep(1500)
    const second = await group.join()
    const appended = (replay: string) =>
      group.log.append(mailsFrom(1, 40).map(({ event }) => ({ ...event, replay: { id: replay } })))
    await appended('a')
    await eventually(async () => (await countByStatus(group.store)).PARSED > 10)
    held.resolve()
    await appended('b')
    await expectAllDone(group, 40, ['a', 'b'])
    // All comes back to the first.
    expect(await second.stop()).toBeUndefined()
    await appended('c')
    await group.deliver(mailsFrom(41, 10))
    await eventually(() => group.settled(), 30_000)
    expect(await countByStatus(group.store)).toMatchObject({ PARSED: 50, FAILED: 0 })
    expect(await slow.stop()).toBeUndefined()
  })

  test('processes that are killed at their work and started again: every message once, its events in order', async () => {
    const group = await open()
    const flow = load(group, 100)
    const first = await group.spawn()
    const second = await group.spawn()
    await eventually(async () => (await countByStatus(group.store)).PARSED > 20)
    expect(await first.kill('SIGKILL')).toBe('SIGKILL')
    const third = await group.spawn()
    await sleep(1000)
    expect(await second.kill('SIGKILL')).toBe('SIGKILL')
    const count = await flow.stop()
    for (const id of ['a', 'b']) {
      await group.log.append(mailsFrom(1, count).map(({ event }) => ({ ...event, replay: { id } })))
    }
    const fourth = await group.spawn()
    await expectAllDone(group, count, ['a', 'b'])
    expect(await third.kill('SIGTERM')).toBe(0)
    expect(await fourth.kill('SIGTERM')).toBe(0)
  })

  test('one that is stopped while nothing can be read leaves at once, and loses nothing', async () => {
    const group = await open()
    const get = () => Promise.reject(new BlobError('client', 'NoSuchBucket'))
    const member = await group.join({ blobs: { ...group.bed.blobs, get }, concurrency: 2 })
    await group.deliver(mailsFrom(1, 300))
    await sleep(3000)
    expect(await countByStatus(group.store)).toMatchObject({ PARSED: 0, FAILED: 0 })
    const began = Date.now()
    expect(await member.stop()).toBeUndefined()
    expect(Date.now() - began).toBeLessThan(5000)
    await group.join()
    await expectAllDone(group, 300)
  })

  test('one of them publishes; when its turn is taken away, another does', async () => {
    const group = await open()
    let inside = 0
    let most = 0
    const publishers = new Set<number>()
    const counted = (member: number): EventLog => {
      const log = openLog(kafka, group.prefix)
      const append: EventLog['append'] = async (events) => {
        publishers.add(member)
        most = Math.max(most, ++inside)
        await sleep(5)
        await log.append(events).finally(() => (inside -= 1))
      }
      return { ...log, append }
    }
    for (const member of [1, 2, 3]) await group.join({ log: counted(member) })
    await group.deliver(mailsFrom(1, 100))
    await eventually(() => group.settled(), 30_000)
    expect({ most, publishers: publishers.size }).toEqual({ most: 1, publishers: 1 })
    publishers.clear()
    const holders = sql<{ pid: number }>`select pid from pg_locks where locktype = 'advisory' and granted`
    const waiting = sql<{ pid: number }>`select pid from pg_locks where locktype = 'advisory' and not granted`
    expect((await waiting.execute(group.store.kysely)).rows).toHaveLength(2)
    const [holder] = (await holders.execute(group.store.kysely)).rows
    await sql`select pg_terminate_backend(${holder?.pid})`.execute(group.store.kysely)
    const began = Date.now()
    await group.deliver(mailsFrom(101, 20))
    await expectAllDone(group, 120)
    expect(Date.now() - began).toBeLessThan(10_000)
    expect({ most, publishers: publishers.size }).toEqual({ most: 1, publishers: 1 })
  })
})
