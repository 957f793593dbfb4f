// Several indexers of one consumer group on a real Kafka and PostgreSQL, with objects in a directory.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Kafka } from '../../../test/engines/kafka.ts'
import { environmentOf, startProgram, temporaryFolder } from '../../../test/system.ts'
import type { EventLog, LoggedEvent } from '../../eventlog/eventlog.ts'
import { makeTopics, openLog } from '../../eventlog/testing/kafka-bed.ts'
import { checkpointOf, outboxState, type Store } from '../../store/store.ts'
import type { PostgresBed } from '../../store/testing/postgres-bed.ts'
import type { IndexerOptions } from '../indexer.ts'
import { Bed, eventually, putMail, realClock, type Mail, type testParsers } from './bed.ts'

export const PARTITIONS = 4
const TOPICS = ['mail.ingest.v1', 'mail.messages.v1'] as const

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

export class Group {
  /** For the test itself. */
  readonly log: EventLog
  readonly store: Store
  readonly bed: Bed
  readonly prefix: string
  /** Of the database. */
  readonly url: string
  readonly #kafka: Kafka
  readonly #postgres: PostgresBed

  private constructor(kafka: Kafka, postgres: PostgresBed, own: { prefix: string; store: Store; bed: Bed }) {
    this.#kafka = kafka
    this.#postgres = postgres
    this.prefix = own.prefix
    this.store = own.store
    this.url = postgres.url
    this.bed = own.bed
    this.log = openLog(kafka, own.prefix)
  }

  /** On topics and a database of its own; everything goes with the test. */
  static async open(kafka: Kafka, postgres: PostgresBed, pool: ReturnType<typeof testParsers>): Promise<Group> {
    const prefix = `t${randomUUID().slice(0, 8)}.`
    await makeTopics(kafka, { prefix, partitions: PARTITIONS })
    await postgres.fresh()
    const store = await postgres.open()
    const bed = await Bed.open(pool, store)
    const group = new Group(kafka, postgres, { prefix, store, bed })
    onTestFinished(async () => {
      await group.log.close()
      await bed.close()
    })
    return group
  }

  /** One more indexer. `stop` ends it as SIGTERM does, and resolves with how it ended. */
  async join(change: Partial<IndexerOptions> = {}): Promise<{ stop(): Promise<unknown> }> {
    const log = change.log ?? openLog(this.#kafka, this.prefix)
    const store = await this.#postgres.open()
    const workDir = join(this.bed.workRoot, randomUUID())
    const running = this.bed.start({ clock: realClock, workDir, ...change, log, store })
    const stop = async () => {
      const error = await running.stop()
      await log.close()
      await store.close()
      return error
    }
    let stopped: Promise<unknown> | undefined
    const stopOnce = () => (stopped ??= stop())
    onTestFinished(async () => void (await stopOnce()))
    return { stop: stopOnce }
  }

  /** One more indexer in a process of its own; resolves when it is ready. */
  async spawn(): Promise<{ kill(signal: NodeJS.Signals): Promise<number | string>; lines: readonly string[] }> {
    const port = await freePort()
    const env = environmentOf(temporaryFolder(), {
      METRICS_LISTEN: `127.0.0.1:${port}`,
      EVENT_LOG_URL: this.#kafka.url,
      KAFKA_TOPIC_PREFIX: this.prefix,
      DATABASE_URL: this.url,
      OBJECT_STORE_URL: `file:${join(this.bed.dir, 'objects')}`,
    })
    const { child, lines, exited } = startProgram('indexerd', env)
    const isReady = async () => {
      if (child.exitCode !== null) throw new Error(`indexerd ended:\n${lines.join('\n')}`)
      return fetch(`http://127.0.0.1:${port}/readyz`).then(
        ({ ok }) => ok,
        () => false, // nobody listens yet
      )
    }
    await eventually(isReady, 30_000)
    const kill = (signal: NodeJS.Signals) => {
      child.kill(signal)
      return exited
    }
    return { kill, lines }
  }

  async deliver(mails: readonly Mail[]): Promise<void> {
    for (const each of mails) await putMail(this.bed.blobs, each)
    await this.log.append(mails.map(({ event }) => event))
  }

  /** Whether every checkpoint is at the end of its partition and the outbox is empty. */
  async settled(): Promise<boolean> {
    // In the order in which one makes work for the next.
    if (!(await this.#isAtEnd('indexer', TOPICS.slice(0, 1)))) return false
    if ((await outboxState(this.store)).pending > 0) return false
    return this.#isAtEnd('projector', TOPICS)
  }

  async #isAtEnd(group: string, topics: readonly string[]): Promise<boolean> {
    for (const topic of topics) {
      for (const { partition, offset } of await this.log.ends(topic)) {
        if ((await checkpointOf(this.store, group, topic, partition)) !== offset) return false
      }
    }
    return true
  }

  /** What was told of messages, each partition in order. */
  async told(): Promise<LoggedEvent[]> {
    const topics = ['mail.messages.v1']
    const want = { topics, startAt: async () => 0, batchMax: 500, untilEnd: true, signal: AbortSignal.timeout(30_000) }
    const events: LoggedEvent[] = []
    for await (const batch of this.log.consume(want)) events.push(...batch)
    return events
  }
}
