// The event log on Apache Kafka: binary CloudEvents keyed by message id, through kafkajs.
//
// An append is acknowledged by every replica in sync (acks=all) from an idempotent producer; how much a broker's death can
// take is then the cluster's setting (docs/kafka.md). Topics are made by an operator, never by us.

import type { Kafka } from 'kafkajs'
import type { Clock, Log } from '../ports/ports.ts'
import { EventLogError } from './fault.ts'
import { keyOf, TOPICS, topicOf, type MailEvent, type Topic } from './events.ts'
import { deadLetterTopic } from './dead-letters.ts'
import type { EventLog, Keeping, Position } from './eventlog.ts'
import { Desk, kafkaClient } from './kafka-client.ts'
import { consumption, type ConsumptionOptions } from './kafka-consumption.ts'
import { kafkaDeadLetters } from './kafka-dead-letters.ts'
import { partitionOf } from './kafka-partitions.ts'
import { Publisher, type Outgoing } from './kafka-publisher.ts'
import { deadRecordOf, eventOf, recordOf } from './kafka-records.ts'
import type { KafkaSecurity } from './kafka-url.ts'
import { validateData } from './schemas.ts'

export { brokersOf, SASL_MECHANISMS, securityOf, type KafkaSecurity } from './kafka-url.ts'

/** Default of `appendMaxMs`: longer than a broker's restart and an election. */
const APPEND_MAX_MS = 30_000
const REFUSALS: Topic = 'mail.refusals.v1'
/** How long the number of partitions is taken for known. */
const PARTITIONS_MS = 60_000
/** A dead letter is kept or not within this time; then its partition rests, and others are read. */
const DEAD_LETTER_MAX_MS = 5000

export interface KafkaEventLogOptions extends KafkaSecurity {
  /** `host:port` of some brokers; they name the others. */
  brokers: string[]
  clock: Clock
  log: Log
  /** Something new at each call, for the groups of iterations that share with nobody. */
  freshId(): string
  /** Name in the brokers' logs and quotas, and the beginning of our readers' groups. */
  clientId?: string
  /** Stands before the name of each topic and group on the wire, with its dot: `com.example.`. */
  topicPrefix?: string
  /** An append is acknowledged or rejected within so many milliseconds. */
  appendMaxMs?: number
}

