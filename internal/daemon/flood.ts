// A log that a flood does not fill: of lines with the same message so many are written in a while, the rest is counted.

import type { Clock, Log } from '../ports/ports.ts'

/** What became of mail that was accepted: always told, one line for each step. */
export const FATES: ReadonlySet<string> = new Set([
  'message accepted',
  'mail to nobody let go',
  'message stored',
  'entry set aside',
  'message indexed',
])

/** The while, milliseconds. */
const WINDOW_MS = 10_000
/** Messages told apart. They are fixed texts, so there are fewer; more would be a bug, and share one count. */
const MESSAGES_MAX = 500

/** A log that can tell which of its lines nobody writes. */
type Levelled = Log & { isLevelEnabled?: (level: string) => boolean }

interface Seen {
  since: number
  lines: number
}

/** `linesMax` of each message in 10 s; 0 for no such limit. What was left out is told with the next line of any kind. */
export function withoutFloods(log: Levelled, { clock, linesMax }: { clock: Clock; linesMax: number }): Log {
  if (linesMax === 0) return log
  const seen = new Map<string, Seen>()
  const over = ({ since }: Seen, now: number) => now - since >= WINDOW_MS
  /** The oldest come first: each begins at the end of the map. */
  const forgetOld = (now: number) => {
    for (const [message, each] of seen) {
      if (!over(each, now)) return
      seen.delete(message)
      const leftOut = each.lines - linesMax
      if (leftOut > 0) log.warn({ line: message, leftOut, inMs: WINDOW_MS }, 'lines left out')
    }
  }
  const wanted = (text: string): boolean => {
    const now = clock.monotonic()
    forgetOld(now)
    if (FATES.has(text)) return true
    const message = seen.has(text) || seen.size < MESSAGES_MAX ? text : ''
    const each = seen.get(message) ?? { since: now, lines: 0 }
    each.lines += 1
    seen.set(message, each)
    return each.lines <= linesMax
  }
  const guarded =
    (level: keyof Log): Log[keyof Log] =>
    (fields, message) => {
      if (log.isLevelEnabled?.(level) !== false && wanted(message)) log[level](fields, message)
    }
  return { debug: guarded('debug'), info: guarded('info'), warn: guarded('warn'), error: guarded('error') }
}
