// The topics as they should be, what a cluster has, and the steps between the two.
//
// A key's events stay in order only while the number of partitions stays: so
// partitions grow only when that is asked for in words, and never shrink.

import { deadLetterTopic, GROUPS } from './dead-letters.ts'
import { TOPICS, type Topic } from './events.ts'

const DAY_MS = 86_400_000
/** Chosen for years: how many consumers can share the work. */
const PARTITIONS = 12

/** Retention is what replays can reach without the object store. */
const RETENTION_MS: Readonly<Record<Topic | 'deadLetters', number>> = {
  'mail.ingest.v1': 14 * DAY_MS,
  'mail.messages.v1': 30 * DAY_MS,
  'mail.refusals.v1': 14 * DAY_MS,
  deadLetters: 30 * DAY_MS,
}

/** The largest record of an event, whatever the brokers' own default is. */
const EVENT_BYTES_MAX = 1024 * 1024
/** Room for it with the headers that tell why it is dead. */
const DEAD_LETTER_BYTES_MAX = 2 * EVENT_BYTES_MAX

export interface TopicSettings {
  /** Before each name, with its dot; may be empty. */
  prefix: string
  /** Copies of each partition (KAFKA_REPLICATION). */
  replication: number
  /** Replicas that must have a record before it is acknowledged; one fewer than there are unless given, so that one may be away. */
  minInsync?: number
  /** Of every topic: dead letters stand in the partition that they come from. */
  partitions?: number
  retentionMs?: Partial<Record<Topic | 'deadLetters', number>>
}

/** A topic as it is or should be. Of the configuration only what we set counts. */
export interface TopicShape {
  name: string
  partitions: number
  replication: number
  config: Readonly<Record<string, string>>
}

export type TopicStep =
  | { do: 'create'; topic: TopicShape }
  | { do: 'configure'; topic: TopicShape; changes: Readonly<Record<string, { from: string | undefined; to: string }>> }
  | { do: 'grow'; topic: TopicShape; from: number }
  | { do: 'refuse'; topic: TopicShape; why: string }

/** Every topic of the catalogue, and the dead letters of each consumer group, as these settings want them. */
export function wantedTopics(settings: TopicSettings): TopicShape[] {
  const { prefix, replication, minInsync = Math.max(1, replication - 1), partitions = PARTITIONS } = settings
  const retentionMs = { ...RETENTION_MS, ...settings.retentionMs }
  const shape = (name: string, of: keyof typeof RETENTION_MS, bytesMax: number): TopicShape => ({
    name: prefix + name,
    partitions,
    replication,
    config: {
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionMs[of]),
      'min.insync.replicas': String(minInsync),
      // A replica that lags never leads: it would lose what was acknowledged.
      'unclean.leader.election.enable': 'false',
      // The log's own time, which never runs back: replay from a time finds every later event.
      'message.timestamp.type': 'LogAppendTime',
      'max.message.bytes': String(bytesMax),
    },
  })
  return [
    ...TOPICS.map((topic) => shape(topic, topic, EVENT_BYTES_MAX)),
    ...Object.entries(GROUPS).flatMap(([group, topics]) =>
      topics.map((topic) => shape(deadLetterTopic(group, topic), 'deadLetters', DEAD_LETTER_BYTES_MAX)),
    ),
  ]
}

/**
 * What is to be done, nothing if all is as wanted. `acceptReordering` lets partitions grow although keys move; `brokers` is how
 * many there are to hold a copy each.
 */
export function planTopics(
  wanted: readonly TopicShape[],
  current: readonly TopicShape[],
  { acceptReordering = false, brokers = Infinity }: { acceptReordering?: boolean; brokers?: number } = {},
): TopicStep[] {
  const there = new Map(current.map((topic) => [topic.name, topic]))
  return wanted.flatMap((topic) => {
    const now = there.get(topic.name)
    return now === undefined ? stepsToMake(topic, brokers) : stepsFor(topic, now, acceptReordering)
  })
}

function stepsToMake(topic: TopicShape, brokers: number): TopicStep[] {
  const { replication } = topic
  const why = `is to have ${replication} copies (KAFKA_REPLICATION), and the cluster has brokers for ${brokers}`
  return [...(replication > brokers ? [{ do: 'refuse', topic, why } as const] : []), { do: 'create', topic }]
}

function stepsFor(topic: TopicShape, now: TopicShape, acceptReordering: boolean): TopicStep[] {
  const steps: TopicStep[] = []
  const refuse = (why: string) => steps.push({ do: 'refuse', topic, why })
  if (now.partitions > topic.partitions) {
    refuse(`has ${now.partitions} partitions; Kafka cannot take away any, ${topic.partitions} are wanted`)
  } else if (now.partitions < topic.partitions && !acceptReordering) {
    refuse(
      `has ${now.partitions} partitions; with ${topic.partitions} keys move, and the order of a message's events is lost across the change (--accept-reordering)`,
    )
  } else if (now.partitions < topic.partitions) {
    steps.push({ do: 'grow', topic, from: now.partitions })
  }
  if (now.replication !== topic.replication) {
    refuse(`has ${now.replication} replicas, ${topic.replication} are wanted; move them with kafka-reassign-partitions`)
  }
  const changed = Object.entries(topic.config).filter(([name, to]) => now.config[name] !== to)
  if (changed.length > 0) {
    const changes = Object.fromEntries(changed.map(([name, to]) => [name, { from: now.config[name], to }]))
    steps.push({ do: 'configure', topic, changes })
  }
  return steps
}

/** A step as a line for people. */
export function stepText(step: TopicStep): string {
  const { name, partitions, replication } = step.topic
  switch (step.do) {
    case 'create':
      return `create ${name}: ${partitions} partitions, ${replication} replicas`
    case 'grow':
      return `grow ${name}: ${step.from} to ${partitions} partitions`
    case 'configure':
      return `configure ${name}: ${Object.entries(step.changes)
        .map(([key, { from, to }]) => `${key} ${from ?? '(unset)'} to ${to}`)
        .join(', ')}`
    case 'refuse':
      return `refused: ${name} ${step.why}`
  }
}
