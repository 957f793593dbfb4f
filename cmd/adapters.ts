// Which adapter serves which URL. The only place that knows all of them; each is loaded when a URL asks for it.

import { readFileSync } from 'node:fs'
import type { BlobStore } from '../internal/blob/blob.ts'
import { engineOf, enginePath, s3Place, type Config } from '../internal/config/config.ts'
import type { StoreSchema, Topics } from '../internal/cli/cli.ts'
import { systemClock } from '../internal/daemon/clock.ts'
import type { EventLog, Keeping, Queryable } from '../internal/eventlog/eventlog.ts'
import type { Relay } from '../internal/outbound/outbound.ts'
import type { Clock, Ids, Log } from '../internal/ports/ports.ts'
import type { Scanner } from '../internal/scanner/scanner.ts'
import type { Store, StoreMetrics } from '../internal/store/store.ts'

const DAY_MS = 86_400_000

/** What adapters need beside their URL. */
export interface Parts {
  clock: Clock
  ids: Ids
  log: Log
}

/** How an engine is opened by those who only look. */
export interface Opening {
  readOnly?: boolean
  /** How long a statement on SQLite waits for another process, milliseconds. */
  busyTimeoutMs?: number
  /** Told of each statement on the store. */
  onQuery?: StoreMetrics['queried']
}

/** Whether an engine keeps its data in a file or directory of this machine. */
export const isEmbedded = (url: string): boolean => ['file', 'sqlite'].includes(engineOf(url))

/** The object store of OBJECT_STORE_URL. Connects when it is used; rejects with what is wrong with the URL. */
export async function blobsOf(config: Config, { clock, ids }: Parts): Promise<BlobStore> {
  const url = config.objectStoreUrl
  if (isEmbedded(url)) {
    const { fileBlobs } = await import('../internal/blob/file.ts')
    return fileBlobs({ dir: enginePath(url), clock, ids })
  }
  const { s3Blobs } = await import('../internal/blob/s3.ts')
  return s3Blobs({ ...s3Place(url), clock })
}

/** The event log of EVENT_LOG_URL. Only the embedded one can be asked by itself; Kafka's events are asked of the store. */
export async function eventLogOf(
  config: Config,
  { clock, ids, log, readOnly = false }: Parts & Opening,
): Promise<EventLog & Keeping & Partial<Queryable>> {
  const url = config.eventLogUrl
  if (isEmbedded(url)) {
    const { sqliteEventLog } = await import('../internal/eventlog/sqlite.ts')
    return sqliteEventLog({ file: enginePath(url), clock, log, readOnly })
  }
  const { brokersOf, kafkaEventLog, securityOf } = await import('../internal/eventlog/kafka.ts')
  const security = securityOf(securityTexts(config))
  const freshId = () => ids.entryId()
  return kafkaEventLog({
    brokers: brokersOf(url),
    ...security,
    topicPrefix: config.kafkaTopicPrefix,
    freshId,
    clock,
    log,
  })
}

/** The store of DATABASE_URL, with its schema brought up to date unless it is opened for reading only. */
export async function storeOf(config: Config, opening: Opening = {}): Promise<Store> {
  const url = config.databaseUrl
  if (isEmbedded(url)) {
    const { openSqliteStore } = await import('../internal/store/sqlite.ts')
    return openSqliteStore({ file: enginePath(url), ...opening })
  }
  const { openPostgresStore } = await import('../internal/store/postgres.ts')
  const { databasePoolMax: poolMax, databaseStatementTimeoutMs: statementTimeoutMs } = config
  return openPostgresStore({ url, clock: systemClock, poolMax, statementTimeoutMs, ...opening })
}

/** The schema of the store of DATABASE_URL. */
export async function schemaOf(config: Config): Promise<StoreSchema> {
  const url = config.databaseUrl
  const migrate = async () => (await storeOf(config)).close()
  if (isEmbedded(url)) {
    const { pendingSqliteSteps } = await import('../internal/store/sqlite.ts')
    return { pending: () => pendingSqliteSteps(enginePath(url)), migrate }
  }
  const { pendingPostgresSteps } = await import('../internal/store/postgres.ts')
  return { pending: () => pendingPostgresSteps({ url }), migrate }
}

/** The topics of the cluster, as the settings KAFKA_… want them; undefined where the event log has none. */
export async function topicsOf(config: Config, { clock, log }: Parts): Promise<Topics | undefined> {
  if (isEmbedded(config.eventLogUrl)) return undefined
  const { brokersOf, securityOf } = await import('../internal/eventlog/kafka.ts')
  const { kafkaTopics } = await import('../internal/eventlog/kafka-topics.ts')
  const security = securityOf(securityTexts(config))
  const topics = kafkaTopics({ brokers: brokersOf(config.eventLogUrl), ...security, clock, log })
  const wanted = {
    prefix: config.kafkaTopicPrefix,
    replication: config.kafkaReplication,
    minInsync: config.kafkaMinInsyncReplicas,
    partitions: config.kafkaPartitions,
    retentionMs: {
      'mail.ingest.v1': config.kafkaIngestRetentionDays * DAY_MS,
      'mail.messages.v1': config.kafkaMessagesRetentionDays * DAY_MS,
      'mail.refusals.v1': config.kafkaRefusalsRetentionDays * DAY_MS,
      deadLetters: config.kafkaDeadLetterRetentionDays * DAY_MS,
    },
  }
  return { ...topics, plan: (options) => topics.plan(wanted, options) }
}

/** The malware scanner of SCANNER_URL; undefined where there is none. Connects when it is used. */
export async function scannerOf(config: Config, { clock }: Pick<Parts, 'clock'>): Promise<Scanner | undefined> {
  const { scannerUrl: place, scannerTimeoutMs: timeoutMs, scannerConnections: connectionsMax } = config
  const streamMaxBytes = config.scannerStreamMax
  if (place === undefined) return undefined
  const { clamdScanner } = await import('../internal/scanner/clamd.ts')
  return clamdScanner({ place, timeoutMs, connectionsMax, streamMaxBytes, clock })
}

/** The relay of OUTBOUND_URL; undefined where there is none. */
export function relayOf(config: Config): Relay | undefined {
  const { outboundUrl: place, outboundTls: tls, outboundTlsCa: ca, outboundTimeoutMs: timeoutMs } = config
  if (place === undefined) return undefined
  return { ...place, tls, timeoutMs, name: config.smtpHostname, ...(ca !== '' && { ca: readFileSync(ca, 'utf8') }) }
}

/** KAFKA_TLS_CA names a file; what is in it counts. */
function securityTexts(config: Config) {
  const { kafkaTlsCa, kafkaSaslMechanism, kafkaSaslUsername, kafkaSaslPassword } = config
  const tlsCa = kafkaTlsCa === '' || kafkaTlsCa === 'system' ? kafkaTlsCa : readFileSync(kafkaTlsCa, 'utf8')
  return { tlsCa, saslMechanism: kafkaSaslMechanism, saslUsername: kafkaSaslUsername, saslPassword: kafkaSaslPassword }
}
