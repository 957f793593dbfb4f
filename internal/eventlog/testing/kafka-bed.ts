// Logs on a real Kafka for tests: each on topics of its own, by their prefix.

import { randomUUID } from 'node:crypto'
import type { Admin } from 'kafkajs'
import type { Kafka } from '../../../test/engines/kafka.ts'
import type { EventLog } from '../eventlog.ts'
import type { Topic } from '../events.ts'
import { brokersOf, kafkaEventLog, type KafkaEventLogOptions } from '../kafka.ts'
import { kafkaClient } from '../kafka-client.ts'
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
  const counts: Record<Topic, number> = { 'mail.ingest.v1': partitions, 'mail.messages.v1': partitions }
  await topics.apply(await topics.plan({ prefix, replication, partitions: counts }))
  await topics.close()
}

export function openLog(
  kafka: Pick<Kafka, 'url'>,
  topicPrefix: string,
  more: Partial<KafkaEventLogOptions> = {},
): EventLog {
  const around = { clock: realClock, log: testLog, freshId: randomUUID }
  return kafkaEventLog({ brokers: brokersOf(kafka.url), topicPrefix, ...around, ...more })
}
