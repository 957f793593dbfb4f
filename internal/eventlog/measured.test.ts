// How many dead letters there are is shown, and trouble with looking does not pass for health.

import { Registry } from '@prometheus-io/client'
import { expect, test } from 'vitest'
import type { Log } from '../ports/ports.ts'
import type { DeadLetterCount } from './dead-letters.ts'
import { watchDeadLetters } from './measured.ts'

const counted = (count: number, missing = false): DeadLetterCount => ({
  group: 'indexer',
  topic: 'mail.ingest.v1',
  count,
  missing,
})

/** Looks once for each answer. What was said loudly, and what was shown after each look. */
async function watched(
  answers: readonly (DeadLetterCount[] | Error)[],
): Promise<{ warned: string[]; shown: string[] }> {
  const registry = new Registry()
  const stop = new AbortController()
  const warned: string[] = []
  const shown: string[] = []
  const warn: Log['warn'] = (fields, message) => void warned.push(`${message}: ${JSON.stringify(fields)}`)
  const log: Log = { debug: () => {}, info: () => {}, warn, error: () => {} }
  const left = [...answers]
  const counts = async () => {
    const answer = left.shift() ?? []
    if (answer instanceof Error) throw answer
    return answer
  }
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: async () => {
      shown.push(/pending\{group="indexer"\} (\S+)/.exec(await registry.metrics())?.[1] ?? '')
      if (left.length === 0) stop.abort()
    },
  }
  await watchDeadLetters({ counts }, { registry, clock, log, signal: stop.signal })
  return { warned, shown }
}

test('what waits for a person is shown for each group', async () => {
  const { shown, warned } = await watched([[counted(2)], [counted(0)]])
  expect({ shown, warned }).toEqual({ shown: ['2', '0'], warned: [] })
})

test('failures are told at the first of each series', async () => {
  const { warned, shown } = await watched([new Error('a'), new Error('b'), [counted(1)], new Error('c')])
  expect(warned).toHaveLength(2)
  expect(shown).toEqual(['0', '0', '1', '1'])
})

test('a topic that is missing is not taken for one without letters', async () => {
  const { warned } = await watched([[counted(0, true)], [counted(0, true)]])
  expect(warned).toEqual([expect.stringContaining('indexer.mail.ingest.v1.dlt')])
})
