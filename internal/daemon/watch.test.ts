import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { watch } from './daemon.ts'

/** A watch whose sleeps end when the test says so. */
function rigged(ask: () => Promise<unknown>) {
  const lines: unknown[] = []
  const sleeps: { ms: number; wake: () => void }[] = []
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((wake, reject) => {
        if (signal?.aborted) return reject(new Error('aborted'))
        const sleep = { ms, wake }
        sleeps.push(sleep)
        signal?.addEventListener('abort', () => {
          sleeps.splice(sleeps.indexOf(sleep), 1)
          reject(new Error('aborted'))
        })
      }),
  }
  const log = {
    info: (_fields: object, line: string) => void lines.push(line),
    warn: ({ error }: { error?: string }) => void lines.push(error),
  }
  const stop = new AbortController()
  const { check, run } = watch({ name: 'event log', ask, clock, log })
  const before = check.problem()
  void run(stop.signal)
  onTestFinished(() => stop.abort())
  const next = async () => {
    sleeps.shift()?.wake()
    await turn()
  }
  return { before, check, lines, next, sleeps }
}

test('readiness follows the engine, and the log tells each change once', async () => {
  let error: string | undefined
  const { before, check, lines, next } = rigged(async () => {
    if (error !== undefined) throw new Error(error)
  })
  expect(before).toBe('not asked yet')
  await turn()
  expect(check.problem()).toBeUndefined()
  for (error of ['refused after 10 ms', 'refused after 12 ms', 'no topic mail.ingest.v1']) await next()
  expect(check.problem()).toBe('since 1970-01-01T00:00:00.000Z: no topic mail.ingest.v1')
  error = undefined
  await next()
  await next()
  expect(check.problem()).toBeUndefined()
  expect(lines).toEqual(['refused after 10 ms', 'no topic mail.ingest.v1', 'an engine is in reach again'])
})

test('an engine that is frozen is out of reach within 5 s', async () => {
  const { check, lines, next, sleeps } = rigged(() => new Promise(() => undefined))
  await turn()
  expect(sleeps.map(({ ms }) => ms)).toEqual([5000])
  await next()
  expect(check.problem()).toBe('since 1970-01-01T00:00:00.000Z: no answer for 5 s')
  expect(lines).toEqual(['no answer for 5 s'])
})
