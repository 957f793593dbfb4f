// The three real engines side by side, ready for use: topics and a bucket are made, the database is empty.
//
//   make engines     starts them, prints the settings that choose them, and stops them at Ctrl-C

import { setTimeout as sleep } from 'node:timers/promises'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { brokersOf } from '../../internal/eventlog/kafka.ts'
import { kafkaTopics } from '../../internal/eventlog/kafka-topics.ts'
import { startKafka, type Kafka } from './kafka.ts'
import { startPostgres, type Postgres } from './postgres.ts'
import { startRgw, type Rgw } from './rgw.ts'

const PARTITIONS = 6
const BUCKET = 'mail'

export interface Engines {
  kafka: Kafka
  rgw: Rgw
  postgres: Postgres
  /** Settings with which every program uses these engines. */
  settings: Record<string, string>
  stop(): Promise<void>
}

/** Starts all three, after installing what is missing. None is left behind when one does not come up. */
export async function startEngines(): Promise<Engines> {
  const started = await Promise.allSettled([startKafka(), startRgw(), startPostgres()])
  const stop = async () => {
    for (const each of started) if (each.status === 'fulfilled') await each.value.stop()
  }
  const [kafka, rgw, postgres] = started
  try {
    if (kafka.status === 'rejected') throw kafka.reason
    if (rgw.status === 'rejected') throw rgw.reason
    if (postgres.status === 'rejected') throw postgres.reason
    const engines = { kafka: kafka.value, rgw: rgw.value, postgres: postgres.value }
    await makeBucket(engines.rgw)
    await makeTopics(engines.kafka)
    return { ...engines, settings: settingsOf(engines), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function settingsOf({ kafka, rgw, postgres }: Omit<Engines, 'settings' | 'stop'>): Record<string, string> {
  return {
    EVENT_LOG_URL: kafka.url,
    KAFKA_REPLICATION: '1',
    KAFKA_PARTITIONS: String(PARTITIONS),
    OBJECT_STORE_URL: `s3://${BUCKET}/messages?endpoint=${rgw.endpoint}`,
    AWS_ACCESS_KEY_ID: rgw.accessKeyId,
    AWS_SECRET_ACCESS_KEY: rgw.secretAccessKey,
    DATABASE_URL: postgres.url,
  }
}

async function makeBucket({ endpoint, accessKeyId, secretAccessKey }: Rgw): Promise<void> {
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true })
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }))
  client.destroy()
}

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, signal && { signal }),
}
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** Makes the topics under another prefix as well, for a test that wants a log of its own. */
export async function makeTopics(kafka: Pick<Kafka, 'url'>, prefix = ''): Promise<void> {
  const topics = kafkaTopics({ brokers: brokersOf(kafka.url), clock, log: silent })
  await topics.apply(await topics.plan({ prefix, replication: 1, partitions: PARTITIONS }))
  await topics.close()
}

if (import.meta.main) {
  const began = performance.now()
  const engines = await startEngines()
  const lines = Object.entries(engines.settings).map(([name, value]) => `export ${name}='${value}'`)
  process.stderr.write(
    `Kafka, Ceph RGW and PostgreSQL are up after ${((performance.now() - began) / 1000).toFixed(1)} s; Ctrl-C stops them and forgets what they hold.\n` +
      'In another terminal, before make run or bin/ingestctl:\n\n',
  )
  process.stdout.write(`${lines.join('\n')}\n`)
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => resolve())
  })
  await engines.stop()
}
