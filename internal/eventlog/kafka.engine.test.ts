// The contract of every event log, and topics, on a real Kafka of one node.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import { eventLogContract } from './contract.ts'
import type { EventLog } from './eventlog.ts'
import { brokersOf } from './kafka-url.ts'
import { kafkaTopics } from './kafka-topics.ts'
import * as bed from './testing/kafka-bed.ts'
import { adminOf, freshPrefix, makeTopics, openLog, testLog } from './testing/kafka-bed.ts'
import { sampleOf } from './samples.ts'
import { realClock, received } from './testing/records.ts'
import { stepText, type TopicSettings } from './topics.ts'

const run = promisify(execFile)
let kafka: Kafka
beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka.stop())

eventLogContract('Kafka', async () => {
  const prefix = freshPrefix()
  await makeTopics(kafka, { prefix, partitions: 1 })
  const opened: EventLog[] = []
  return {
    async open() {
      const log = openLog(kafka, prefix, { appendMaxMs: 3000 })
      opened.push(log)
      return log
    },
    async outage() {
      await kafka.kill(0)
      return () => kafka.restart(0)
    },
    async appendElsewhere(tag, count) {
      const script = join(import.meta.dirname, 'testing/kafka-appender.ts')
      await run(process.execPath, [script, kafka.url, prefix, tag, String(count)])
    },
    appendRaw: (record) => bed.appendRaw(kafka, prefix, record),
    readRaw: () => bed.readRaw(kafka, prefix),
    async deadLetterOutage() {
      const admin = await adminOf(kafka)
      const limit = async (value: string) => {
        const name = `${prefix}indexer.mail.ingest.v1.dlt`
        const configEntries = [{ name: 'max.message.bytes', value }]
        const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name, configEntries }]
        await admin.alterConfigs({ validateOnly: false, resources })
      }
      await limit('1')
      return async () => {
        await limit('2097152')
        await admin.disconnect()
      }
    },
    async close() {
      for (const each of opened) await each.close()
    },
  }
})

test('topics are planned and made; what others have set on them stays; growing wants to be asked for', async () => {
  const prefix = freshPrefix()
  const topics = kafkaTopics({ brokers: brokersOf(kafka.url), clock: realClock, log: testLog })
  const settings = { prefix, replication: 1, partitions: 2 }
  const steps = await topics.plan(settings)
  expect(steps.map((step) => `${step.do} ${step.topic.name.slice(prefix.length)}`)).toEqual([
    'create mail.ingest.v1',
    'create mail.messages.v1',
    'create mail.refusals.v1',
    'create indexer.mail.ingest.v1.dlt',
    'create projector.mail.ingest.v1.dlt',
    'create projector.mail.messages.v1.dlt',
    'create projector.mail.refusals.v1.dlt',
  ])
  await topics.apply(steps)
  expect(await topics.plan(settings)).toEqual([])
  // Whoever planned before the topics were there may still apply.
  await topics.apply(steps)

  const admin = await adminOf(kafka)
  const [type, name] = [kafkajs.ConfigResourceTypes.TOPIC, `${prefix}mail.ingest.v1`]
  const theirs = { name: 'segment.bytes', value: '1048576' }
  const configEntries = [theirs, { name: 'retention.ms', value: '5' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ type, name, configEntries }] })
  // A broker tells of a change a moment after it was made.
  const planned = async (wanted: TopicSettings) => (await topics.plan(wanted)).map(stepText).join()
  await expect.poll(() => planned(settings)).toMatch(/^configure [^,]*: .*retention.ms 5 to 1209600000/)
  await topics.apply(await topics.plan(settings))
  await expect.poll(() => planned(settings)).toBe('')
  const { resources } = await admin.describeConfigs({ resources: [{ type, name }], includeSynonyms: false })
  const segment = resources[0]?.configEntries.find(({ configName }) => configName === theirs.name)
  expect(segment?.configValue).toBe(theirs.value)
  await admin.disconnect()

  const larger = { ...settings, partitions: 4 }
  await expect(topics.apply(await topics.plan(larger))).rejects.toThrow(/--accept-reordering/)
  await topics.apply(await topics.plan(larger, { acceptReordering: true }))
  await expect.poll(() => planned(larger)).toBe('')
  await topics.close()
}, 60_000)

