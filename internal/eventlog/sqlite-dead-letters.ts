// Dead letters of the embedded log: a table of places and reasons beside the records.

import type { Database } from 'better-sqlite3'
import type { Clock } from '../ports/ports.ts'
import type { CodecError } from './codec.ts'
import {
  deadLetterHeaders,
  GROUPS,
  originalHeaders,
  toldBy,
  type DeadLetter,
  type DeadLetters,
  type RecordHeaders,
} from './dead-letters.ts'
import { guarded, patiently } from './sqlite-faults.ts'
import { appendCopy, keepsDeadLetters, type Row } from './table.ts'

/** Letters of one look at the table. */
const PAGE = 100

/** Keeps rows as dead letters of a group, in one transaction; those that are kept already stay as they are. */
export type KeepDead = (
  dead: readonly { item: Row; error: CodecError }[],
  of: { group: string; attempts: number },
) => Promise<void>

interface Parts {
  clock: Clock
  /** Told when a record was put back. */
  appended: () => void
}

interface LetterRow {
  seq: number
  dead_at: number
  told: string
  key: string
  headers: string
  data: string
}

export function deadLettersOn(db: Database, { clock, appended }: Parts): DeadLetters & { keep: KeepDead } {
  const write = (work: () => void) => patiently(clock, work)
  return {
    keep: (dead, { group, attempts }) =>
      write(() => {
        const insert = db.prepare(
          `INSERT INTO dead_letters (consumer_group, topic, event_offset, dead_at, headers) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO NOTHING`,
        )
        const all = db.transaction(() => {
          for (const { item, error } of dead) {
            const { topic, event_offset: offset, appended_at: appendedAt } = item
            const why = { error, group, appendedAt, attempts }
            const headers = deadLetterHeaders({ topic, partition: 0, offset }, why)
            insert.run(group, topic, offset, clock.now(), JSON.stringify(headers))
          }
        })
        all.immediate()
      }),
    async counts() {
      return guarded(() => {
        const counted = keepsDeadLetters(db)
          ? db.prepare<[string, string], { count: number }>(
              'SELECT count(*) AS count FROM dead_letters WHERE consumer_group = ? AND topic = ?',
            )
          : undefined
        return Object.entries(GROUPS).flatMap(([group, topics]) =>
          topics.map((topic) => ({ group, topic, missing: false, count: counted?.get(group, topic)?.count ?? 0 })),
        )
      })
    },
    async *read({ group, topic, partition = 0, signal }) {
      if (partition !== 0) return
      const { page, end } = guarded(() => reading(db))
      let after = 0
      while (!signal.aborted) {
        const rows = guarded(() => page?.all(group, topic, after, end, PAGE) ?? [])
        for (const row of rows) yield* letterOf(row)
        after = rows.at(-1)?.seq ?? after
        if (rows.length < PAGE) return
      }
    },
    async replay(letter) {
      await write(() => appendCopy(db, letter, clock.now()))
      appended()
    },
    dropThrough: ({ group, topic, at }) =>
      write(() => {
        db.prepare('DELETE FROM dead_letters WHERE consumer_group = ? AND topic = ? AND seq <= ?').run(group, topic, at)
      }),
  }
}

/** Pages of what is there now. */
function reading(db: Database) {
  if (!keepsDeadLetters(db)) return { page: undefined, end: 0 }
  const page = db.prepare<[string, string, number, number, number], LetterRow>(
    `SELECT letter.seq AS seq, dead_at, letter.headers AS told, subject AS key, events.headers AS headers, data
     FROM dead_letters AS letter JOIN events USING (topic, event_offset)
     WHERE consumer_group = ? AND topic = ? AND letter.seq > ? AND letter.seq <= ? ORDER BY letter.seq LIMIT ?`,
  )
  const newest = db.prepare<[], { end: number }>('SELECT coalesce(max(seq), 0) AS end FROM dead_letters').get()
  return { page, end: newest?.end ?? 0 }
}

function letterOf(row: LetterRow): DeadLetter[] {
  const told = toldBy(JSON.parse(row.told) as Record<string, string>)
  const record = { key: Buffer.from(row.key), headers: headersOf(row.headers), value: Buffer.from(row.data) }
  return told === undefined ? [] : [{ ...told, deadAt: row.dead_at, at: row.seq, record }]
}

/** Headers may be what cannot be read; the value still can. */
function headersOf(text: string): RecordHeaders {
  try {
    return originalHeaders(JSON.parse(text) as Record<string, string>)
  } catch {
    return {}
  }
}
