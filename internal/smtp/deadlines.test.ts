import { describe, expect, test } from 'vitest'
import { Deadlines, type Timeouts } from './deadlines.ts'

const TIMEOUTS: Timeouts = {
  greetingTimeoutMs: 100_000,
  idleTimeoutMs: 300,
  dataTimeoutMs: 2000,
  sessionTimeoutMs: 5000,
  dataRateMin: 100,
}
const opened = (more: Partial<Timeouts> = {}): Deadlines => new Deadlines({ ...TIMEOUTS, ...more }, 0)

/** Octets that come at these times, 0 at the start; each is answered at once. When the deadline was first seen to be over, and why. */
function firstLate(deadlines: Deadlines, heard: Record<number, number>): [number, string] | undefined {
  deadlines.wait(0)
  for (let nowMs = 1; nowMs < 10_000; nowMs += 1) {
    const late = deadlines.overdue(nowMs)
    if (late !== undefined) return [nowMs, late]
    const octets = heard[nowMs]
    if (octets === undefined) continue
    deadlines.heard(octets, nowMs)
    deadlines.wait(nowMs)
  }
  return undefined
}

describe('a command (RFC 5321 4.5.3.2)', () => {
  test('is late when nothing comes', () => {
    expect(firstLate(opened(), {})).toEqual([300, 'idle'])
  })

  test('that drips in is as late', () => {
    expect(firstLate(opened(), { 100: 1, 200: 50, 290: 1000 })).toEqual([300, 'idle'])
  })

  test('after another has its own time', () => {
    const deadlines = opened()
    deadlines.wait(0)
    deadlines.heard(10, 200)
    deadlines.expect('command', 200)
    deadlines.wait(200)
    expect([deadlines.overdue(499), deadlines.overdue(500)]).toEqual([undefined, 'idle'])
  })

  test('ends with the session', () => {
    const deadlines = opened({ idleTimeoutMs: 100_000 })
    expect(firstLate(deadlines, {})).toEqual([5000, 'session_too_long'])
  })

  test('is never late while it is our turn', () => {
    const deadlines = opened()
    deadlines.wait(0)
    expect(deadlines.waiting).toBe(true)
    deadlines.heard(1, 10)
    expect([deadlines.waiting, deadlines.overdue(1_000_000)]).toEqual([false, undefined])
  })
})

describe('EHLO', () => {
  /** NOOP every 200 ms, each answered at once. */
  const waitingFor = (expected: 'greeting' | 'command'): number | undefined => {
    const deadlines = opened({ greetingTimeoutMs: 1000 })
    for (let nowMs = 0; nowMs < 4000; nowMs += 1) {
      if (nowMs % 200 === 0) {
        deadlines.heard(6, nowMs)
        deadlines.expect(expected, nowMs)
        deadlines.wait(nowMs)
      }
      if (deadlines.overdue(nowMs) === 'no_greeting') return nowMs
    }
    return undefined
  }

  test('is late whatever else came', () => {
    expect(waitingFor('greeting')).toBe(1000)
  })

  test('once said is no longer waited for', () => {
    expect(waitingFor('command')).toBeUndefined()
  })

  test('has its own time when it is expected anew (RFC 3207 4.2)', () => {
    const deadlines = opened({ greetingTimeoutMs: 100 })
    deadlines.expect('command', 10)
    deadlines.expect('greeting', 1000)
    deadlines.wait(1000)
    expect([deadlines.overdue(1099), deadlines.overdue(1100)]).toEqual([undefined, 'no_greeting'])
  })
})

describe('content', () => {
  const content = (more: Partial<Timeouts> = {}): Deadlines => {
    const deadlines = opened(more)
    deadlines.expect('content', 0)
    return deadlines
  }
  const every = (ms: number, octets: number): Record<number, number> =>
    Object.fromEntries(Array.from({ length: 100 }, (_unused, index) => [(index + 1) * ms, octets]))

  test('that stops is late', () => {
    expect(firstLate(content(), { 100: 10 })).toEqual([400, 'too_slow'])
  })

  test('at half the rate uses up its time at half the speed', () => {
    expect(firstLate(content(), every(10, 0.5))?.[1]).toBe('too_slow')
    expect(firstLate(content(), every(10, 0.5))?.[0]).toBeCloseTo(600, -2)
  })

  test('at the rate may take until the data timeout', () => {
    expect(firstLate(content(), every(50, 5))).toEqual([2000, 'too_slow'])
  })

  test('that came in a burst earns no more than there was at the start', () => {
    expect(firstLate(content(), { 1: 1_000_000 })).toEqual([301, 'too_slow'])
  })

  test('without a floor earns all of it by any octet', () => {
    expect(firstLate(content({ dataRateMin: 0 }), every(299, 1))).toEqual([2000, 'too_slow'])
  })

  test('may end when the session is over', () => {
    expect(firstLate(content({ sessionTimeoutMs: 500 }), every(50, 5))).toEqual([2000, 'too_slow'])
  })
})
