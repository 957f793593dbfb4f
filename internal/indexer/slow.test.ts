import { expect, test } from 'vitest'
import type { Clock } from '../ports/ports.ts'
import { Slow } from './slow.ts'
import { Stopped } from './waiting.ts'

/** A clock that goes on when it is told to. */
function stepped() {
  let wake: (() => void) | undefined
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        expect(ms).toBe(1000)
        wake = resolve
        signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
      }),
  }
  const step = async (times = 1) => {
    for (let n = 0; n < times; n += 1) {
      wake?.()
      await new Promise(setImmediate)
    }
  }
  return { clock, step }
}

test('what is under way for its time is told of, once; what ended before is not', async () => {
  const { clock, step } = stepped()
  const told: string[] = []
  const slow = new Slow<string>(async (item) => void told.push(item))
  const stop = new AbortController()
  const watching = slow.watch(clock, 5000, stop.signal).catch((error: unknown) => error)
  slow.begin('first')
  await step(2)
  slow.begin('second')
  slow.begin('quick')
  await step(3)
  expect(told).toEqual([])
  await step()
  expect(told).toEqual(['first'])
  await slow.end('quick')
  await step(20)
  expect(told).toEqual(['first', 'second'])
  await slow.end('first')
  slow.begin('first')
  await step(6)
  expect(told).toEqual(['first', 'second', 'first'])
  stop.abort()
  expect(await watching).toBeInstanceOf(Stopped)
})

test('who is told of ends when that is done', async () => {
  const { clock, step } = stepped()
  const { promise, resolve } = Promise.withResolvers<void>()
  const slow = new Slow<string>(() => promise)
  void slow.watch(clock, 5000, new AbortController().signal)
  slow.begin('one')
  await step(6)
  let ended = false
  const end = slow.end('one').then(() => (ended = true))
  await step()
  expect(ended).toBe(false)
  resolve()
  await end
})
