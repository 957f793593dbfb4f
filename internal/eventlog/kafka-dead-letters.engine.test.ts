// Dead letters on a real Kafka of one node: what the contract does not reach, and trouble with the broker.

import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import { measured, type DeadLetter, type EventLog, type Keeping } from './eventlog.ts'
import { adminOf, appendRaw, freshPrefix, makeTopics, openLog } from './testing/kafka-bed.ts'
import { realClock, received } from './testing/records.ts'

const TOPIC = 'mail.ingest.v1'
const PARTITIONS = 3
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

function open(): EventLog & Keeping {
  const log = openLog(kafka, prefix, { appendMaxMs: 5000 })
  opened.push(log)
  return log
}

async function letters(log: Keeping): Promise<DeadLetter[]> {
  const found: DeadLetter[] = []
  const signal = AbortSignal.timeout(30_000)
  for await (const letter of log.deadLetters.read({ group: 'indexer', topic: TOPIC, signal })) found.push(letter)
  return found
}

/** A member of the group, from the beginning to the present end, again when the broker's trouble ends it. */
async function consumeAll(log: EventLog): Promise<Set<string>> {
  const seen = new Set<string>()
  const reached = new Map<number, number>()
  const startAt = async (_topic: string, partition: number) => reached.get(partition) ?? 0
  const want = { group: 'indexer', topics: [TOPIC], startAt, batchMax: 5, untilEnd: true }
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    try {
      for await (const batch of log.consume({ ...want, signal: AbortSignal.timeout(60_000) })) {
        for (const { event, partition, offset } of batch) {
          seen.add(event.id)
          reached.set(partition, offset + 1)
        }
        await sleep(20)
      }
      return seen
    } catch {
      await sleep(200)
    }
  }
  return seen
}

const until = async (condition: () => boolean) => {
  for (const end = Date.now() + 30_000; !condition(); await sleep(20)) {
    if (Date.now() > end) throw new Error('waited 30 s in vain')
  }
}

test('no topic for dead letters: that partition waits, the others go on; once it is made nothing is missing', async () => {
  const admin = await adminOf(kafka)
  await admin.deleteTopics({ topics: [`${prefix}indexer.${TOPIC}.dlt`] })
  const log = open()
  await appendRaw(kafka, prefix, { key: 'k', value: 'no event', partition: 0 })
  const events = Array.from({ length: 60 }, (_, n) => received('others', n))
  await log.append(events)
  const all = (await log.ends(TOPIC)).map(({ offset }) => offset)
  const seen = new Map<number, number>()
  const signal = AbortSignal.timeout(60_000)
  const want = { group: 'indexer', topics: [TOPIC], startAt: async () => 0, batchMax: 5, untilEnd: true, signal }
  const reading = (async () => {
    for await (const batch of log.consume(want))
      for (const { partition } of batch) seen.set(partition, (seen.get(partition) ?? 0) + 1)
  })()
  await until(() => seen.get(1) === all[1] && seen.get(2) === all[2])
  await sleep(6000)
  expect(seen.get(0)).toBeUndefined()
  await makeTopics(kafka, { prefix, partitions: PARTITIONS })
  await reading
  expect(seen.get(0)).toBe((all[0] ?? 0) - 1)
  expect(await letters(log)).toMatchObject([{ id: `indexer/${TOPIC}/0/0`, partition: 0 }])
  await admin.disconnect()
}, 90_000)

test('bytes that are no text, headers given twice, a tombstone and the largest record come through as they were', async () => {
  const log = open()
  const odd = Buffer.from([0, 0xff, 0xc3, 0x28])
  const records = [
    { key: odd, value: odd, headers: { twice: [Buffer.from('1'), odd], once: odd }, partition: 1 },
    { key: 'k', value: null, headers: {}, partition: 1 },
    { key: 'k', value: Buffer.alloc(1024 * 1024 - 300, 7), headers: {}, partition: 1 },
  ]
  for (const record of records) await appendRaw(kafka, prefix, record)
  await consumeAll(log)
  const kept = await letters(log)
  expect(kept.map(({ reason, partition }) => `${reason} ${partition}`)).toEqual(Array(3).fill('malformed 1'))
  expect(kept[0]?.record).toEqual({ key: odd, value: odd, headers: { twice: [Buffer.from('1'), odd], once: odd } })
  expect(kept[1]?.record.value).toBeNull()
  expect(kept[2]?.record.value?.equals(records[2]?.value as Buffer)).toBe(true)
  // And back to where they came from: by key, as everybody's records go.
  for (const letter of kept) await log.deadLetters.replay(letter)
  expect((await log.ends(TOPIC)).reduce((sum, { offset }) => sum + offset, 0)).toBe(6)
}, 60_000)

test('a broker killed while records are kept: every event is handed over, every record that cannot be read has its letter', async () => {
  const log = open()
  const events = Array.from({ length: 200 }, (_, n) => received('killed', n))
  for (let from = 0; from < events.length; from += 20) {
    await log.append(events.slice(from, from + 20))
    await appendRaw(
      kafka,
      prefix,
      [0, 1, 2].map((partition) => ({ key: 'k', value: `bad ${from}`, partition })),
    )
  }
  const registry = new Registry()
  const reading = consumeAll(measured(log, registry, realClock))
  await sleep(700)
  await kafka.kill(0)
  await kafka.restart(0)
  const seen = await reading
  expect(events.filter(({ id }) => !seen.has(id))).toEqual([])
  const kept = await letters(log)
  expect(new Set(kept.map(({ partition, record }) => `${partition} ${String(record.value)}`)).size).toBe(30)
  const counted = /dead_letters_total\{group="indexer",reason="malformed"\} (\d+)/.exec(await registry.metrics())?.[1]
  expect(Number(counted)).toBeGreaterThanOrEqual(30)
  expect(Number(counted)).toBeLessThanOrEqual(kept.length)
}, 120_000)

test('as many records in a row as one fetch brings are kept in few requests, in order', async () => {
  const log = open()
  await appendRaw(
    kafka,
    prefix,
    Array.from({ length: 5000 }, (_, n) => ({ key: 'k', value: `bad ${n}`, partition: 2 })),
  )
  const began = Date.now()
  await consumeAll(log)
  expect(Date.now() - began).toBeLessThan(20_000)
  const kept = await letters(log)
  expect(kept.map(({ offset }) => offset)).toEqual(Array.from({ length: 5000 }, (_, n) => n))
  expect((await log.deadLetters.counts())[0]).toMatchObject({ group: 'indexer', topic: TOPIC, count: 5000 })
}, 60_000)
