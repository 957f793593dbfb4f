// Logs on a real Kafka for tests: each on topics of its own, by their prefix.

import { randomUUID } from 'node:crypto'
import type { Admin, KafkaMessage, Message } from 'kafkajs'
import type { Kafka } from '../../../test/engines/kafka.ts'
import type { EventLog, Keeping } from '../eventlog.ts'
import type { RawRecord } from '../contract.ts'
import { brokersOf, kafkaEventLog, type KafkaEventLogOptions } from '../kafka.ts'
import { Desk, kafkaClient } from '../kafka-client.ts'
import { consumption } from '../kafka-consumption.ts'
import { kafkaTopics } from '../kafka-topics.ts'
import type { KafkaSecurity } from '../kafka-url.ts'
import { realClock } from './records.ts'

/** Lines of the log, by level. */
export const lines: { level: string; fields: Record<string, unknown>; message: string }[] = []
const line = (level: string) => (fields: Record<string, unknown>, message: string) =>
  void lines.push({ level, fields, message })
export const testLog = { debug: () => undefined, info: line('info'), warn: line('warn'), error: line('error') }

export const freshPrefix = () => `t${randomUUID().slice(0, 8)}.`

/** A connection for what only a test does. */
export async function adminOf(kafka: Pick<Kafka, 'brokers'>, security: KafkaSecurity = {}): Promise<Admin> {
  const admin = kafkaClient({ brokers: kafka.brokers, clientId: 'test', log: testLog, ...security }).admin()
  await admin.connect()
  return admin
}

/** Makes the topics, with one number of partitions for all. */
export async function makeTopics(
  kafka: Pick<Kafka, 'url'>,
  {
    prefix,
    partitions,
    replication = 1,
    security = {},
  }: { prefix: string; partitions: number; replication?: number; security?: KafkaSecurity },
): Promise<void> {
  const topics = kafkaTopics({ brokers: brokersOf(kafka.url), clock: realClock, log: testLog, ...security })
  await topics.apply(await topics.plan({ prefix, replication, partitions }))
  await topics.close()
}

export function openLog(
  kafka: Pick<Kafka, 'url'>,
  topicPrefix: string,
  more: Partial<KafkaEventLogOptions> = {},
): EventLog & Keeping {
  const around = { clock: realClock, log: testLog, freshId: randomUUID }
  return kafkaEventLog({ brokers: brokersOf(kafka.url), topicPrefix, ...around, ...more })
}

const TOPIC = 'mail.ingest.v1'

/** Puts records on `mail.ingest.v1`, whatever they are, on partition 0 unless they say another; a value of null is a tombstone. */
export async function appendRaw(
  kafka: Pick<Kafka, 'brokers'>,
  prefix: string,
  records: Message | readonly Message[],
  security: KafkaSecurity = {},
): Promise<void> {
  const producer = kafkaClient({ brokers: kafka.brokers, clientId: 'test', log: testLog, ...security }).producer()
  await producer.connect()
  await producer.send({ topic: prefix + TOPIC, messages: [records].flat().map((each) => ({ partition: 0, ...each })) })
  await producer.disconnect()
}

/** Every record of a topic, with the texts of its headers. */
export async function readRaw(kafka: Pick<Kafka, 'brokers'>, prefix: string, topic = TOPIC): Promise<RawRecord[]> {
  const client = kafkaClient({ brokers: kafka.brokers, clientId: 'test', log: testLog })
  const desk = new Desk(client, realClock)
  const same = (name: string) => name
  const want = { topics: [prefix + topic], startAt: async () => 0, batchMax: 1000, untilEnd: true }
  const around = {
    kafka: client,
    desk,
    clock: realClock,
    log: testLog,
    wire: same,
    plain: same,
    readerGroup: randomUUID,
  }
  const judge = (_place: object, message: KafkaMessage) => [message]
  const keepDead = async () => undefined
  const records: RawRecord[] = []
  const signal = AbortSignal.timeout(20_000)
  for await (const batch of consumption({ ...around, judge, keepDead }, { ...want, signal })) {
    for (const { key, headers = {}, value } of batch) {
      const texts = Object.entries(headers).map(([name, text]) => [name, String(text)])
      records.push({ key: String(key), headers: Object.fromEntries(texts), value: String(value) })
    }
  }
  await desk.close()
  return records
}
