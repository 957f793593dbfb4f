// From a query to SQL: each field of the query is one condition.

import type { EventQuery } from './eventlog.ts'
import { ROW_COLUMNS } from './table.ts'

type Field = Exclude<keyof EventQuery, 'limit' | 'newest'>

const CONDITIONS: Record<Field, string> = {
  id: 'id = ?',
  type: 'type = ?',
  tenant: 'tenant = ?',
  subject: 'subject = ?',
  entryId: 'entry_id = ?',
  traceId: 'trace_id = ?',
  fromMs: 'time >= ?',
  toMs: 'time < ?',
  topic: 'topic = ?',
  fromOffset: 'event_offset >= ?',
}

/** SQL with its parameters. The innermost order picks the first or the newest rows; the outer one is that of appending. */
export function searchSql(wanted: EventQuery): { sql: string; parameters: (string | number)[] } {
  const given = (Object.keys(CONDITIONS) as Field[]).filter((field) => wanted[field] !== undefined)
  const where = given.map((field) => CONDITIONS[field]).join(' AND ') || 'TRUE'
  const picked = `SELECT seq, ${ROW_COLUMNS} FROM events WHERE ${where} ORDER BY seq ${wanted.newest ? 'DESC' : 'ASC'} LIMIT ?`
  const parameters = [...given.map((field) => wanted[field] ?? ''), wanted.limit]
  return { sql: `SELECT ${ROW_COLUMNS} FROM (${picked}) ORDER BY seq`, parameters }
}
