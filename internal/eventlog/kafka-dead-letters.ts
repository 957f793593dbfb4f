// Dead letters on Kafka: a topic for each group and topic that it reads, with as many partitions; a letter stands in the
// partition where its record stood. What is dropped is deleted up to an offset (DeleteRecords): the only way a log forgets.

import type { Desk } from './kafka-client.ts'
import { consumption, type ConsumptionOptions } from './kafka-consumption.ts'
import { partitionOf } from './kafka-partitions.ts'
import type { Publisher } from './kafka-publisher.ts'
import { letterOf } from './kafka-records.ts'
import { deadLetterTopic, GROUPS, replayHeaders, type DeadLetter, type DeadLetters } from './dead-letters.ts'

/** Letters of one batch of a read. */
const BATCH_MAX = 100

export interface KafkaDeadLettersOptions extends Omit<ConsumptionOptions<DeadLetter>, 'judge' | 'keepDead'> {
  desk: Desk
  /** Where replays go. */
  publisher: Publisher
  /** How many partitions each topic of the catalogue has. */
  partitions(): Promise<ReadonlyMap<string, number>>
}

export function kafkaDeadLetters(options: KafkaDeadLettersOptions): DeadLetters {
  const { desk, publisher, wire } = options
  const topicOf = ({ group, topic }: { group: string; topic: string }) => wire(deadLetterTopic(group, topic))
  const allTopics = async () => new Set(await desk.ask((admin) => admin.listTopics()))
  /** Of each partition, the first offset that is there and the one that the next letter gets. */
  const bounds = async (name: string) =>
    (await desk.offsets(name)).map(({ partition, low, high }) => ({
      partition,
      low: Number(low),
      high: Number(high),
    }))

  return {
    async counts() {
      const all = Object.entries(GROUPS).flatMap(([group, topics]) => topics.map((topic) => ({ group, topic })))
      const there = await allTopics()
      const counted = all.map(async (of) => {
        const missing = !there.has(topicOf(of))
        const found = missing ? [] : await bounds(topicOf(of))
        return { ...of, missing, count: found.reduce((sum, { low, high }) => sum + high - low, 0) }
      })
      return Promise.all(counted)
    },
    async *read({ group, topic, partition, signal }) {
      const name = topicOf({ group, topic })
      if (!(await allTopics()).has(name)) return
      const ends = new Map((await bounds(name)).map((each) => [each.partition, each.high]))
      const startAt = async (_topic: string, of: number) =>
        partition === undefined || of === partition ? 0 : (ends.get(of) ?? 0)
      const topics = [deadLetterTopic(group, topic)]
      const want = { topics, startAt, batchMax: BATCH_MAX, untilEnd: true, signal }
      const keepDead = () => Promise.reject(new TypeError('a dead letter does not die'))
      for await (const batch of consumption(
        { ...options, judge: (_place, message) => letterOf(message), keepDead },
        want,
      ))
        yield* batch
    },
    async replay(letter) {
      const { topic, record } = letter
      const { key, value } = record
      const count = (await options.partitions()).get(topic)
      if (count === undefined) throw new TypeError(`no topic ${topic} of ours`)
      const partition = key === null ? letter.partition : partitionOf(key, count)
      const bytes = (value?.length ?? 0) + (key?.length ?? 0)
      const back = { key, value, headers: replayHeaders(letter), partition }
      await publisher.publish([{ topic: wire(topic), partition, record: back, bytes }])
    },
    async dropThrough(letter) {
      const topic = topicOf(letter)
      const partitions = [{ partition: letter.partition, offset: String(letter.at + 1) }]
      await desk.ask(async (admin) => {
        // kafkajs deletes by what it knows of the topic, and does not ask.
        await admin.fetchTopicOffsets(topic)
        await admin.deleteTopicRecords({ topic, partitions })
      })
    },
  }
}
