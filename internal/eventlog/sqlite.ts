// The embedded event log: one SQLite file, one partition for each topic, any number of processes.
//
// An append is one transaction, durable when it resolves. A consumer reads in offset order; since offsets are given under the
// write lock and become visible with their commit, none can appear behind a consumer's back. Appends of this process wake its
// consumers at once, those of another are seen at the next look.

import Sqlite, { type Database, type Statement } from 'better-sqlite3'
import type { Clock, Log } from '../ports/ports.ts'
import { CodecError, fromBinary } from './codec.ts'
import { EventLogError, type EventLogFault } from './fault.ts'
import type { Consumption, EventLog, EventQuery, LoggedEvent, Queryable } from './eventlog.ts'
import { validateData } from './schemas.ts'
import { searchSql } from './search.ts'
import { appender, endOf, offsetSince, prepareTable, ROW_COLUMNS, type Row } from './table.ts'

/** How often a consumer at the end looks for what other processes appended. */
const POLL_MS = 20

/** SQLite waits so long for a lock while it blocks this thread; then we wait without blocking. */
const BUSY_BLOCK_MS = 20

/** An append gives up on a locked file after so long; the caller's backoff goes on from there. */
const BUSY_MAX_MS = 2000
const BUSY_PAUSE_MS = 25

export interface SqliteEventLogOptions {
  /** Made if it is not there; its directory must be. */
  file: string
  clock: Clock
  log: Log
  /** For tools: the file must be there, and append rejects `readonly`. */
  readOnly?: boolean
}

/** The embedded log can be searched. */
export type SqliteEventLog = EventLog & Queryable

/** Opens the log. Throws EventLogError if the file cannot be opened, is locked, or is from a newer release. */
export function sqliteEventLog(options: SqliteEventLogOptions): SqliteEventLog {
  const { file, readOnly = false } = options
  return guarded(() => {
    const db = new Sqlite(file, { readonly: readOnly, fileMustExist: readOnly, timeout: BUSY_BLOCK_MS })
    try {
      if (!readOnly) db.pragma('journal_mode = WAL')
      return eventLogOn(db, options)
    } catch (error) {
      db.close()
      throw error
    }
  })
}

/** The log on an open database, which it then owns. */
export function eventLogOn(db: Database, { clock, log }: Pick<SqliteEventLogOptions, 'clock' | 'log'>): SqliteEventLog {
  // An acknowledged event must survive a power cut: the uploader lets go of the spool's copy after it.
  db.pragma('synchronous = FULL')
  prepareTable(db)
  const insert = appender(db)
  const batch: Batch = db.prepare(
    `SELECT ${ROW_COLUMNS} FROM events WHERE topic = ? AND event_offset >= ? ORDER BY event_offset LIMIT ?`,
  )
  const waiting = new Set<() => void>()
  const decode = (rows: readonly Row[]) => rows.flatMap((row) => decoded(row, log))
  const place = (topic: string, offset: number) => [{ topic, partition: 0, offset }]

  return {
    async append(events) {
      for (const { type, data } of events) validateData(type, data)
      await patiently(clock, () => insert(events, clock.now()))
      for (const wake of waiting) wake()
    },
    consume: (want) => consume({ db, batch, clock, waiting, decode }, want),
    ends: async (topic) => guarded(() => place(topic, endOf(db, topic))),
    offsetsAt: async (topic, timeMs) => guarded(() => place(topic, offsetSince(db, topic, timeMs))),
    async query(wanted: EventQuery) {
      const { sql, parameters } = searchSql(wanted)
      return guarded(() => decode(db.prepare<(string | number)[], Row>(sql).all(...parameters)))
    },
    async close() {
      guarded(() => db.close())
      for (const wake of waiting) wake()
    },
  }
}

type Batch = Statement<[string, number, number], Row>

interface Reading {
  db: Database
  batch: Batch
  clock: Clock
  /** How to wake the consumers that wait at the end. */
  waiting: Set<() => void>
  decode(rows: readonly Row[]): LoggedEvent[]
}

/** Batches in order of each topic, topics in turn. */
async function* consume(reading: Reading, want: Consumption): AsyncIterable<readonly LoggedEvent[]> {
  const { signal, batchMax } = want
  const next = new Map<string, number>()
  for (const topic of want.topics) next.set(topic, await want.startAt(topic, 0, signal))
  const last = want.untilEnd
    ? guarded(() => new Map(want.topics.map((topic) => [topic, endOf(reading.db, topic)])))
    : undefined
  while (!signal.aborted) {
    let found = false
    for (const [topic, from] of next) {
      const most = Math.min(batchMax, (last?.get(topic) ?? Infinity) - from)
      const rows = most > 0 ? guarded(() => reading.batch.all(topic, from, most)) : []
      const end = rows.at(-1)?.event_offset
      if (end === undefined) continue
      found = true
      next.set(topic, end + 1)
      const events = reading.decode(rows)
      if (events.length > 0) yield events
      if (signal.aborted) return
    }
    if (!found && last !== undefined) return
    if (!found) await news(reading, signal)
  }
}

/** Resolves when there may be more: an append here, the next look at what others did, or the end. */
async function news({ clock, waiting }: Reading, signal: AbortSignal): Promise<void> {
  const pause = new AbortController()
  const wake = () => pause.abort()
  waiting.add(wake)
  signal.addEventListener('abort', wake, { once: true })
  try {
    await clock.sleep(POLL_MS, pause.signal)
  } catch (error) {
    if (!pause.signal.aborted) throw error
  } finally {
    waiting.delete(wake)
    signal.removeEventListener('abort', wake)
  }
}

/** A row that cannot be read is told and passed over: consumers ignore what a newer release says, and damage must not stop them. */
function decoded(row: Row, log: Log): LoggedEvent[] {
  const { topic, event_offset: offset, appended_at: appendedAt } = row
  try {
    const event = fromBinary(JSON.parse(row.headers) as Record<string, string>, row.data)
    return [{ topic, partition: 0, offset, event, appendedAt }]
  } catch (error) {
    const fault = error instanceof CodecError ? error.fault : 'malformed'
    log.warn({ topic, offset, fault, error: (error as Error).message }, 'event skipped')
    return []
  }
}

/** `work` until the file is not locked, at most BUSY_MAX_MS, with this thread free between the tries. */
async function patiently(clock: Clock, work: () => void): Promise<void> {
  const deadline = clock.monotonic() + BUSY_MAX_MS
  for (;;) {
    try {
      return guarded(work)
    } catch (error) {
      if (!(error instanceof EventLogError) || error.fault !== 'busy' || clock.monotonic() >= deadline) throw error
      await clock.sleep(BUSY_PAUSE_MS)
    }
  }
}

/** SQLite's result codes, by prefix: extended codes begin with their primary one. */
const FAULTS: readonly [string, EventLogFault][] = [
  ['SQLITE_BUSY', 'busy'],
  ['SQLITE_LOCKED', 'busy'],
  ['SQLITE_FULL', 'full'],
  ['SQLITE_READONLY', 'readonly'],
]

function guarded<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw asEventLogError(error)
  }
}

function asEventLogError(error: unknown): EventLogError {
  const { code = '', message } = error as { code?: string; message: string }
  const fault = FAULTS.find(([prefix]) => code.startsWith(prefix))?.[1]
  const closed = error instanceof TypeError && message.includes('not open')
  return new EventLogError(fault ?? (closed ? 'closed' : 'server'), `event log: ${message}`, { cause: error })
}
