// How far a long task is, on stderr: a line that is rewritten on a terminal, one every ten seconds elsewhere.

import type { Context } from './context.ts'
import { countText, durationText } from './quantity.ts'

export interface Progress {
  done: number
  failed: number
  total: number | null
}

const TERMINAL_MS = 200
const ELSEWHERE_MS = 10_000

/** `120 of 1,204 messages, 48/s, 23 s left, 2 failed`. */
export function progressText({ done, failed, total }: Progress, elapsedMs: number): string {
  const seen = done + failed
  const rate = elapsedMs > 0 ? (seen / elapsedMs) * 1000 : 0
  const of =
    total === null ? countText(seen, 'message') : `${seen.toLocaleString('en-US')} of ${countText(total, 'message')}`
  const left = total === null || rate === 0 ? '' : `, ${durationText(((total - seen) / rate) * 1000)} left`
  return `${of}, ${rate.toFixed(rate < 10 ? 1 : 0)}/s${seen === total ? '' : left}${failed === 0 ? '' : `, ${failed} failed`}`
}

/** What to call with each step, and at the end. */
export function progressLine({ clock, streams }: Context): {
  show: (progress: Progress) => void
  end: () => void
} {
  const terminal = streams.err.isTTY === true
  const began = clock.monotonic()
  let shownAt = began
  let open = false
  return {
    show(progress) {
      const now = clock.monotonic()
      if (now - shownAt < (terminal ? TERMINAL_MS : ELSEWHERE_MS)) return
      shownAt = now
      const text = progressText(progress, now - began)
      open = terminal
      streams.err.write(terminal ? `\r\x1b[K${text}` : `${text}\n`)
    },
    end() {
      if (open) streams.err.write('\r\x1b[K')
    },
  }
}
