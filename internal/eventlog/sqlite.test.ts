import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Registry } from '@prometheus-io/client'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { traceIdOf } from '../envelope/envelope.ts'
import { eventLogContract } from './contract.ts'
import { measured, type EventLog, type EventQuery } from './eventlog.ts'
import { sampleOf } from './samples.ts'
import { eventLogOn, sqliteEventLog } from './sqlite.ts'
import { realClock, received } from './testing/records.ts'

const run = promisify(execFile)
const lines: Record<string, unknown>[] = []
const quiet = () => undefined
const log = {
  debug: quiet,
  info: quiet,
  error: quiet,
  warn: (fields: Record<string, unknown>) => void lines.push(fields),
}
const options = { clock: realClock, log }

/** Another connection that holds the write lock. */
const lock = (file: string) => {
  const db = new Sqlite(file)
  db.exec('BEGIN IMMEDIATE')
  return () => {
    db.exec('ROLLBACK')
    db.close()
  }
}

eventLogContract('SQLite', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'eventlog-'))
  const file = join(dir, 'events.db')
  const opened: EventLog[] = []
  const asking = <T>(question: (db: Sqlite.Database) => T): T => {
    const db = new Sqlite(file)
    try {
      return question(db)
    } finally {
      db.close()
    }
  }
  return {
    async open() {
      const events = sqliteEventLog({ file, ...options })
      opened.push(events)
      return events
    },
    async appendRaw({ key, headers, value }) {
      await opened[0]?.append([received('raw', 0)])
      const row = 'WHERE seq = (SELECT max(seq) FROM events)'
      asking((db) =>
        db
          .prepare(`UPDATE events SET subject = ?, headers = ?, data = ? ${row}`)
          .run(key, JSON.stringify(headers), value),
      )
    },
    readRaw: async () =>
      asking((db) =>
        db
          .prepare<[], { key: string; headers: string; value: string }>(
            "SELECT subject AS key, headers, data AS value FROM events WHERE topic = 'mail.ingest.v1' ORDER BY event_offset",
          )
          .all()
          .map((row) => ({ ...row, headers: JSON.parse(row.headers) as Record<string, string> })),
      ),
    async deadLetterOutage() {
      const release = lock(file)
      return async () => release()
    },
    async outage() {
      const release = lock(file)
      return async () => release()
    },
    async appendElsewhere(tag, count) {
      await run(process.execPath, [join(import.meta.dirname, 'testing/appender.ts'), file, tag, String(count)])
    },
    async close() {
      for (const each of opened) await each.close()
      await rm(dir, { recursive: true })
    },
  }
})

