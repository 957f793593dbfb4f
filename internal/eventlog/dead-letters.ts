// Dead letters: records that a consumer group could not read, kept as they were, with the reason.
//
// A record is dead for a group when reading it again cannot help: it is no event of ours (`malformed`, tombstones too), its
// schema forbids its data (`data`), or it is of a major version that this release does not know (`unknown_version`). An
// event of an unknown *type* is none: consumers ignore those (docs/events.md). What fails for other reasons stays in the log.
//
// It is durable before the group goes past it; while it cannot be kept its partition waits. A record that is read again, after
// a rebalance or a restart, may be kept twice on Kafka: both have the same id, which is where the record stood.

import { CodecError, type CodecFault } from './codec.ts'
import { TOPICS, type Topic } from './events.ts'

/** The product's consumer groups, and what each reads. */
export const GROUPS = {
  indexer: ['mail.ingest.v1'],
  projector: TOPICS,
} as const satisfies Record<string, readonly Topic[]>
export type Group = keyof typeof GROUPS

export const DEAD_LETTER_REASONS = ['malformed', 'data', 'unknown_version'] as const satisfies readonly CodecFault[]
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number]

/** Name in the catalogue of the topic of a group's dead letters; the prefix of the wire stands before it. */
export const deadLetterTopic = (group: string, topic: string): string => `${group}.${topic}.dlt`

/** A partition whose dead letter cannot be kept rests so long before it is read again, doubling up to the longest. */
const REST_MS = 250
const REST_MAX_MS = 10_000

/** Milliseconds of rest after so many tries. */
export const restMs = (attempts: number): number => Math.min(REST_MAX_MS, REST_MS * 2 ** (attempts - 1))

/** A place in a topic. */
interface Place {
  topic: string
  partition: number
  offset: number
}

/** A record that is nothing to us. */
export interface Passed extends Place {
  /** When it was appended, milliseconds since 1970. */
  appendedAt: number
}

/** A record that is no event, and why. */
export interface Unreadable extends Passed {
  reason: DeadLetterReason
  error: string
}

export interface DeadLetter extends Unreadable {
  /** `group/topic/partition/offset`: where the record stood. */
  id: string
  group: string
  stack: string
  /** How often it was read until it could be kept here. */
  attempts: number
  /** When it was kept, milliseconds since 1970. */
  deadAt: number
  /** The offset of the letter itself, among the dead letters of its partition. */
  at: number
  /** The record as it was. */
  record: { key: Buffer | null; headers: RecordHeaders; value: Buffer | null }
}

/** As Kafka's client has them: a name may be there more than once. */
export type RecordHeaders = Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>

/** Whose dead letters; `partition` for one alone. */
export interface DeadLetterQuery {
  group: string
  topic: string
  partition?: number
  signal: AbortSignal
}

export interface DeadLetterCount {
  group: string
  topic: string
  count: number
  /** There is no topic to keep them in: the first record that cannot be read stops its partition. */
  missing: boolean
}

/** The dead letters of a log. Trouble of the engine rejects with EventLogError. */
export interface DeadLetters {
  /** How many each group has of each topic that it reads. */
  counts(): Promise<DeadLetterCount[]>
  /** From the oldest to the present end, each partition in its order. */
  read(query: DeadLetterQuery): AsyncIterable<DeadLetter>
  /** Puts the record back on its topic, at the end, as it was but for a header that names its letter. Durable when it resolves. */
  replay(letter: DeadLetter): Promise<void>
  /** Forgets the letter and those of the same group, topic and partition that are older: a log forgets in its order. */
  dropThrough(letter: DeadLetter): Promise<void>
}

/** Names of all our headers begin so; the set is the one of Spring Kafka's dead letters. */
const PREFIX = 'dlt_'
/** Header of a record that came back: the id of its dead letter. */
export const REPLAY_OF = 'dlt_replayof'
const STACK_BYTES_MAX = 4096
const ERROR_BYTES_MAX = 1024

