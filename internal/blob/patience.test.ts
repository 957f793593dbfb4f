import { describe, expect, test } from 'vitest'
import { patience, type Hold } from './patience.ts'

/** Time that goes on when told. */
function handClock() {
  let now = 0
  const sleepers = new Set<{ until: number; wake: () => void }>()
  return {
    monotonic: () => now,
    sleeping: () => sleepers.size,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const sleeper = { until: now + ms, wake: resolve }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', () => (sleepers.delete(sleeper), reject(new Error('aborted'))))
      }),
    async advance(ms: number) {
      now += ms
      for (const sleeper of [...sleepers].filter(({ until }) => until <= now)) {
        sleepers.delete(sleeper)
        sleeper.wake()
      }
      await new Promise(setImmediate)
    },
  }
}

function begin() {
  const clock = handClock()
  let held: Hold | undefined
  let finish = (_value: string) => {}
  const work = patience({ clock, idleMs: 100, wholeMs: 250 })('PUT t/a', (hold) => {
    held = hold
    return new Promise<string>((resolve) => (finish = resolve))
  })
  let outcome = 'open'
  work.then(
    (value) => (outcome = value),
    (error: { fault: string }) => (outcome = error.fault),
  )
  return { clock, outcome: () => outcome, finish: (value: string) => finish(value), hold: () => held }
}

describe('patience', () => {
  test('work that is done in time is done, and nothing of the watch is left', async () => {
    const { clock, outcome, finish, hold } = begin()
    await clock.advance(99)
    finish('done')
    await clock.advance(0)
    expect(outcome()).toBe('done')
    expect(clock.sleeping()).toBe(0)
    expect(hold()?.signal.aborted).toBe(false)
  })

  test('work that idles is `timeout` and aborted, also if it does not listen', async () => {
    const { clock, outcome, hold } = begin()
    await clock.advance(100)
    expect(outcome()).toBe('timeout')
    expect(hold()?.signal.aborted).toBe(true)
  })

  test('work that moves may go on, but not for ever', async () => {
    const { clock, outcome, hold } = begin()
    for (const ms of [90, 90]) {
      await clock.advance(ms)
      hold()?.moved()
    }
    expect(outcome()).toBe('open')
    await clock.advance(70)
    expect(outcome()).toBe('timeout')
  })

  test('one watch is enough for all: each is cut in its own time, and nothing is left of it', async () => {
    const clock = handClock()
    const patiently = patience({ clock, idleMs: 100, wholeMs: 250 })
    const outcomes: string[] = []
    const cut: string[] = []
    const begin = (what: string) => {
      const held = Promise.withResolvers<Hold>()
      const work = (hold: Hold) => {
        hold.onCut(() => cut.push(what))
        held.resolve(hold)
        return new Promise<never>(() => {})
      }
      patiently(what, work).catch(() => outcomes.push(what))
      return held.promise
    }
    await begin('first')
    await clock.advance(60)
    const second = await begin('second')
    expect(clock.sleeping()).toBe(1)
    await clock.advance(40)
    expect(outcomes).toEqual(['first'])
    second.moved()
    await clock.advance(60)
    expect(outcomes).toEqual(['first'])
    await clock.advance(40)
    expect(outcomes).toEqual(['first', 'second'])
    expect(cut).toEqual(outcomes)
    expect(clock.sleeping()).toBe(0)
    expect(await patiently('third', async () => 'done')).toBe('done')
    expect(clock.sleeping()).toBe(0)
  })
})
