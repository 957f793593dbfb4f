import { expect, test } from 'vitest'
import { SharedSync } from './shared-sync.ts'

/** A sync that each test ends by hand. */
function held() {
  const ends: ((error?: Error) => void)[] = []
  const shared = new SharedSync(
    () => new Promise((resolve, reject) => ends.push((error) => (error === undefined ? resolve() : reject(error)))),
  )
  return { ends, shared }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('who asks while a sync runs waits for the next one, which all of them share', async () => {
  const { ends, shared } = held()
  const told: string[] = []
  const all = ['first', 'second', 'third'].map((who) => shared.sync().then(() => told.push(who)))
  ends[0]?.()
  await turn()
  expect(told).toEqual(['first'])
  ends[1]?.()
  await Promise.all(all)
  expect(ends).toHaveLength(2)
})

test('a failed sync fails those that waited for the next one too, and no other sync is begun', async () => {
  const { ends, shared } = held()
  const all = ['first', 'second', 'third'].map(() => shared.sync())
  ends[0]?.(new Error('EIO'))
  // The names that the second and third wait for may be among those that the failed sync lost.
  for (const each of all) await expect(each).rejects.toThrow('EIO')
  await expect(shared.sync()).rejects.toThrow('EIO')
  expect(ends).toHaveLength(1)
})
