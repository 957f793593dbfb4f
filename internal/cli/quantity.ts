// Sizes, times and counts: as people type them, and as people read them.

import { CliError } from './exit.ts'

const usage = (message: string): never => {
  throw new CliError('usage', message)
}

const SIZE_UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** `20M`, `512K`, `100`: bytes, binary units. */
export function sizeBytes(text: string): number {
  const match = /^(\d{1,12})([kmg]?)(?:i?b)?$/i.exec(text)
  const unit = SIZE_UNITS[match?.[2]?.toLowerCase() ?? '']
  return match === null || unit === undefined
    ? usage(`not a size: ${JSON.stringify(text)}; write it like 20M, 512K or 100`)
    : Number(match[1]) * unit
}

const TIME_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** `500ms`, `30s`, `5m`, `1h`, `2d`: milliseconds. */
export function durationMs(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d|w)$/.exec(text)
  const unit = TIME_UNITS[match?.[2] ?? '']
  return match === null || unit === undefined
    ? usage(`not a duration: ${JSON.stringify(text)}; write it like 30s, 5m, 1h or 2d`)
    : Number(match[1]) * unit
}

const ISO = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/

/** A point in time: `1h` (so long before now) or ISO 8601, taken as UTC where it names no zone. ISO text of it. */
export function instant(text: string, nowMs: number): string {
  if (/^\d{1,9}(ms|s|m|h|d|w)$/.test(text)) return new Date(nowMs - durationMs(text)).toISOString()
  const zoned = /T.*(Z|[+-]\d{2}:?\d{2})$/.test(text) || !text.includes('T') ? text : `${text}Z`
  const parsed = ISO.test(text) ? new Date(zoned) : new Date(Number.NaN)
  return Number.isNaN(parsed.getTime())
    ? usage(`not a time: ${JSON.stringify(text)}; write it like 1h (ago) or 2026-02-28T12:00:00Z`)
    : parsed.toISOString()
}

/** A whole number from `min` to `max`, as commander's option parser wants it. */
export const whole =
  (what: string, min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max
      ? value
      : usage(`${what} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`)
  }

/** `1.2 KB`: two digits that matter, decimal units as mail programs show them. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `41 ms`, `3.2 s`, `5 min`, `2 h`, `3 d`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 2 * 3_600_000) return `${Math.round(ms / 60_000)} min`
  return ms < 2 * 86_400_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`
}

/** `1,204 messages`; the plural ends in s unless it is given. */
export function countText(count: number, noun: string, plural = `${noun}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? noun : plural}`
}
