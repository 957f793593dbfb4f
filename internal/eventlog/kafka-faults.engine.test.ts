// A broker that freezes or dies, members that come and go, callers that are slow: on a real Kafka of one node.

import { createHook } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import type { EventLog, LoggedEvent, MailEvent } from './eventlog.ts'
import { EventLogError } from './fault.ts'
import type { KafkaEventLogOptions } from './kafka.ts'
import { adminOf, freshPrefix, lines, makeTopics, openLog } from './testing/kafka-bed.ts'
import { received } from './testing/records.ts'

const TOPIC = 'mail.ingest.v1'
const PARTITIONS = 4
const many = (tag: string, count: number, from = 0) => Array.from({ length: count }, (_, n) => received(tag, from + n))
const idsOf = (events: readonly { id: string }[]) => events.map(({ id }) => id)

let kafka: Kafka
let prefix: string
const opened: EventLog[] = []
beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka.stop())
beforeEach(async () => {
  prefix = freshPrefix()
  await makeTopics(kafka, { prefix, partitions: PARTITIONS })
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
})

function open(more: Partial<KafkaEventLogOptions> = {}): EventLog {
  const log = openLog(kafka, prefix, more)
  opened.push(log)
  return log
}

/** Everything in the log, each partition in order. */
async function all(log: EventLog): Promise<LoggedEvent[]> {
  const signal = AbortSignal.timeout(60_000)
  const events: LoggedEvent[] = []
  for await (const batch of log.consume({
    topics: [TOPIC],
    startAt: async () => 0,
    batchMax: 500,
    untilEnd: true,
    signal,
  })) {
    events.push(...batch)
  }
  return events
}

/** Appends each event until it is acknowledged, as stages do. */
async function insist(log: EventLog, events: readonly MailEvent[]): Promise<number> {
  for (let rejections = 0; ; rejections++) {
    try {
      await log.append(events)
      return rejections
    } catch (error) {
      expect(error).toBeInstanceOf(EventLogError)
      await sleep(50)
    }
  }
}

/** The first occurrence of each of `wanted`, as the log has them. */
const firsts = (events: readonly LoggedEvent[], wanted: readonly MailEvent[]): string[] => {
  const known = new Set(idsOf(wanted))
  return [...new Set(events.map(({ event }) => event.id))].filter((id) => known.has(id))
}

/** Events of one message: one key, so one partition. */
const ofOneMessage = (tag: string, count: number): MailEvent[] =>
  many(tag, count).map((event) => ({ ...event, subject: `message of ${tag}` }))

describe('publishing', () => {
  test('concurrent appends of many messages: each message in its order, nothing twice', async () => {
    const log = open()
    const messages = Array.from({ length: 20 }, (_, n) => ofOneMessage(`m${n}`, 25))
    await Promise.all(messages.flatMap((events) => events.map((event) => log.append([event]))))
    const there = await all(log)
    expect(there).toHaveLength(500)
    expect(new Set(there.map(({ partition }) => partition)).size).toBeGreaterThan(1)
    for (const events of messages) expect(firsts(there, events)).toEqual(idsOf(events))
  })

  test('a broker frozen for 5 s is waited for: acknowledged, once, in order', async () => {
    const log = open()
    await log.append(many('before', 1))
    const messages = Array.from({ length: 8 }, (_, n) => ofOneMessage(`frozen${n}`, 5))
    kafka.freeze(0)
    const appended = Promise.all(
      messages.map(async (events) => {
        for (const event of events) await log.append([event])
      }),
    )
    await sleep(5000)
    kafka.thaw(0)
    await appended
    const there = await all(log)
    for (const events of messages) expect(firsts(there, events)).toEqual(idsOf(events))
    expect(there).toHaveLength(41)
  }, 60_000)

  test('frozen past the bound: rejected in time; what is acknowledged afterwards is there, whatever the broker still wrote', async () => {
    // Just less than the time after which kafkajs gives up a request and takes back the sequence numbers of its records.
    const log = open({ appendMaxMs: 4500 })
    const [before, lost, after] = [ofOneMessage('k', 1), ofOneMessage('k', 4).slice(1), ofOneMessage('k', 7).slice(4)]
    await log.append(before)
    kafka.freeze(0)
    const began = Date.now()
    await expect(log.append(lost)).rejects.toMatchObject({ name: 'EventLogError', fault: 'server' })
    expect(Date.now() - began).toBeLessThan(5500)
    // As many events as were rejected: from the same producer they would count as the same batch, acknowledged and dropped.
    const appended = log.append(after)
    await sleep(2000)
    kafka.thaw(0)
    await appended
    await insist(log, lost)
    const there = firsts(await all(log), [...before, ...lost, ...after])
    expect(there.toSorted()).toEqual(idsOf([...before, ...lost, ...after]).toSorted())
  }, 60_000)

  test('killed twice during a publish: nothing acknowledged is lost, each message in its order', async () => {
    const log = open({ appendMaxMs: 4000 })
    const messages = Array.from({ length: 16 }, (_, n) => ofOneMessage(`killed${n}`, 400))
    const counts = { rejections: 0, acknowledged: 0 }
    const appended = Promise.all(
      messages.map(async (events) => {
        for (const event of events) {
          const rejections = await insist(log, [event])
          counts.rejections += rejections
          counts.acknowledged += 1
        }
      }),
    )
    for (const share of [0.2, 0.5]) {
      await until(() => counts.acknowledged >= share * 6400)
      await kafka.kill(0)
      await sleep(500)
      await kafka.restart(0)
    }
    await appended
    const there = await all(log)
    for (const events of messages) expect(firsts(there, events)).toEqual(idsOf(events))
    expect(there.length - 6400).toBeLessThanOrEqual(counts.rejections)
  }, 120_000)

  test('what waits behind a failed send fails with it, so that nothing overtakes', async () => {
    const log = open({ appendMaxMs: 1500 })
    await log.append(ofOneMessage('w', 1))
    kafka.freeze(0)
    const results: string[] = []
    const appends = ofOneMessage('w', 6).map(async (event, n) => {
      await sleep(n * 50)
      await log.append([event]).then(
        () => results.push(`acknowledged ${n}`),
        () => results.push(`rejected ${n}`),
      )
      // The broker is well again while the others wait.
      if (n === 0) kafka.thaw(0)
    })
    await Promise.all(appends)
    expect(results).toEqual([0, 1, 2, 3, 4, 5].map((n) => `rejected ${n}`))
  }, 30_000)

  test('a topic that is not there is named, whatever is asked of it', async () => {
    const log = openLog(kafka, 'nowhere.')
    opened.push(log)
    const want = { topics: [TOPIC], startAt: async () => 0, batchMax: 1, signal: new AbortController().signal }
    const asked: Promise<unknown>[] = [
      log.append(many('a', 1)),
      log.ends(TOPIC),
      log.offsetsAt(TOPIC, 0),
      first(log.consume(want)),
      first(log.consume({ ...want, group: 'group' })),
    ]
    await Promise.all(asked.map((answer) => expect(answer).rejects.toThrow(/no topic .*nowhere\.mail\.ingest\.v1/)))
  }, 60_000)
})