describe('the log in a file', () => {
  let dir: string
  let file: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'eventlog-'))
    file = join(dir, 'events.db')
    lines.length = 0
  })
  afterEach(() => rm(dir, { recursive: true }))

  test.each([
    ['full', (db: Sqlite.Database, broken: boolean) => db.pragma(`max_page_count = ${broken ? 1 : 1_000_000}`)],
    ['readonly', (db: Sqlite.Database, broken: boolean) => db.pragma(`query_only = ${broken ? 1 : 0}`)],
  ])('%s: the append rejects, reading goes on, and the same log works again', async (fault, set) => {
    const db = new Sqlite(file)
    const events = eventLogOn(db, options)
    set(db, true)
    const big = Array.from({ length: 500 }, (_, n) => received('big', n))
    await expect(events.append(big)).rejects.toMatchObject({ name: 'EventLogError', fault })
    expect(await events.query({ limit: 1 })).toEqual([])
    set(db, false)
    await events.append(big)
    expect(await events.ends('mail.ingest.v1')).toMatchObject([{ offset: 500 }])
    await events.close()
  })

  test('while another process holds the lock this thread stays free, and a short lock is waited out', async () => {
    const events = sqliteEventLog({ file, ...options })
    const release = lock(file)
    let done = false
    const appended = events.append([received('a', 1)]).then(() => (done = true))
    let turns = 0
    for (const until = Date.now() + 200; Date.now() < until; turns += 1) await realClock.sleep(1)
    expect(done).toBe(false)
    expect(turns).toBeGreaterThan(20)
    release()
    await appended
    await events.close()
  })

  test('an append here wakes consumers at once: nobody waits for the next look', async () => {
    const never = (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((_resolve, reject) => signal?.addEventListener('abort', () => reject(new Error('woken'))))
    const events = sqliteEventLog({ file, log, clock: { ...realClock, sleep: never } })
    const signal = new AbortController().signal
    const batches = events.consume({ topics: ['mail.ingest.v1'], startAt: async () => 0, batchMax: 9, signal })
    const first = batches[Symbol.asyncIterator]().next()
    await realClock.sleep(10)
    await events.append([received('a', 1)])
    expect((await first).value).toHaveLength(1)
    await events.close()
  })

  test('each event is synced before its append resolves, whatever the file was opened with', async () => {
    const db = new Sqlite(file)
    db.pragma('synchronous = OFF')
    const events = eventLogOn(db, options)
    expect(db.pragma('synchronous', { simple: true })).toBe(2)
    await events.close()
  })

  test('time does not run back within a topic, so that offsetsAt can halve', async () => {
    let now = 5000
    const events = sqliteEventLog({ file, log, clock: { ...realClock, now: () => now } })
    for (const time of [5000, 3000, 4000, 7000]) {
      now = time
      await events.append([received('t', time)])
    }
    expect((await events.query({ limit: 9 })).map(({ appendedAt }) => appendedAt)).toEqual([5000, 5000, 5000, 7000])
    expect(await events.offsetsAt('mail.ingest.v1', 5001)).toMatchObject([{ offset: 3 }])
    await events.close()
  })

  test('a row that cannot be read is told and passed over', async () => {
    const events = sqliteEventLog({ file, ...options })
    await events.append([received('a', 0), received('a', 1), received('a', 2)])
    const db = new Sqlite(file)
    db.exec("UPDATE events SET data = '{' WHERE event_offset = 1")
    db.close()
    expect((await events.query({ limit: 9 })).map(({ offset }) => offset)).toEqual([0, 2])
    expect(lines).toMatchObject([{ topic: 'mail.ingest.v1', offset: 1, reason: 'malformed' }])
    await events.close()
  })

  test('a tool opens what is there, and changes nothing', async () => {
    expect(() => sqliteEventLog({ file, ...options, readOnly: true })).toThrow(/event log/)
    const events = sqliteEventLog({ file, ...options })
    await events.append([received('a', 0)])
    const tool = sqliteEventLog({ file, ...options, readOnly: true })
    expect(await tool.query({ limit: 9 })).toHaveLength(1)
    await expect(tool.append([received('a', 1)])).rejects.toMatchObject({ fault: 'readonly' })
    await tool.close()
    await events.close()
  })

  test('a file of a newer release is left alone', () => {
    const db = new Sqlite(file)
    db.pragma('user_version = 99')
    db.close()
    expect(() => sqliteEventLog({ file, ...options })).toThrow(/newer release/)
  })

  test('published events, failed ones and the time are counted by type', async () => {
    const registry = new Registry()
    const db = new Sqlite(file)
    const events = measured(eventLogOn(db, options), registry, { monotonic: () => 0 })
    expect(await registry.metrics()).toContain('mail_ingest_kafka_published_total{type="message.failed"} 0')
    await events.append([received('a', 0), sampleOf('objectstore.uploaded')])
    db.pragma('query_only = 1')
    await events.append([received('a', 1)]).catch((error: unknown) => error)
    const text = await registry.metrics()
    expect(text).toContain('mail_ingest_kafka_published_total{type="ingest.received"} 1')
    expect(text).toContain('mail_ingest_kafka_published_total{type="objectstore.uploaded"} 1')
    expect(text).toContain('mail_ingest_kafka_publish_errors_total{type="ingest.received"} 1')
    expect(text).toContain('mail_ingest_event_publish_duration_seconds_count 2')
    expect(await events.query({ limit: 9 })).toHaveLength(2)
    await events.close()
  })
})

describe('query', () => {
  const a = received('a', 1)
  const other = { ...received('b', 2), tenant: 'beta', time: '2026-02-01T00:00:00.000Z' }
  const uploaded = sampleOf('objectstore.uploaded')
  const february = Date.parse(other.time)

  test.each<[string, Omit<EventQuery, 'limit'>, string[]]>([
    ['everything, in the order of appending', {}, [a.id, uploaded.id, other.id, a.id]],
    ['the newest, still in that order', { newest: true }, [a.id, uploaded.id, other.id, a.id]],
    ['type', { type: 'objectstore.uploaded' }, [uploaded.id]],
    ['tenant', { tenant: 'beta' }, [other.id]],
    ['message id', { subject: a.subject }, [a.id, a.id]],
    ['event id', { id: other.id }, [other.id]],
    ['entry id', { entryId: a.data.entryId }, [a.id, uploaded.id, other.id, a.id]],
    ['trace id', { traceId: traceIdOf(a.traceparent), type: 'ingest.received' }, [a.id, other.id, a.id]],
    ['from a time', { fromMs: february }, [other.id]],
    ['to a time, exclusive', { toMs: february }, [a.id, uploaded.id, a.id]],
    ['topic and offset', { topic: 'mail.ingest.v1', fromOffset: 2 }, [other.id, a.id]],
    ['what is not there', { tenant: 'nobody' }, []],
    ['a value is never SQL', { tenant: "' OR 1=1 --" }, []],
  ])('by %s', async (_name, wanted, ids) => {
    const events = eventLogOn(new Sqlite(':memory:'), options)
    await events.append([a, uploaded, other, a])
    expect((await events.query({ ...wanted, limit: 10 })).map(({ event }) => event.id)).toEqual(ids)
    await events.close()
  })

  test('the limit keeps the first, or the newest', async () => {
    const events = eventLogOn(new Sqlite(':memory:'), options)
    await events.append([a, uploaded, other])
    const ids = async (wanted: EventQuery) => (await events.query(wanted)).map(({ event }) => event.id)
    expect(await ids({ limit: 2 })).toEqual([a.id, uploaded.id])
    expect(await ids({ limit: 2, newest: true })).toEqual([uploaded.id, other.id])
    await events.close()
  })
})
