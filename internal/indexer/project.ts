// The log copied into the store's event table, with the checkpoint in the same transaction, so that it can be asked in SQL.
//
// A batch begins where the one before it ended or, the first of an assignment, at the checkpoint, and the next is taken when it is
// committed. So all below a batch is in the table before its own commit, also when the partition has gone to another member by
// then; that one's rows are the same, and the store keeps the higher checkpoint.

import { traceIdOf } from '../envelope/envelope.ts'
import {
  GROUPS,
  type EventLog,
  type Group,
  type LoggedEvent,
  type Passed,
  type Unreadable,
} from '../eventlog/eventlog.ts'
import type { Clock, Log } from '../ports/ports.ts'
import { checkpointOf, projectEvents, saveCheckpoint, type EventRow, type Store, type Tx } from '../store/store.ts'
import { rebalanceCount, type IndexerMetrics } from './metrics.ts'
import { persist, reachStore } from './waiting.ts'

export const PROJECTOR = 'projector' satisfies Group

/** Events of one transaction. */
const BATCH_MAX = 500

export interface ProjectorOptions {
  log: EventLog
  store: Store
  clock: Clock
  logger: Log
  metrics: IndexerMetrics
  signal: AbortSignal
}

/** Projects until the signal aborts. */
export async function projectLog(options: ProjectorOptions): Promise<void> {
  const { clock, logger, metrics, signal } = options
  const rebalanced = rebalanceCount(metrics, PROJECTOR)
  const patience = { clock, logger, id: PROJECTOR, signal }
  await persist((well) => projectOnce(options, rebalanced, well), patience, 'events cannot be projected')
}

async function projectOnce(
  options: ProjectorOptions,
  rebalanced: (held: AbortSignal) => void,
  well: () => void,
): Promise<void> {
  const { log, store, clock, logger, metrics, signal } = options
  const patience = { clock, logger, id: PROJECTOR }
  const startAt = (topic: string, partition: number, held: AbortSignal) => {
    rebalanced(held)
    return reachStore(() => checkpointOf(store, PROJECTOR, topic, partition), { ...patience, signal: held })
  }
  // Held on to while the store is away: giving the batch up would have the group share out its partitions anew.
  const commit = async (upTo: Passed, batch: readonly LoggedEvent[]) => {
    const { topic, partition, offset, appendedAt: eventTime } = upTo
    const now = clock.now()
    const project = async (tx: Tx) => {
      await projectEvents(tx, batch.map(eventRow))
      const next = { group: PROJECTOR, topic, partition, offset: offset + 1 }
      await saveCheckpoint(tx, { ...next, eventTime, updatedAt: now })
    }
    await reachStore(() => store.transaction(project), { ...patience, signal })
    metrics.checkpoint.set({ group: PROJECTOR }, now / 1000)
  }
  const unreadable = async (record: Unreadable) => {
    await commit(record, [])
    metrics.events.inc({ group: PROJECTOR, topic: record.topic, result: 'dead_letter' })
  }
  const passed = (record: Passed) => commit(record, [])
  const reading = { group: PROJECTOR, topics: GROUPS[PROJECTOR], batchMax: BATCH_MAX, gather: true }
  const want = { ...reading, startAt, unreadable, passed, signal }
  for await (const batch of log.consume(want)) {
    const last = batch.at(-1)
    if (last === undefined) continue
    await commit(last, batch)
    well()
    const { topic, appendedAt } = last
    metrics.events.inc({ group: PROJECTOR, topic, result: 'ok' }, batch.length)
    metrics.lastEvent.set({ group: PROJECTOR, topic }, appendedAt / 1000)
  }
}

function eventRow({ topic, partition, offset, event, appendedAt }: LoggedEvent): EventRow {
  const { id, type, subject, tenant, source, time, traceparent, replay } = event
  const data = event.data as Record<string, unknown>
  const entryId = typeof data['entryId'] === 'string' ? data['entryId'] : null
  const traceId = traceIdOf(traceparent)
  const place = { topic, partition, offset }
  return {
    ...place,
    id,
    type,
    subject,
    tenant,
    entryId,
    time: Date.parse(time),
    appendedAt,
    traceId,
    traceparent,
    source,
    replayId: replay?.id ?? null,
    data,
  }
}