async function first<T>(batches: AsyncIterable<T>): Promise<T | undefined> {
  for await (const batch of batches) return batch
  return undefined
}

/** Consumes with a checkpoint in `checkpoints`, shared by the members of the group, as a database would hold it. */
function member(log: EventLog, checkpoints: Map<number, number>, workMs = 0) {
  const stop = new AbortController()
  const events: LoggedEvent[] = []
  const starts: number[] = []
  const run = async () => {
    const startAt = async (_topic: string, partition: number) => {
      starts.push(partition)
      return checkpoints.get(partition) ?? 0
    }
    for await (const batch of log.consume({
      group: 'group',
      topics: [TOPIC],
      startAt,
      batchMax: 5,
      signal: stop.signal,
    })) {
      events.push(...batch)
      await sleep(workMs, undefined, { signal: stop.signal }).catch((error: Error) => error)
      const last = batch.at(-1)
      if (last) checkpoints.set(last.partition, Math.max(checkpoints.get(last.partition) ?? 0, last.offset + 1))
    }
  }
  const done = run()
  return { events, starts, done, stop: () => stop.abort() }
}

const until = async (condition: () => boolean) => {
  for (const end = Date.now() + 30_000; !condition(); await sleep(20)) {
    if (Date.now() > end) throw new Error('waited 30 s in vain')
  }
}

