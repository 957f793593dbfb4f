import { expect, test } from 'vitest'
import type { MailEvent } from '../eventlog/eventlog.ts'
import { gathering } from './gather.ts'

const NOW = Date.parse('2026-11-29T10:00:00Z')

/** So many events of mail that came `ageMs` ago. */
const batchOf = (count: number, ageMs: number, { partition = 0, replayed = false } = {}) =>
  Array.from({ length: count }, () => {
    const event = { time: new Date(NOW - ageMs).toISOString(), ...(replayed && { replay: { id: 'r' } }) }
    return { event: event as MailEvent, partition }
  })

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
  ['late mail waits for more', batchOf(1, 3001), [500]],
  ['one late mail among others is enough', [...batchOf(3, 500), ...batchOf(1, 60_000)], [500]],
  ['what is told again is not waited for', batchOf(1, 60_000, { replayed: true }), []],
  ['a batch that is large enough is followed by the next', batchOf(32, 60_000), []],
])('%s', async (_what, batch, pauses) => {
  expect(await pausesOf([batch])).toEqual(pauses)
})

test('the partitions of a round wait once, so that late mail is not made later by their number', async () => {
  const round = [0, 1, 2].map((partition) => batchOf(1, 60_000, { partition }))
  expect(await pausesOf([...round, ...round])).toEqual([500, 500])
})

test('stopping ends the wait and is no error', async () => {
  expect(await pausesOf([batchOf(1, 60_000), batchOf(2, 60_000)], AbortSignal.abort())).toEqual([])
})
