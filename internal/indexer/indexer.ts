// Package indexer turns published messages into rows, documents, threads and events.
//
// Contract: the effects of an event and the checkpoint that passes it are one transaction of the store; everything before it may
// happen twice and changes nothing when it does. The result depends on the messages alone, never on the order or number of
// deliveries. A message's own fault ends in QUARANTINED, a lasting one of ours in FAILED; an outage only makes the lag grow.

import { join } from 'node:path'
import type { Registry } from '@prometheus-io/client'
import type { BlobStore } from '../blob/blob.ts'
import { GROUPS, type EventLog, type Group } from '../eventlog/eventlog.ts'
import type { ParserPool } from '../message/message.ts'
import { UNTRACED, type Clock, type Log, type Tracer } from '../ports/ports.ts'
import type { Message, Store } from '../store/store.ts'
import { consumeReceived } from './consumer.ts'
import { indexerMetrics } from './metrics.ts'
import { observeState } from './observe.ts'
import { PROJECTOR, projectLog } from './project.ts'
import { publishOutbox } from './publish.ts'
import type { Scanning } from './scan.ts'
import { Bell } from './waiting.ts'

export { NO_REPLY, type NoReply } from './auto-reply.ts'
export { FAILURE_REASONS, INDEX_FLAGS, QUARANTINE_MEANINGS, type FailureReason } from './facts.ts'
export type { Scanning } from './scan.ts'
export { keepEventsFor } from './upkeep.ts'
export { receivedEvent, receivedFromMeta } from './received.ts'
export { previewReplay, type FieldChange, type Preview, type PreviewParts } from './preview.ts'
export { planReplay, replay, type ReplayParts, type ReplayPlan, type ReplayProgress } from './replay.ts'
export type { ReplaySelector } from './selection.ts'
export { Outage } from './trouble.ts'

/** A message whose rows can be read now. `receivedAt` in milliseconds since 1970. */
export type Indexed = Pick<
  Message,
  'entryId' | 'tenant' | 'status' | 'receivedAt' | 'mailFrom' | 'mailbox' | 'sizeBytes'
> & { messageId: string }

export interface IndexerOptions {
  log: EventLog
  blobs: BlobStore
  store: Store
  parsers: Pick<ParserPool, 'parse'>
  /** Without it nothing is scanned for malware. */
  scanning?: Scanning
  clock: Clock
  logger: Log
  registry: Registry
  tracer?: Tracer
  /** The parsers' work root; a directory in it is the indexer's own and is emptied at the start. */
  workDir: string
  /** Messages under way at one time. */
  concurrency: number
  /** Tries after the first when an object is missing; then the message is FAILED. */
  retries: number
  /** Whether mailboxes answer by themselves: somebody sends what is queued. Without it nothing is queued. */
  answers?: boolean
  /** Consumer group, the product's unless given: indexers of several logs on one store need one each. */
  group?: string
  /** `/ingest/<deployment>/indexerd`. */
  source: string
  onIndexed?(message: Indexed): void
}

export interface Indexer {
  /** Works until `signal` aborts. Trouble of the engines is waited out; only a bug rejects. */
  run(signal: AbortSignal): Promise<void>
}

const INDEXER = 'indexer' satisfies Group

export function indexer(options: IndexerOptions): Indexer {
  const { log, blobs, store, parsers, scanning, clock, logger, group = INDEXER, source } = options
  const groups = { [group]: GROUPS[INDEXER], [PROJECTOR]: GROUPS[PROJECTOR] }
  const metrics = indexerMetrics(options.registry, groups)
  return {
    async run(signal) {
      const { tracer = UNTRACED } = options
      const bell = new Bell()
      const around = { log, store, clock, logger, metrics, signal }
      const committed = (row: Omit<Message, 'synthetic'>) => {
        bell.ring()
        const { id: messageId, entryId, tenant, status, receivedAt, mailFrom, mailbox, sizeBytes } = row
        options.onIndexed?.({ messageId, entryId, tenant, status, receivedAt, mailFrom, mailbox, sizeBytes })
      }
      const consuming = consumeReceived({
        ...around,
        tracer,
        examine: { blobs, parsers, ...(scanning && { scanning }), workDir: join(options.workDir, 'messages') },
        group,
        source,
        concurrency: options.concurrency,
        retries: options.retries,
        answers: options.answers === true,
        committed,
      })
      await Promise.all([
        consuming,
        publishOutbox({ ...around, tracer, bell }),
        projectLog(around),
        observeState({ ...around, groups, indexer: group }),
      ])
    },
  }
}