/** The log on a Kafka cluster. Connects when it is used; all trouble with the cluster rejects there, with EventLogError. */
export function kafkaEventLog(options: KafkaEventLogOptions): EventLog & Keeping {
  const { clock, log, clientId = 'mail-ingest', topicPrefix = '', appendMaxMs = APPEND_MAX_MS } = options
  const kafka: Kafka = kafkaClient({ ...options, clientId })
  const desk = new Desk(kafka, clock)
  const publisher = new Publisher({ kafka, clock, appendMaxMs })
  // Its own, so that trouble with dead letters is none of the events.
  const deadPublisher = new Publisher({ kafka, clock, appendMaxMs: DEAD_LETTER_MAX_MS })
  const wire = (name: string) => topicPrefix + name
  const plain = (topic: string) => topic.slice(topicPrefix.length)
  const readerGroup = () => wire(`${clientId}-reader-${options.freshId()}`)
  const ofMail = new PartitionCounts({ desk, clock, wire, topics: TOPICS.filter((topic) => topic !== REFUSALS) })
  // By itself: a cluster that has not got this topic yet takes the events of mail all the same.
  const ofRefusals = new PartitionCounts({ desk, clock, wire, topics: [REFUSALS] })
  const partitions = async (topics: readonly Topic[]) => {
    const asked = Map.groupBy(topics, (topic) => (topic === REFUSALS ? ofRefusals : ofMail))
    return new Map(
      (await Promise.all([...asked.keys()].map((counts) => counts.known()))).flatMap((found) => [...found]),
    )
  }
  const readers = new AbortController()
  const reading = { kafka, desk, clock, log, wire, plain, readerGroup }
  const alive = () => {
    if (readers.signal.aborted) throw new EventLogError('closed', 'event log: closed')
  }
  const positions = (topic: string, found: readonly { partition: number; offset: string }[]): Position[] =>
    found
      .map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) }))
      .sort((a, b) => a.partition - b.partition)
  const keepDead: ConsumptionOptions<unknown>['keepDead'] = (dead, of) => {
    const { partition } = of
    const topic = wire(deadLetterTopic(of.group, of.topic))
    return deadPublisher.publish(dead.map((each) => ({ topic, partition, ...deadRecordOf(each, of) })))
  }

  return {
    async append(events) {
      alive()
      for (const { type, data } of events) validateData(type, data)
      if (events.length === 0) return
      const counts = await partitions(events.map(({ type }) => topicOf(type)))
      await publisher.publish(events.map((event) => outgoingOf(event, counts, wire)))
    },
    consume: (want) => {
      const signal = AbortSignal.any([want.signal, readers.signal])
      return consumption({ ...reading, judge: eventOf, keepDead }, { ...want, signal })
    },
    deadLetters: kafkaDeadLetters({ ...reading, publisher, partitions: () => partitions(TOPICS) }),
    async ends(topic) {
      alive()
      return positions(topic, await desk.offsets(wire(topic)))
    },
    async offsetsAt(topic, timeMs) {
      alive()
      const name = wire(topic)
      return positions(topic, await desk.ask((admin) => admin.fetchTopicOffsetsByTimestamp(name, timeMs), [name]))
    },
    async close() {
      readers.abort()
      await publisher.close()
      await deadPublisher.close()
      await desk.close()
    },
  }
}

function outgoingOf(event: MailEvent, counts: ReadonlyMap<string, number>, wire: (topic: string) => string): Outgoing {
  const topic = topicOf(event.type)
  const partition = partitionOf(keyOf(event), counts.get(topic) ?? 1)
  return { topic: wire(topic), partition, ...recordOf(event, partition) }
}

/** How many partitions each of some topics has. All of them at once, so that appends keep their order while they wait for the answer. */
class PartitionCounts {
  readonly #desk: Desk
  readonly #clock: Clock
  readonly #wire: (topic: string) => string
  readonly #topics: readonly Topic[]
  #last: ReadonlyMap<string, number> | undefined
  #answer: Promise<ReadonlyMap<string, number>> | undefined
  #until = -Infinity

  constructor(options: { desk: Desk; clock: Clock; wire: (topic: string) => string; topics: readonly Topic[] }) {
    this.#desk = options.desk
    this.#clock = options.clock
    this.#wire = options.wire
    this.#topics = options.topics
  }

  /** What is known serves while it is asked for again: that may take long, and must not hold up an append. Rejects with EventLogError. */
  async known(): Promise<ReadonlyMap<string, number>> {
    if (this.#clock.monotonic() >= this.#until) this.#answer ??= this.#ask().finally(() => (this.#answer = undefined))
    if (this.#last === undefined) return this.#answer ?? this.#ask()
    // No answer: the next append asks again.
    void this.#answer?.catch((error: unknown) => error)
    return this.#last
  }

  async #ask(): Promise<ReadonlyMap<string, number>> {
    const names = this.#topics.map((topic) => this.#wire(topic))
    const { topics } = await this.#desk.ask((admin) => admin.fetchTopicMetadata({ topics: names }), names)
    const found = new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
    const counts = new Map(
      this.#topics.map((topic) => {
        const count = found.get(this.#wire(topic)) ?? 0
        if (count === 0) throw new EventLogError('server', `event log: no topic ${this.#wire(topic)}; make it first`)
        return [topic, count] as const
      }),
    )
    this.#last = counts
    this.#until = this.#clock.monotonic() + PARTITIONS_MS
    return counts
  }
}
