// What the indexer counts (observability.md 22 to 34). Every label value begins at zero.

import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import { QUARANTINE_MEANINGS } from './facts.ts'

export const CONSUMER_RESULTS = ['ok', 'retry', 'dead_letter', 'duplicate'] as const
export const STAGES = ['fetch', 'parse', 'auth', 'scan', 'attachments', 'db'] as const
export const DISPOSITIONS = ['stored', 'dedup', 'blocked', 'too_large'] as const
/** What became of a message that was told again. `kept`: a retry failed, and the earlier rows stay. */
export const REPLAY_RESULTS = ['parsed', 'duplicate', 'quarantined', 'failed', 'kept'] as const
export const RESOLUTIONS = ['released'] as const
export type Stage = (typeof STAGES)[number]

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const WAIT_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60, 120, 300, 900, 3600]

export type IndexerMetrics = ReturnType<typeof indexerMetrics>

/** Declares the metrics in `registry`; `groups` are this process's consumer groups with the topics that each reads. */
export function indexerMetrics(registry: Registry, groups: Readonly<Record<string, readonly string[]>>) {
  const metrics = { ...consumerMetrics(registry), ...messageMetrics(registry), ...outboxMetrics(registry) }
  for (const [group, topics] of Object.entries(groups)) {
    metrics.rebalances.inc({ group }, 0)
    metrics.checkpoint.set({ group }, 0)
    for (const topic of topics) {
      metrics.lag.set({ group, topic }, 0)
      metrics.oldest.set({ group, topic }, 0)
      metrics.lastEvent.set({ group, topic }, 0)
      for (const result of CONSUMER_RESULTS) metrics.events.inc({ group, topic, result }, 0)
    }
  }
  for (const stage of STAGES) metrics.stageSeconds.zero({ stage })
  for (const disposition of DISPOSITIONS) {
    metrics.attachments.inc({ disposition }, 0)
    metrics.attachmentBytes.inc({ disposition }, 0)
  }
  for (const result of REPLAY_RESULTS) metrics.replayed.inc({ result }, 0)
  for (const outcome of RESOLUTIONS) metrics.resolved.inc({ outcome }, 0)
  metrics.replaysActive.set(0)
  for (const reason of Object.keys(QUARANTINE_MEANINGS)) {
    metrics.quarantined.inc({ reason }, 0)
    metrics.inQuarantine.set({ reason }, 0)
  }
  return metrics
}

/** By the status that a message has now; undefined where its earlier rows stay. */
export function replayResult(status: string | undefined): (typeof REPLAY_RESULTS)[number] {
  if (status === undefined) return 'kept'
  return REPLAY_RESULTS.find((result) => result === status.toLowerCase()) ?? 'failed'
}

/** Counts the assignments of a group's member after its first; told of each partition that is assigned. */
export function rebalanceCount(metrics: IndexerMetrics, group: string): (held: AbortSignal) => void {
  let last: AbortSignal | undefined
  return (held) => {
    if (last !== undefined && held !== last) metrics.rebalances.inc({ group })
    last = held
  }
}

function consumerMetrics(registry: Registry) {
  const registers = [registry]
  return {
    events: new Counter({
      name: 'mail_ingest_consumer_events_total',
      help: 'Events that a consumer group dealt with; retry counts tries, duplicate what was applied before.',
      labelNames: ['group', 'topic', 'result'] as const,
      registers,
    }),
    lag: new Gauge({
      name: 'mail_ingest_consumer_lag_messages',
      help: 'Events between the checkpoint and the end of the log.',
      labelNames: ['group', 'topic'] as const,
      registers,
    }),
    oldest: new Gauge({
      name: 'mail_ingest_consumer_oldest_event_timestamp_seconds',
      help: 'When the oldest event that is not dealt with had been appended, or a little before; 0 when there is none.',
      labelNames: ['group', 'topic'] as const,
      registers,
    }),
    lastEvent: new Gauge({
      name: 'mail_ingest_consumer_last_processed_event_timestamp_seconds',
      help: 'When the newest event that was dealt with had been appended.',
      labelNames: ['group', 'topic'] as const,
      registers,
    }),
    rebalances: new Counter({
      name: 'mail_ingest_consumer_rebalances_total',
      help: 'Times that partitions were given out anew after the start.',
      labelNames: ['group'] as const,
      registers,
    }),
    checkpoint: new Gauge({
      name: 'mail_ingest_checkpoint_timestamp_seconds',
      help: 'When the checkpoint was last written.',
      labelNames: ['group'] as const,
      registers,
    }),
  }
}

function messageMetrics(registry: Registry) {
  const registers = [registry]
  return {
    residue: new Gauge({
      name: 'mail_ingest_conservation_residue',
      help: 'Messages that the log announced and the indexer is past, and that the store does not have.',
      registers,
    }),
    stageSeconds: new Histogram({
      name: 'mail_ingest_index_stage_duration_seconds',
      help: 'Time of one step of indexing a message.',
      labelNames: ['stage'] as const,
      buckets: SECONDS,
      registers,
    }),
    endToEnd: new Histogram({
      name: 'mail_ingest_end_to_end_seconds',
      help: 'From the last byte received to the commit that makes the message visible.',
      buckets: WAIT_SECONDS,
      registers,
    }),
    attachments: new Counter({
      name: 'mail_ingest_attachments_total',
      help: 'Attachments, by what became of their bytes.',
      labelNames: ['disposition'] as const,
      registers,
    }),
    attachmentBytes: new Counter({
      name: 'mail_ingest_attachment_bytes_total',
      help: 'Bytes of attachments, by what became of them.',
      labelNames: ['disposition'] as const,
      registers,
    }),
    quarantined: new Counter({
      name: 'mail_ingest_quarantined_total',
      help: 'Messages set aside, by reason.',
      labelNames: ['reason'] as const,
      registers,
    }),
    inQuarantine: new Gauge({
      name: 'mail_ingest_quarantine_messages',
      help: 'Messages that are in quarantine now, by reason.',
      labelNames: ['reason'] as const,
      registers,
    }),
    resolved: new Counter({
      name: 'mail_ingest_quarantine_resolved_total',
      help: 'Messages that left quarantine, by how: released by an operator, or by a parser that can read them now.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    replayed: new Counter({
      name: 'mail_ingest_replay_messages_total',
      help: 'Messages told again by an operator, by what became of them.',
      labelNames: ['result'] as const,
      registers,
    }),
    replaysActive: new Gauge({
      name: 'mail_ingest_replay_active',
      help: 'Replays that run now.',
      registers,
    }),
  }
}

function outboxMetrics(registry: Registry) {
  const registers = [registry]
  const pending = new Gauge({
    name: 'mail_ingest_outbox_pending',
    help: 'Events written with their rows and not yet in the log.',
    labelNames: ['queue'] as const,
    registers,
  })
  const oldest = new Gauge({
    name: 'mail_ingest_outbox_oldest_timestamp_seconds',
    help: 'When the oldest of them was written; 0 when there is none.',
    labelNames: ['queue'] as const,
    registers,
  })
  const refused = new Gauge({
    name: 'mail_ingest_outbox_refused',
    help: 'Events that the log never takes, set aside until a person decides.',
    labelNames: ['queue'] as const,
    registers,
  })
  for (const gauge of [pending, oldest, refused]) gauge.set({ queue: 'events' }, 0)
  return { outboxPending: pending, outboxOldest: oldest, outboxRefused: refused }
}
