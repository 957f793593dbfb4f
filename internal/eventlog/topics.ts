// The topics as they should be, what a cluster has, and the steps between the two.
//
// The key of every record is the message id, and a key's events stay in order only while the number of partitions stays: so
// partitions grow only when that is asked for in words, and never shrink.

import { TOPICS, type Topic } from './events.ts'

const DAY_MS = 86_400_000

/** Partitions are chosen for years. Retention is what replays can reach without the object store. */
const DEFAULTS: Readonly<Record<Topic, { partitions: number; retentionMs: number }>> = {
  'mail.ingest.v1': { partitions: 12, retentionMs: 14 * DAY_MS },
  'mail.messages.v1': { partitions: 12, retentionMs: 30 * DAY_MS },
}

export interface TopicSettings {
  /** Before each name, with its dot; may be empty. */
  prefix: string
  /** Copies of each partition (KAFKA_REPLICATION). */
  replication: number
  partitions?: Partial<Record<Topic, number>>
  retentionMs?: Partial<Record<Topic, number>>
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

/** Every topic of the catalogue as these settings want it. One replica fewer than there are must acknowledge, so that one may be away. */
export function wantedTopics({ prefix, replication, partitions, retentionMs }: TopicSettings): TopicShape[] {
  return TOPICS.map((topic) => ({
    name: prefix + topic,
    partitions: partitions?.[topic] ?? DEFAULTS[topic].partitions,
    replication,
    config: {
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionMs?.[topic] ?? DEFAULTS[topic].retentionMs),
      'min.insync.replicas': String(Math.max(1, replication - 1)),
      // A replica that lags never leads: it would lose what was acknowledged.
      'unclean.leader.election.enable': 'false',
      // The log's own time, which never runs back: replay from a time finds every later event.
      'message.timestamp.type': 'LogAppendTime',
    },
  }))
}

/** What is to be done, nothing if all is as wanted. `acceptReordering` lets partitions grow although keys move. */
export function planTopics(
  wanted: readonly TopicShape[],
  current: readonly TopicShape[],
  { acceptReordering = false }: { acceptReordering?: boolean } = {},
): TopicStep[] {
  const there = new Map(current.map((topic) => [topic.name, topic]))
  return wanted.flatMap((topic) => {
    const now = there.get(topic.name)
    return now === undefined ? [{ do: 'create', topic } as const] : stepsFor(topic, now, acceptReordering)
  })
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
