import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { pauseMs, spreadOf, Stopped, target, type TargetOptions } from './backoff.ts'
import { entryId } from './testing/rig.ts'

test.each([
  [1, 30_000, 0, 50],
  [1, 30_000, 1, 100],
  [2, 30_000, 1, 200],
  [5, 30_000, 0.5, 1200],
  [20, 30_000, 1, 30_000],
  [1e9, 30_000, 0, 15_000],
  [3, 150, 1, 150],
])('after %d tries, at most %d ms, spread %d: %d ms', (tries, maxMs, spread, want) => {
  expect(pauseMs(tries, maxMs, spread)).toBe(want)
})

test('ids spread over the whole pause', () => {
  const spreads = Array.from({ length: 1000 }, (_, n) => spreadOf(entryId(n)))
  expect(Math.min(...spreads)).toBeLessThan(0.01)
  expect(Math.max(...spreads)).toBeGreaterThan(0.99)
})

describe('a target that may be down', () => {
  const quiet = () => undefined
  /** Pauses that end only when somebody ends them. */
  const sleep = (_ms: number, signal?: AbortSignal) =>
    new Promise<void>((_resolve, reject) => signal?.addEventListener('abort', () => reject(new Error('woken'))))
  const rigged = (change: Partial<TargetOptions> = {}) => {
    const stop = new AbortController()
    const told: unknown[] = []
    const reached = target({
      name: 'engine',
      clock: { now: () => 0, monotonic: () => 0, sleep },
      log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      retryMaxMs: 30_000,
      signal: stop.signal,
      failed: (error) => void told.push(error !== undefined),
      waiting: (id, waits) => void told.push([id, waits]),
      ...change,
    })
    return { stop, told, reached }
  }
  const failing = async () => {
    throw new Error('down')
  }

  test('one success ends the pauses of all the others', async () => {
    const { reached, told } = rigged()
    let tries = 0
    const patient = reached.reach('a', async () => ((tries += 1) === 1 ? failing() : tries))
    await turn()
    expect(await reached.reach('b', async () => 'up')).toBe('up')
    expect(await patient).toBe(2)
    expect(told).toEqual([true, ['a', true], false, ['a', false], false])
  })

  test('the log tells once that it is down, whoever tries, and once that it is back', async () => {
    const lines: string[] = []
    const tell = (_fields: object, line: string) => void lines.push(line)
    const { reached, stop } = rigged({ log: { debug: quiet, info: tell, warn: tell, error: tell } })
    const patient = [reached.reach('a', failing), reached.reach('b', failing)]
    await turn()
    await reached.reach('c', async () => 'up')
    stop.abort()
    await Promise.allSettled(patient)
    expect(lines).toEqual(['target failed, will try again', 'target is back'])
  })

  test('a stop ends the pause with Stopped; the last try is not cut short', async () => {
    const { reached, stop } = rigged()
    const patient = reached.reach('a', failing)
    await turn()
    stop.abort()
    await expect(patient).rejects.toThrow(Stopped)
    expect(await reached.reach('a', async () => 'done')).toBe('done')
    await expect(reached.reach('a', failing)).rejects.toThrow(Stopped)
  })

  test('a try that hangs is given up 3 s after the stop', async () => {
    const sleeps: { ms: number; over: () => void }[] = []
    const sleep = (ms: number) => new Promise<void>((over) => sleeps.push({ ms, over }))
    const { reached, stop } = rigged({ clock: { now: () => 0, monotonic: () => 0, sleep } })
    const hanging = reached.reach('a', () => new Promise(() => undefined))
    const ended = hanging.catch((error: unknown) => error)
    stop.abort()
    expect(sleeps.map(({ ms }) => ms)).toEqual([3000])
    sleeps[0]?.over()
    expect(await ended).toBeInstanceOf(Stopped)
  })

  test('what no further try mends is not tried again, and is no sign that the target is down', async () => {
    const { reached, told } = rigged()
    await expect(reached.reach('a', failing, () => true)).rejects.toThrow('down')
    expect(told).toEqual([])
  })
})
