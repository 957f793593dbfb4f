// Three brokers: leaders change, replicas are missing.

import kafkajs, { type Admin } from 'kafkajs'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import type { EventLog, LoggedEvent, MailEvent } from './eventlog.ts'
import { adminOf, freshPrefix, makeTopics, openLog } from './testing/kafka-bed.ts'
import { received } from './testing/records.ts'

const TOPIC = 'mail.ingest.v1'
const PARTITIONS = 3

let kafka: Kafka
let admin: Admin
let prefix: string
const opened: EventLog[] = []
beforeAll(async () => {
  kafka = await startKafka({ brokers: 3 })
  admin = await adminOf(kafka)
})
afterAll(async () => {
  await admin.disconnect()
  await kafka.stop()
})
beforeEach(async () => {
  prefix = freshPrefix()
  await makeTopics(kafka, { prefix, partitions: PARTITIONS, replication: 3 })
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
})

function open(appendMaxMs: number): EventLog {
  const log = openLog(kafka, prefix, { appendMaxMs })
  opened.push(log)
  return log
}

async function partitions() {
  const { topics } = await admin.fetchTopicMetadata({ topics: [prefix + TOPIC] })
  return topics[0]?.partitions ?? []
}

/** The node that leads a partition, from 0. */
const leaderOf = async (partition: number) =>
  ((await partitions()).find(({ partitionId }) => partitionId === partition)?.leader ?? 0) - 1

async function all(log: EventLog): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = []
  const want = { topics: [TOPIC], startAt: async () => 0, batchMax: 500, untilEnd: true }
  for await (const batch of log.consume({ ...want, signal: AbortSignal.timeout(60_000) })) events.push(...batch)
  return events
}

/** Appends events one by one, as eight callers; `during` runs in the middle. Resolves to what was acknowledged. */
async function appendThrough(log: EventLog, during: () => Promise<void>): Promise<MailEvent[]> {
  const acknowledged: MailEvent[] = []
  const callers = { running: true }
  const appends = Array.from({ length: 8 }, async (_, caller) => {
    for (let n = 0; callers.running; n++) {
      const event = { ...received(`c${caller}`, n), subject: `message of ${caller}` }
      await log.append([event])
      acknowledged.push(event)
    }
  })
  const both = Promise.all(appends)
  while (acknowledged.length < 200) await Promise.race([both, new Promise((resolve) => setTimeout(resolve, 10))])
  await during()
  const before = acknowledged.length
  while (acknowledged.length < before + 200)
    await Promise.race([both, new Promise((resolve) => setTimeout(resolve, 10))])
  callers.running = false
  await both
  return acknowledged
}

/** Replicas of the partition that has fewest. */
const inSync = async () => Math.min(...(await partitions()).map(({ isr }) => isr.length))

/** Nothing acknowledged is missing, and each caller's events stand in its order, once. */
function expectWhole(there: readonly LoggedEvent[], acknowledged: readonly MailEvent[]): void {
  expect(there).toHaveLength(acknowledged.length)
  for (const events of Map.groupBy(acknowledged, ({ subject }) => subject).values()) {
    const key = events[0]?.subject
    const found = there.filter(({ event }) => event.subject === key).map(({ event }) => event.id)
    expect(found).toEqual(events.map(({ id }) => id))
  }
}

test('a leader is killed: another takes over, appends ride it out, nothing is lost, doubled or out of order', async () => {
  const log = open(30_000)
  const leader = await leaderOf(0)
  const acknowledged = await appendThrough(log, () => kafka.kill(leader))
  expect(await leaderOf(0)).not.toBe(leader)
  await kafka.restart(leader)
  expectWhole(await all(log), acknowledged)
}, 120_000)

test('a leader is frozen: another takes over within the bound of an append', async () => {
  const log = open(30_000)
  const leader = await leaderOf(1)
  const appended = appendThrough(log, async () => kafka.freeze(leader)).finally(() => kafka.thaw(leader))
  const acknowledged = await appended
  // Until it follows the new one it takes itself for the leader, and tells an end of before.
  await expect.poll(async () => (await all(log)).length, { timeout: 60_000 }).toBe(acknowledged.length)
  expectWhole(await all(log), acknowledged)
}, 120_000)

test('too few replicas in sync: rejected within the bound, not weakened; acknowledged when they are back', async () => {
  const log = open(3000)
  await log.append([received('few', 0)])
  const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: prefix + TOPIC }
  const configEntries = [{ name: 'min.insync.replicas', value: '3' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
  await kafka.kill(2)
  while ((await inSync()) > 2) await new Promise((resolve) => setTimeout(resolve, 50))
  const began = Date.now()
  await expect(log.append([received('few', 1)])).rejects.toMatchObject({ name: 'EventLogError', fault: 'server' })
  expect(Date.now() - began).toBeLessThan(5000)
  await kafka.restart(2)
  while ((await inSync()) < 3) await new Promise((resolve) => setTimeout(resolve, 50))
  await log.append([received('few', 1)])
  const sizes = (await all(log)).map(({ event }) => (event.data as { sizeBytes: number }).sizeBytes)
  expect(new Set(sizes)).toEqual(new Set([0, 1]))
}, 120_000)
