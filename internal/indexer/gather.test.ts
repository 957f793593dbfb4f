import { expect, test } from 'vitest'
import type { MailEvent } from '../eventlog/eventlog.ts'
import { gathering } from './gather.ts'

const NOW = Date.parse('2026-11-29T10:00:00Z')

/** So many events of mail that came `ageMs` ago. */
const batchOf = (count: number, ageMs: number) =>
  Array.from({ length: count }, () => ({ event: { time: new Date(NOW - ageMs).toISOString() } as MailEvent }))

/** The pauses behind each of the batches, milliseconds. */
async function pausesOf(batches: ReturnType<typeof batchOf>[], signal = new AbortController().signal) {
  const slept: number[] = []
  const clock = { now: () => NOW, monotonic: () => 0, sleep: async (ms: number) => void slept.push(ms) }
  async function* source() {
    yield* batches
  }
  const seen = []
  for await (const batch of gathering(source(), clock, signal)) seen.push(batch)
  expect(seen).toEqual(batches)
  return slept
}

test.each([
  ['mail of this second is not kept waiting', batchOf(1, 500), []],
  ['late mail waits for more', batchOf(1, 2001), [200]],
  ['one late mail among others is enough', [...batchOf(3, 500), ...batchOf(1, 60_000)], [200]],
  ['a batch that is large enough is followed by the next', batchOf(32, 60_000), []],
])('%s', async (_what, batch, pauses) => {
  expect(await pausesOf([batch])).toEqual(pauses)
})

test('stopping ends the wait and is no error', async () => {
  expect(await pausesOf([batchOf(1, 60_000), batchOf(2, 60_000)], AbortSignal.abort())).toEqual([])
})
