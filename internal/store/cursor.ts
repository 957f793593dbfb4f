// Keyset cursors: the sort key of the last row, in base64url, so that pages stay right while rows come and go.

import { StoreError } from './errors.ts'

/** Most rows of one page. */
export const PAGE_MAX = 1000

export function checkedLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_MAX) return limit
  throw new StoreError('invalid', `limit must be a whole number from 1 to ${PAGE_MAX}`)
}

export const toCursor = (time: number, id: string): string => Buffer.from(`${time}:${id}`).toString('base64url')

/** `invalid` for anything that toCursor did not make. */
export function fromCursor(cursor: string): { time: number; id: string } {
  const match = /^(\d{1,15}):(.{1,100})$/.exec(Buffer.from(cursor, 'base64url').toString())
  if (match === null) throw new StoreError('invalid', 'not a cursor of this list')
  return { time: Number(match[1]), id: match[2] ?? '' }
}

/** Cuts the row that was read only to see whether there is more. */
export function pageOf<T>(rows: T[], limit: number, cursorOf: (row: T) => string): { rows: T[]; next?: string } {
  const last = rows[limit - 1]
  if (rows.length <= limit || last === undefined) return { rows }
  return { rows: rows.slice(0, limit), next: cursorOf(last) }
}
