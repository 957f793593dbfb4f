import { expect, test } from 'vitest'
import type { Clock } from '../ports/ports.ts'
import { Pace } from './pace.ts'

/** A clock that only sleeping moves, and `work` by hand. */
function slowClock() {
  let now = 0
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms) => {
      now += ms
    },
  }
  return { clock, work: (ms: number) => (now += ms) }
}

test.each([
  [1, 1, 0],
  [5, 5, 0],
  [200, 50, 0],
  [200, 50, 400],
  [200, 1, 3],
])('at %i a second in chunks of %i, with %i ms of work each, no second has more', async (perSecond, chunk, workMs) => {
  const { clock, work } = slowClock()
  const pace = new Pace(clock, perSecond)
  const passed: number[] = []
  for (let at = 0; at < 3 * (perSecond / chunk) + 1; at++) {
    await pace.take(chunk, new AbortController().signal)
    passed.push(clock.monotonic())
    work(workMs)
  }
  for (const from of passed) {
    expect(passed.filter((at) => at >= from && at < from + 1000).length * chunk).toBeLessThanOrEqual(perSecond)
  }
  // Nor much less: work counts against the pause.
  const seconds = Math.max(3, (workMs * passed.length) / 1000)
  expect(clock.monotonic()).toBeLessThanOrEqual((seconds + 1) * 1000)
})
