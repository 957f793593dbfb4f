// The log as a table: `seq` is the order of appending over all topics, `event_offset` the place in one topic.
// Offsets have no gaps, since they are given in the transaction that writes the rows. `appended_at` never goes back within a
// topic, also when the clock does: so the first offset after a time can be looked for by halving.

import type { Database } from 'better-sqlite3'
import { traceIdOf } from '../envelope/envelope.ts'
import { toBinary } from './codec.ts'
import { REPLAY_OF } from './dead-letters.ts'
import { topicOf, type MailEvent } from './events.ts'

/** Raised when the table changes; a file of a newer version is left alone. */
export const TABLE_VERSION = 2

const CREATE = `
  CREATE TABLE partitions (
    topic TEXT PRIMARY KEY,
    next_offset INTEGER NOT NULL,
    appended_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    event_offset INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    entry_id TEXT,
    trace_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    time INTEGER NOT NULL,
    appended_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX events_place ON events (topic, event_offset);
  CREATE INDEX events_id ON events (id);
  CREATE INDEX events_subject ON events (subject);
  CREATE INDEX events_entry ON events (entry_id);
  CREATE INDEX events_trace ON events (trace_id);
  CREATE INDEX events_tenant_time ON events (tenant, time);
  CREATE INDEX events_type_time ON events (type, time);
`

/** Since version 2. The record itself stays where it is: nothing is deleted from this log. */
const CREATE_DEAD_LETTERS = `
  CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    event_offset INTEGER NOT NULL,
    dead_at INTEGER NOT NULL,
    headers TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX dead_letters_place ON dead_letters (consumer_group, topic, event_offset);
  PRAGMA user_version = ${TABLE_VERSION};
`

/** Whether the file has dead letters: a reader may open it before a writer has brought it up to date. */
export const keepsDeadLetters = (db: Database): boolean => versionOf(db) >= 2

const versionOf = (db: Database) => db.pragma('user_version', { simple: true }) as number

/** One row, without the columns that only serve to find it. */
export interface Row {
  topic: string
  event_offset: number
  headers: string
  data: string
  appended_at: number
}

export const ROW_COLUMNS = 'topic, event_offset, headers, data, appended_at'

/** Brings the tables up to date, unless the file is opened for reading only. Throws if a newer release wrote the file. */
export function prepareTable(db: Database): void {
  const version = versionOf(db)
  if (version > TABLE_VERSION) throw new Error(`${db.name} was written by a newer release (version ${version})`)
  if (version === TABLE_VERSION || (db.readonly && version > 0)) return
  db.transaction(() => {
    // Another process may have done it while we waited for the lock.
    if (versionOf(db) === 0) db.exec(CREATE)
    if (versionOf(db) < TABLE_VERSION) db.exec(CREATE_DEAD_LETTERS)
  }).immediate()
}

/** A function that appends events in one transaction, durable when it returns (synchronous=FULL). */
export function appender(db: Database): (events: readonly MailEvent[], nowMs: number) => void {
  const claim = claimer(db)
  const insert = db.prepare(
    `INSERT INTO events (topic, event_offset, id, type, subject, entry_id, trace_id, tenant, time, appended_at, headers, data)
     VALUES (@topic, @offset, @id, @type, @subject, @entryId, @traceId, @tenant, @time, @appendedAt, @headers, @data)`,
  )
  const appendTo = (topic: string, events: readonly MailEvent[], nowMs: number) => {
    const { first, appendedAt } = claim(topic, events.length, nowMs)
    for (const [at, event] of events.entries()) {
      insert.run({ ...columnsOf(event), topic, offset: first + at, appendedAt })
    }
  }
  const transaction = db.transaction((events: readonly MailEvent[], nowMs: number) => {
    for (const [topic, of] of Map.groupBy(events, (event) => topicOf(event.type))) appendTo(topic, of, nowMs)
  })
  // Immediate: the write lock comes before the offsets are read, so two processes wait for each other and do not fail.
  return (events, nowMs) => transaction.immediate(events, nowMs)
}

/** Appends the record of a dead letter once more, as it is but for a header with the letter's id. */
export function appendCopy(db: Database, letter: { id: string; topic: string; offset: number }, nowMs: number): void {
  const claim = claimer(db)
  const copy = db.prepare(
    `INSERT INTO events (topic, event_offset, id, type, subject, entry_id, trace_id, tenant, time, appended_at, headers, data)
     SELECT topic, @first, id, type, subject, entry_id, trace_id, tenant, time, @appendedAt,
       CASE WHEN json_valid(headers) THEN json_set(headers, '$.${REPLAY_OF}', @id) ELSE headers END, data
     FROM events WHERE topic = @topic AND event_offset = @offset`,
  )
  const { id, topic, offset } = letter
  db.transaction(() => copy.run({ id, topic, offset, ...claim(topic, 1, nowMs) })).immediate()
}

/** A function that takes the next `count` offsets of a topic, in the transaction that writes their rows. */
function claimer(db: Database): (topic: string, count: number, nowMs: number) => { first: number; appendedAt: number } {
  const partition = db.prepare<[string], { next_offset: number; appended_at: number }>(
    'SELECT next_offset, appended_at FROM partitions WHERE topic = ?',
  )
  const advance = db.prepare(
    `INSERT INTO partitions (topic, next_offset, appended_at) VALUES (?, ?, ?)
     ON CONFLICT (topic) DO UPDATE SET next_offset = excluded.next_offset, appended_at = excluded.appended_at`,
  )
  return (topic, count, nowMs) => {
    const { next_offset: first, appended_at } = partition.get(topic) ?? { next_offset: 0, appended_at: 0 }
    const appendedAt = Math.max(nowMs, appended_at)
    advance.run(topic, first + count, appendedAt)
    return { first, appendedAt }
  }
}

function columnsOf(event: MailEvent) {
  const { id, type, subject, tenant, time, traceparent, data } = event
  const { headers, value } = toBinary(event)
  return {
    id,
    type,
    subject,
    tenant,
    entryId: data.entryId ?? null,
    traceId: traceIdOf(traceparent),
    time: Date.parse(time),
    headers: JSON.stringify(headers),
    data: value,
  }
}

/** The first offset of `topic` appended at or after `timeMs`; the next offset if there is none. */
export function offsetSince(db: Database, topic: string, timeMs: number): number {
  const at = db.prepare<[string, number], { appended_at: number }>(
    'SELECT appended_at FROM events WHERE topic = ? AND event_offset = ?',
  )
  let low = 0
  let high = endOf(db, topic)
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    // What is missing was trimmed, so it is older than everything that is there.
    if ((at.get(topic, middle)?.appended_at ?? -1) >= timeMs) high = middle
    else low = middle + 1
  }
  return low
}

/** The offset that the next event of `topic` gets. */
export function endOf(db: Database, topic: string): number {
  const row = db
    .prepare<[string], { next_offset: number }>('SELECT next_offset FROM partitions WHERE topic = ?')
    .get(topic)
  return row?.next_offset ?? 0
}