describe('consuming', () => {
  test('two members share the partitions and take over from each other: every event at least once, offsets in order', async () => {
    const log = open()
    const checkpoints = new Map<number, number>()
    const events = many('r', 900)
    const feeding = (async () => {
      for (const event of events) {
        await log.append([event])
        await sleep(5)
      }
    })()
    const seen = new Set<string>()
    const note = (...members: { events: LoggedEvent[] }[]) => {
      for (const { events: got } of members) for (const { event } of got) seen.add(event.id)
    }
    const a = member(log, checkpoints)
    await until(() => a.events.length > 50)
    const b = member(open(), checkpoints)
    await until(() => b.events.length > 50)
    expect(new Set(b.starts).size).toBe(PARTITIONS / 2)
    a.stop()
    await a.done
    await feeding
    await until(() => (note(a, b), seen.size === 900))
    b.stop()
    await b.done
    expect(events.filter(({ id }) => !seen.has(id))).toEqual([])
    expect(new Set(b.starts).size).toBe(PARTITIONS)
    for (const { events: got } of [a, b]) {
      for (const of of Map.groupBy(got, ({ partition }) => partition).values()) {
        const offsets = of.map(({ offset }) => offset)
        expect(offsets).toEqual(offsets.toSorted((x, y) => x - y))
      }
    }
  }, 90_000)

  test('a caller slower than the session stays in its group, and gets nothing twice', async () => {
    const log = open()
    await log.append(many('slow', 10))
    const checkpoints = new Map<number, number>()
    const slow = member(log, checkpoints, 11_500)
    await until(() => slow.events.length > 0)
    await sleep(11_000)
    const admin = await adminOf(kafka)
    const { groups } = await admin.describeGroups([`${prefix}group`])
    await admin.disconnect()
    expect(groups[0]?.members).toHaveLength(1)
    expect(slow.starts).toHaveLength(PARTITIONS)
    expect(new Set(slow.events.map(({ event }) => event.id)).size).toBe(slow.events.length)
    slow.stop()
    await slow.done
  }, 60_000)

  test('a broker that dies and comes back: the iteration goes on or rejects, and from the checkpoint nothing is missed', async () => {
    const log = open()
    const checkpoints = new Map<number, number>()
    await log.append(many('x', 50))
    const members = [member(log, checkpoints)]
    await until(() => members[0]?.events.length === 50)
    await kafka.kill(0)
    await kafka.restart(0)
    await insist(log, many('y', 50))
    const seen = () => new Set(members.flatMap(({ events }) => events.map(({ event }) => event.id)))
    for (const end = Date.now() + 40_000; seen().size < 100 && Date.now() < end;) {
      const last = members.at(-1)
      const state = await Promise.race([last?.done.then(() => 'ended').catch((error: unknown) => error), sleep(200)])
      if (state === undefined) continue
      expect(state).toBeInstanceOf(EventLogError)
      members.push(member(log, checkpoints))
    }
    expect(seen().size).toBe(100)
    const last = members.at(-1)
    last?.stop()
    await last?.done
  }, 90_000)

  test('the committed offset is a hint: it follows what the caller came back from, and the start is never taken from it', async () => {
    const admin = await adminOf(kafka)
    const committed = async () => {
      const [topic] = await admin.fetchOffsets({ groupId: `${prefix}a group`, topics: [prefix + TOPIC] })
      return topic?.partitions.map(({ offset }) => Number(offset)).filter((offset) => offset > 0) ?? []
    }
    const log = open()
    await log.append(ofOneMessage('h', 5))
    const stop = new AbortController()
    const consumption = { group: 'a group', topics: [TOPIC], startAt: async () => 0, batchMax: 5 }
    const batches = log.consume({ ...consumption, signal: stop.signal })[Symbol.asyncIterator]()
    expect((await batches.next()).value).toHaveLength(5)
    await sleep(500)
    expect(await committed()).toEqual([])
    const more = batches.next()
    for (const end = Date.now() + 5000; (await committed()).length === 0 && Date.now() < end;) await sleep(50)
    expect(await committed()).toEqual([5])
    stop.abort()
    await more
    // The start is known late, when what lies behind the hint has been fetched.
    await log.append(ofOneMessage('h', 10).slice(5))
    const startAt = () => sleep(300, 0)
    const again = log.consume({ ...consumption, startAt, signal: AbortSignal.timeout(10_000) })
    const offsets: number[] = []
    for await (const batch of again) {
      offsets.push(...batch.map(({ offset }) => offset))
      if (offsets.length >= 10) break
    }
    expect(offsets).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    await admin.disconnect()
  }, 30_000)

  test('a start past the end rejects; one before the retention is told, and begins at the first that is left', async () => {
    const log = open()
    await log.append(ofOneMessage('g', 20))
    const partition = (await log.ends(TOPIC)).find(({ offset }) => offset > 0)?.partition ?? 0
    const want = { topics: [TOPIC], batchMax: 50, untilEnd: true }
    const reading = async (start: number) => {
      const offsets: number[] = []
      const signal = AbortSignal.timeout(20_000)
      const startAt = async (_topic: string, of: number) => (of === partition ? start : 0)
      for await (const batch of log.consume({ ...want, startAt, signal })) {
        offsets.push(...batch.map(({ offset }) => offset))
      }
      return offsets
    }
    await expect(reading(21)).rejects.toThrow(/before the start at 21/)
    const admin = await adminOf(kafka)
    await admin.fetchTopicOffsets(prefix + TOPIC)
    await admin.deleteTopicRecords({ topic: prefix + TOPIC, partitions: [{ partition, offset: '8' }] })
    await admin.disconnect()
    lines.length = 0
    expect(await reading(3)).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
    expect(lines).toMatchObject([{ level: 'warn', fields: { wanted: 3, low: 8 } }])
  }, 60_000)
})

test('an idle log is quiet: no timer each millisecond', async () => {
  const log = open()
  await log.append(many('i', 1))
  await log.ends(TOPIC)
  const idle = member(log, new Map())
  await until(() => idle.events.length === 1)
  let timers = 0
  const hook = createHook({ init: (_id, type) => void (type === 'Timeout' && timers++) })
  hook.enable()
  await sleep(1000)
  hook.disable()
  idle.stop()
  await idle.done
  // With kafkajs as it is: about 900 for each of three connections.
  expect(timers).toBeLessThan(60)
}, 30_000)
