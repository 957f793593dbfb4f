// Which adapter serves which URL. The only place that knows all of them; each is loaded when a URL asks for it.

import { readFileSync } from 'node:fs'
import type { BlobStore } from '../internal/blob/blob.ts'
import { engineOf, enginePath, type Config } from '../internal/config/config.ts'
import type { EventLog, Queryable } from '../internal/eventlog/eventlog.ts'
import type { Clock, Ids, Log } from '../internal/ports/ports.ts'

/** What adapters need beside their URL. */
export interface Parts {
  clock: Clock
  ids: Ids
  log: Log
}

export type Closeable<T> = T & { close(): Promise<void> }

/** The object store of OBJECT_STORE_URL. Connects when it is used; throws what is wrong with the URL. */
export async function blobsOf(config: Config, { clock, ids }: Parts): Promise<Closeable<BlobStore>> {
  const url = config.objectStoreUrl
  if (engineOf(url) === 's3') {
    const { s3Blobs, s3Place } = await import('../internal/blob/s3.ts')
    const blobs = s3Blobs({ ...s3Place(url), clock })
    return { ...blobs, close: async () => blobs.close() }
  }
  const { fileBlobs } = await import('../internal/blob/file.ts')
  return { ...fileBlobs({ dir: enginePath(url), clock, ids }), close: async () => undefined }
}

/** The event log of EVENT_LOG_URL. The embedded one can be asked by itself; for Kafka the store's projection is asked. */
export async function eventLogOf(
  config: Config,
  parts: Parts & { readOnly?: boolean },
): Promise<EventLog & Partial<Queryable>> {
  const { clock, ids, log, readOnly = false } = parts
  if (engineOf(config.eventLogUrl) === 'kafka') {
    const { brokersOf, kafkaEventLog, securityOf } = await import('../internal/eventlog/kafka.ts')
    return kafkaEventLog({
      brokers: brokersOf(config.eventLogUrl),
      ...securityOf(securityTexts(config)),
      topicPrefix: config.kafkaTopicPrefix,
      freshId: () => ids.entryId(),
      clock,
      log,
    })
  }
  const { sqliteEventLog } = await import('../internal/eventlog/sqlite.ts')
  return sqliteEventLog({ file: enginePath(config.eventLogUrl), clock, log, readOnly })
}

/** KAFKA_TLS_CA names a file; what is in it is read at the start. */
export function securityTexts(config: Config) {
  const { kafkaTlsCa, kafkaSaslMechanism, kafkaSaslUsername, kafkaSaslPassword } = config
  const tlsCa = kafkaTlsCa === '' || kafkaTlsCa === 'system' ? kafkaTlsCa : readFileSync(kafkaTlsCa, 'utf8')
  return { tlsCa, saslMechanism: kafkaSaslMechanism, saslUsername: kafkaSaslUsername, saslPassword: kafkaSaslPassword }
}