/** What a reader is told of a record that is no event. */
export const unreadable = (
  { topic, partition, offset }: Place,
  appendedAt: number,
  { fault, message: error }: CodecError,
): Unreadable => ({
  topic,
  partition,
  offset,
  appendedAt,
  reason: fault === 'unknown_type' ? 'malformed' : fault,
  error,
})

/** The headers that tell why a record is dead. */
export function deadLetterHeaders(
  { topic, partition, offset }: Place,
  why: { error: CodecError; group: string; appendedAt: number; attempts: number },
): Record<string, string> {
  const { error, group, appendedAt, attempts } = why
  return {
    dlt_reason: error.fault,
    dlt_error: cut(error.message, ERROR_BYTES_MAX),
    dlt_stack: cut(error.stack ?? '', STACK_BYTES_MAX),
    dlt_topic: topic,
    dlt_partition: String(partition),
    dlt_offset: String(offset),
    dlt_timestamp: String(appendedAt),
    dlt_group: group,
    dlt_attempts: String(attempts),
  }
}

/** What the headers tell; undefined when they are not those of a dead letter. */
export function toldBy(
  headers: Readonly<Record<string, string>>,
): Omit<DeadLetter, 'deadAt' | 'at' | 'record'> | undefined {
  const { dlt_reason, dlt_error = '', dlt_stack: stack = '', dlt_topic: topic, dlt_group: group } = headers
  const [partition, offset, appendedAt, attempts] = ['partition', 'offset', 'timestamp', 'attempts'].map((name) =>
    Number(headers[PREFIX + name] ?? Number.NaN),
  ) as [number, number, number, number]
  const reason = DEAD_LETTER_REASONS.find((each) => each === dlt_reason)
  const whole = [partition, offset, appendedAt, attempts].every(Number.isSafeInteger)
  if (reason === undefined || topic === undefined || group === undefined || !whole) return undefined
  const id = `${group}/${topic}/${partition}/${offset}`
  return { id, group, topic, partition, offset, appendedAt, reason, error: dlt_error, stack, attempts }
}

/** The headers as they were before the record was dead. */
export const originalHeaders = (headers: RecordHeaders): RecordHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(PREFIX)))

/** The headers of a record that goes back to its topic. */
export const replayHeaders = ({ id, record }: DeadLetter): RecordHeaders => ({ ...record.headers, [REPLAY_OF]: id })

/** What a record is to its reader: an event, nothing (a type that this release does not know), or why it is dead. */
export function judged<Event>(decode: () => Event): readonly Event[] | CodecError {
  try {
    return [decode()]
  } catch (error) {
    const fault = error instanceof CodecError ? error : new CodecError('malformed', (error as Error).message)
    return fault.fault === 'unknown_type' ? [] : fault
  }
}

/** Neighbours in a log that share a fate: events to hand over, or records to keep as dead letters. */
export interface Run<Item, Event> {
  last: Item
  /** The last item is nothing to the reader. */
  passed: boolean
  size: number
  events: Event[]
  dead: { item: Item; error: CodecError }[]
}

/** Runs of at most `max` items, in order. What `judge` gives nothing for is passed over with its neighbours. */
export function* runsOf<Item, Event>(
  items: Iterable<Item>,
  judge: (item: Item) => readonly Event[] | CodecError,
  max: number,
): Generator<Run<Item, Event>> {
  let run: Run<Item, Event> | undefined
  for (const item of items) {
    const judged = judge(item)
    const isDead = judged instanceof Error
    if (run !== undefined && (run.size === max || isDead !== run.dead.length > 0)) {
      yield run
      run = undefined
    }
    run ??= { last: item, passed: false, size: 0, events: [], dead: [] }
    run.last = item
    run.passed = !isDead && judged.length === 0
    run.size += 1
    if (isDead) run.dead.push({ item, error: judged })
    else run.events.push(...judged)
  }
  if (run !== undefined) yield run
}

/** The beginning of `text` that takes at most `bytes` in UTF-8, without half a character. */
function cut(text: string, bytes: number): string {
  const whole = Buffer.from(text)
  if (whole.length <= bytes) return text
  return new TextDecoder().decode(whole.subarray(0, bytes), { stream: true })
}
