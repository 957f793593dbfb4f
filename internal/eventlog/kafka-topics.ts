// Topics of a Kafka cluster: looked at, planned, made.

import kafkajs, { type Admin } from 'kafkajs'
import type { Clock, Log } from '../ports/ports.ts'
import { Desk, kafkaClient } from './kafka-client.ts'
import type { KafkaSecurity } from './kafka-url.ts'
import { planTopics, wantedTopics, type TopicSettings, type TopicShape, type TopicStep } from './topics.ts'

/** The brokers answer within this time when they are asked to make topics. */
const MAKE_MS = 10_000

export interface KafkaTopics {
  /** Steps from what the cluster has to what the settings want. */
  plan(settings: TopicSettings, options?: { acceptReordering?: boolean }): Promise<TopicStep[]>
  /** Takes every step in order. Throws TypeError, and does nothing, if one is a refusal. */
  apply(steps: readonly TopicStep[]): Promise<void>
  close(): Promise<void>
}

/** Connects when it is used; trouble with the cluster rejects with EventLogError. */
export function kafkaTopics(
  options: KafkaSecurity & { brokers: string[]; clock: Clock; log: Log; clientId?: string },
): KafkaTopics {
  const kafka = kafkaClient({ clientId: 'mail-ingest-topics', ...options })
  const desk = new Desk(kafka, options.clock)
  return {
    async plan(settings, permitted) {
      const wanted = wantedTopics(settings)
      const current = await desk.ask((admin) => currentTopics(admin, wanted))
      const { brokers } = await desk.ask((admin) => admin.describeCluster())
      return planTopics(wanted, current, { ...permitted, brokers: brokers.length })
    },
    async apply(steps) {
      const refused = steps.find((step) => step.do === 'refuse')
      if (refused !== undefined) throw new TypeError(`topic ${refused.topic.name} ${refused.why}`)
      const made = steps.filter((step) => step.do === 'create').map(({ topic }) => topic)
      if (made.length > 0) await desk.ask((admin) => create(admin, made))
      for (const step of steps) if (step.do !== 'create') await desk.ask((admin) => take(admin, step))
    },
    close: () => desk.close(),
  }
}

async function currentTopics(admin: Admin, wanted: readonly TopicShape[]): Promise<TopicShape[]> {
  const all = new Set(await admin.listTopics())
  const names = wanted.map(({ name }) => name).filter((name) => all.has(name))
  if (names.length === 0) return []
  const { topics } = await admin.fetchTopicMetadata({ topics: names })
  const configs = await configsOf(admin, names)
  return topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.length,
    replication: partitions[0]?.replicas.length ?? 0,
    config: Object.fromEntries(
      (configs.get(name) ?? []).map(({ configName, configValue }) => [configName, configValue]),
    ),
  }))
}

async function configsOf(admin: Admin, names: readonly string[]) {
  const resources = names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name }))
  const answer = await admin.describeConfigs({ resources, includeSynonyms: false })
  return new Map(answer.resources.map(({ resourceName, configEntries }) => [resourceName, configEntries]))
}

/** All in one request. What is there already was made by an earlier try. */
async function create(admin: Admin, wanted: readonly TopicShape[]): Promise<void> {
  const topics = wanted.map(({ name, partitions, replication, config }) => ({
    topic: name,
    numPartitions: partitions,
    replicationFactor: replication,
    configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
  }))
  await admin.createTopics({ topics, waitForLeaders: true, timeout: MAKE_MS })
}

async function take(admin: Admin, step: Exclude<TopicStep, { do: 'create' }>): Promise<void> {
  const { name, partitions } = step.topic
  switch (step.do) {
    case 'grow':
      await admin.createPartitions({ topicPartitions: [{ topic: name, count: partitions }], timeout: MAKE_MS })
      return
    case 'configure':
      await configure(admin, step.topic)
      return
    case 'refuse':
      throw new TypeError(step.why)
  }
}

/** Set on the topic itself, not by the brokers or by default. */
const SET_ON_TOPIC = kafkajs.ConfigSource.TOPIC_CONFIG

/** kafkajs only knows the request that replaces a topic's whole configuration: what others have set goes along. */
async function configure(admin: Admin, { name, config }: TopicShape): Promise<void> {
  const set = ((await configsOf(admin, [name])).get(name) ?? []).filter(
    ({ configSource }) => configSource === SET_ON_TOPIC,
  )
  const all = { ...Object.fromEntries(set.map(({ configName, configValue }) => [configName, configValue])), ...config }
  const configEntries = Object.entries(all).map(([key, value]) => ({ name: key, value }))
  const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name, configEntries }]
  await admin.alterConfigs({ validateOnly: false, resources })
}
