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
import { realClock } from './testing/records.ts'
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
    'create indexer.mail.ingest.v1.dlt',
    'create projector.mail.ingest.v1.dlt',
    'create projector.mail.messages.v1.dlt',
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