test('an event that is too large for its topic is told apart, and takes none of its neighbours along', async () => {
  const prefix = freshPrefix()
  await makeTopics(kafka, { prefix, partitions: 1 })
  const log = openLog(kafka, prefix, { appendMaxMs: 5000 })
  const tooLarge = (n: number, bytes: number) => {
    const event = received('large', n)
    return { ...event, data: { ...event.data, rawKey: 'x'.repeat(bytes) } }
  }
  await expect(log.append([tooLarge(0, 1024 * 1024)])).rejects.toMatchObject({ fault: 'too_large' })
  // One behind the other in one lane, and all in one send where the topic takes less than a send may hold.
  const settled = await Promise.allSettled([1, 2, 3].map((n) => log.append([tooLarge(n, n === 2 ? 1024 * 1024 : 1)])))
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  const admin = await adminOf(kafka)
  const configEntries = [{ name: 'max.message.bytes', value: '20000' }]
  const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: `${prefix}mail.ingest.v1`, configEntries }]
  await admin.alterConfigs({ validateOnly: false, resources })
  await admin.disconnect()
  await expect
    .poll(() => log.append([tooLarge(4, 30_000)]).catch((error: { fault: string }) => error.fault))
    .toBe('too_large')
  const together = await Promise.allSettled([5, 6, 7].map((n) => log.append([tooLarge(n, n === 6 ? 30_000 : 9000)])))
  expect(together.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  const sizes: number[] = []
  const want = { topics: ['mail.ingest.v1'], startAt: async () => 0, batchMax: 99, untilEnd: true }
  for await (const batch of log.consume({ ...want, signal: AbortSignal.timeout(20_000) }))
    for (const { event } of batch) sizes.push((event.data as { sizeBytes: number }).sizeBytes)
  expect(sizes.filter((n) => n !== 4)).toEqual([1, 3, 5, 7])
  await log.close()
}, 60_000)

test('two deployments on one cluster, told apart by their prefix, each read all of their own', async () => {
  const prefixes = [freshPrefix(), freshPrefix()]
  const stop = new AbortController()
  const deployments = prefixes.map(async (prefix) => {
    await makeTopics(kafka, { prefix, partitions: 4 })
    const log = openLog(kafka, prefix)
    const seen = new Set<string>()
    const want = { group: 'indexer', topics: ['mail.ingest.v1'], startAt: async () => 0, batchMax: 99 }
    const reading = (async () => {
      for await (const batch of log.consume({ ...want, signal: stop.signal }))
        for (const { event } of batch) seen.add(event.id)
    })()
    const events = Array.from({ length: 40 }, (_, n) => received(prefix, n))
    return { log, seen, reading, events }
  })
  const both = await Promise.all(deployments)
  for (const { log, events } of both) await log.append(events)
  for (const { seen, events } of both) await expect.poll(() => seen.size, { timeout: 20_000 }).toBe(events.length)
  stop.abort()
  for (const { log, reading } of both) {
    await reading
    await log.close()
  }
}, 60_000)

test('a cluster that has no topic of refusals yet takes the events of mail, and refusals once it has', async () => {
  const prefix = freshPrefix()
  await makeTopics(kafka, { prefix, partitions: 2 })
  const admin = await adminOf(kafka)
  const name = `${prefix}mail.refusals.v1`
  await admin.deleteTopics({ topics: [name] })
  await expect.poll(async () => (await admin.listTopics()).includes(name)).toBe(false)
  const log = openLog(kafka, prefix, { appendMaxMs: 3000 })
  const refused = sampleOf('ingest.refused')
  await expect(log.append([refused])).rejects.toMatchObject({ fault: 'server' })
  await log.append([received('without refusals', 1)])
  await makeTopics(kafka, { prefix, partitions: 2 })
  await expect.poll(() => log.append([refused]).then(() => 'taken', String), { timeout: 30_000 }).toBe('taken')
  const ends = await log.ends('mail.refusals.v1')
  expect(ends.reduce((sum, { offset }) => sum + offset, 0)).toBe(1)
  await log.close()
  await admin.disconnect()
}, 120_000)
