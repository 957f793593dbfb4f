import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SpoolError } from '../spool/spool.ts'
import { spoolSpace } from './spool-space.ts'

test('a spool that is short is looked at again without any mail; one on a vanished mount is not ready', async () => {
  const full = new SpoolError('full', 'the spool is short of disk space')
  const answers = [full, undefined, new SpoolError('mounted', '/spool is gone'), undefined]
  const stats = { poisoned: false, short: false, freeBytes: 0, capacityBytes: 0, reservedBytes: 0 }
  const spool = {
    check: async () => {
      const answer = answers.shift()
      stats.short = answer === full
      if (answer !== undefined) throw answer
    },
    stats: () => ({ ...stats, committedMessages: 0, queuedMessages: 0, segment: undefined }),
  }
  const stop = new AbortController()
  const told: (string | undefined)[] = []
  const space = spoolSpace(spool, {
    sleep: async () => {
      told.push(space.problem())
      if (answers.length === 0) stop.abort()
      await nextTurn()
    },
  })
  await space.run(stop.signal)
  expect(told).toEqual(['free space is below SPOOL_FREE_MIN', undefined, '/spool is gone', undefined])
})
