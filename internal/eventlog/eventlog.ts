// Package eventlog keeps the events of the product in order, for any number of consumers, replayable from any offset.
//
// Events with one key (the message id; the tenant, of refusals) keep their order. Delivery is at least once; event ids are stable, so a consumer that
// remembers ids, or whose effect is an upsert, sees each fact once. The vocabulary is in events.ts.

import type { DeadLetters, Passed, Unreadable } from './dead-letters.ts'
import type { EventType, MailEvent } from './events.ts'

export { CodecError, fromBinary, fromStructured, toBinary, toStructured, type BinaryEvent } from './codec.ts'
export {
  DEAD_LETTER_REASONS,
  GROUPS,
  type DeadLetter,
  type DeadLetterQuery,
  type DeadLetterReason,
  type DeadLetters,
  type Group,
  type Passed,
  type Unreadable,
} from './dead-letters.ts'
export { eventCatalogueMarkdown } from './catalogue.ts'
export { EVENT_LOG_FAULTS, EventLogError, type EventLogFault } from './fault.ts'
export { measured, watchDeadLetters } from './measured.ts'
export { stepText, type TopicStep } from './topics.ts'
export { dataSchemaOf, schemaFiles, validateData, type SchemaFile } from './schemas.ts'
export {
  EVENT_TYPES,
  MAIL_TOPICS,
  TOPICS,
  isEventType,
  keyOf,
  makeEvent,
  topicOf,
  type EventData,
  type EventType,
  type MailEvent,
  type Topic,
} from './events.ts'

/** A place in the log. Offsets of one partition grow by one; the first is 0. */
export interface Position {
  topic: string
  partition: number
  offset: number
}

/** An event and where it stands. `appendedAt` is the log's own time, milliseconds since 1970. */
export interface LoggedEvent extends Position {
  event: MailEvent
  appendedAt: number
}

/** What a consumer wants. */
export interface Consumption {
  /** Consumer group: members of one group share the partitions. Undefined reads everything and commits nothing. */
  group?: string
  topics: readonly string[]
  /**
   * First offset wanted of a partition, asked each time the partition is assigned: the caller's own checkpoint. Once it is asked,
   * nothing fetched under an earlier assignment is handed over. `held` aborts when the partition is given out anew, to us or to
   * another member, and when the iteration is to end.
   */
  startAt(topic: string, partition: number, held: AbortSignal): Promise<number>
  /** Most events in one batch. */
  batchMax: number
  /** Fuller batches are worth a wait: events at the end of the log may be handed over a second and a half late. */
  gather?: boolean
  /** Ends the iteration, without an error. */
  signal: AbortSignal
  /** Stop at the present end of the log instead of waiting for more. */
  untilEnd?: boolean
  /**
   * Told of each record that is no event, and waited for before any event behind it is handed over: for a group once it is kept
   * as a dead letter, for a reader without a group as it is passed over. A group's checkpoint may then pass it.
   */
  unreadable?: (record: Unreadable) => Promise<void> | void
  /**
   * Told of records that are nothing to this release (of an unknown type), when all before them was handed over and the caller came
   * back: of the last one, where no event follows in the same piece. Without it a checkpoint would stay before them.
   */
  passed?: (record: Passed) => Promise<void> | void
}

/** The log. Trouble of the engine rejects with EventLogError; callers retry with backoff. An event whose data its schema forbids is a bug: TypeError. */
export interface EventLog {
  /** Resolves when every event is durable in the log. After a rejection some may be there: append again, ids are stable. */
  append(events: readonly MailEvent[]): Promise<void>
  /** Batches in order for each partition. A batch is one partition's. */
  consume(want: Consumption): AsyncIterable<readonly LoggedEvent[]>
  /** For each partition of `topic` the offset that the next event gets; lag is the distance to it. */
  ends(topic: string): Promise<Position[]>
  /** For each partition of `topic` the first offset appended at or after `timeMs`. */
  offsetsAt(topic: string, timeMs: number): Promise<Position[]>
  close(): Promise<void>
}

/** Logs that keep what a group cannot read have this as well. */
export interface Keeping {
  deadLetters: DeadLetters
}

/** What to look for; every field given must match. Times are milliseconds since 1970 and look at the event's own time. */
export interface EventQuery {
  /** Event id. */
  id?: string
  type?: EventType
  tenant?: string
  /** Id of the message, or of the refusal. */
  subject?: string
  entryId?: string
  /** 32 hex digits. */
  traceId?: string
  fromMs?: number
  /** Exclusive. */
  toMs?: number
  topic?: string
  /** First offset wanted of `topic`. */
  fromOffset?: number
  /** Most events answered: the first ones, or with `newest` the last ones. */
  limit: number
  newest?: boolean
}

/** Logs that can be searched have this as well. */
export interface Queryable {
  /** Matching events in the order in which they were appended. */
  query(wanted: EventQuery): Promise<LoggedEvent[]>
}

export const isQueryable = (log: EventLog): log is EventLog & Queryable => 'query' in log
