// The embedded event log: one SQLite file, one partition for each topic, any number of processes.
//
// An append is one transaction, durable when it resolves. A consumer reads in offset order; since offsets are given under the
// write lock and become visible with their commit, none can appear behind a consumer's back. Appends of this process wake its
// consumers at once, those of another are seen at the next look.

import Sqlite, { type Database, type Statement } from 'better-sqlite3'
import type { Clock, Log } from '../ports/ports.ts'
import { fromBinary, type CodecError } from './codec.ts'
import { judged, restMs, runsOf, unreadable } from './dead-letters.ts'
import type { Consumption, EventLog, EventQuery, Keeping, LoggedEvent, Queryable } from './eventlog.ts'
import { validateData } from './schemas.ts'
import { searchSql } from './search.ts'
import { deadLettersOn, type KeepDead } from './sqlite-dead-letters.ts'
import { guarded, patiently } from './sqlite-faults.ts'
import { appender, endOf, offsetSince, prepareTable, ROW_COLUMNS, type Row } from './table.ts'

/** How often a consumer at the end looks for what other processes appended. */
const POLL_MS = 20

/** SQLite waits so long for a lock while it blocks this thread; then we wait without blocking. */
const BUSY_BLOCK_MS = 20

export interface SqliteEventLogOptions {
  /** Made if it is not there; its directory must be. */
  file: string
  clock: Clock
  log: Log
  /** For tools: the file must be there, and append rejects `readonly`. */
  readOnly?: boolean
}

/** The embedded log can be searched, and keeps dead letters. */
export type SqliteEventLog = EventLog & Queryable & Keeping

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
  const appended = () => {
    for (const wake of waiting) wake()
  }
  const { keep, ...deadLetters } = deadLettersOn(db, { clock, appended })
  const place = (topic: string, offset: number) => [{ topic, partition: 0, offset }]

  return {
    async append(events) {
      for (const { type, data } of events) validateData(type, data)
      await patiently(clock, () => insert(events, clock.now()))
      appended()
    },
    consume: (want) => consume({ db, batch, clock, log, waiting, keep }, want),
    ends: async (topic) => guarded(() => place(topic, endOf(db, topic))),
    offsetsAt: async (topic, timeMs) => guarded(() => place(topic, offsetSince(db, topic, timeMs))),
    async query(wanted: EventQuery) {
      const { sql, parameters } = searchSql(wanted)
      const rows = guarded(() => db.prepare<(string | number)[], Row>(sql).all(...parameters))
      return rows.flatMap((row) => {
        const event = judge(row)
        if (!(event instanceof Error)) return event
        log.warn({ ...unreadable(placeOf(row), row.appended_at, event) }, 'record skipped')
        return []
      })
    },
    deadLetters,
    async close() {
      guarded(() => db.close())
      appended()
    },
  }
}

type Batch = Statement<[string, number, number], Row>

interface Reading {
  db: Database
  batch: Batch
  clock: Clock
  log: Log
  /** How to wake the consumers that wait at the end. */
  waiting: Set<() => void>
  keep: KeepDead
}

/** Where a topic is read. After trouble with a dead letter it rests until then, by the clock's monotonic. */
interface Reach {
  next: number
  attempts: number
  restsUntil: number
}

/** Batches in order of each topic, topics in turn. */
async function* consume(reading: Reading, want: Consumption): AsyncIterable<readonly LoggedEvent[]> {
  const { signal } = want
  const reached = new Map<string, Reach>()
  for (const topic of want.topics) {
    reached.set(topic, { next: await want.startAt(topic, 0, signal), attempts: 1, restsUntil: -Infinity })
  }
  const last = want.untilEnd
    ? guarded(() => new Map(want.topics.map((topic) => [topic, endOf(reading.db, topic)])))
    : undefined
  while (!signal.aborted) {
    let read = false
    let rests = false
    for (const [topic, reach] of reached) {
      const most = Math.min(want.batchMax, (last?.get(topic) ?? Infinity) - reach.next)
      if (reading.clock.monotonic() < reach.restsUntil) rests = true
      else if (most > 0) {
        const rows = guarded(() => reading.batch.all(topic, reach.next, most))
        for await (const events of eventsOf(reading, want, rows, reach)) {
          yield events
          if (signal.aborted) return
        }
        read ||= rows.length > 0
      }
    }
    if (!read && !rests && last !== undefined) return
    if (!read) await news(reading, want)
  }
}

/** The events of rows that follow each other. Stops before a dead letter of the group that cannot be kept. */
async function* eventsOf(
  { clock, log, keep }: Reading,
  { group, batchMax, unreadable: tell, passed: pass }: Consumption,
  rows: readonly Row[],
  reach: Reach,
): AsyncIterable<readonly LoggedEvent[]> {
  for (const { events, dead, last, passed } of runsOf(rows, judge, batchMax)) {
    if (group !== undefined && dead.length > 0) {
      try {
        await keep(dead, { group, attempts: reach.attempts })
      } catch (error) {
        const place = { topic: last.topic, offset: reach.next, attempts: reach.attempts }
        log.warn({ ...place, err: error }, 'a dead letter cannot be kept; its topic waits')
        reach.restsUntil = clock.monotonic() + restMs(reach.attempts)
        reach.attempts += 1
        return
      }
    }
    for (const { item, error } of dead) {
      const record = unreadable(placeOf(item), item.appended_at, error)
      log.warn({ ...record, group }, group === undefined ? 'record skipped' : 'record set aside as a dead letter')
      await tell?.(record)
    }
    reach.next = last.event_offset + 1
    reach.attempts = 1
    if (events.length > 0) yield events
    if (passed) await pass?.({ ...placeOf(last), appendedAt: last.appended_at })
  }
}

/** Resolves when there may be more: an append here, the next look at what others did, or the end. Who gathers wants only looks. */
async function news({ clock, waiting }: Reading, { signal, gather }: Consumption): Promise<void> {
  const pause = new AbortController()
  const wake = () => pause.abort()
  if (gather !== true) waiting.add(wake)
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

const placeOf = (row: Row) => ({ topic: row.topic, partition: 0, offset: row.event_offset })

/** What the row is to a consumer of events. */
const judge = (row: Row): readonly LoggedEvent[] | CodecError =>
  judged(() => {
    const event = fromBinary(JSON.parse(row.headers) as Record<string, string>, row.data)
    return { ...placeOf(row), event, appendedAt: row.appended_at }
  })
