import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Commits } from './commits.ts'
import { Line } from './waiting.ts'

const OUTAGE = new Error('an outage')

/** Commits of numbers that double them; who is in `bad` fails, and all with it. */
function rig(bad: readonly number[] = [], error: Error = new Error('bad')) {
  const batches: number[][] = []
  const commit = async (items: readonly number[]) => {
    batches.push([...items])
    await sleep(5)
    if (items.some((item) => bad.includes(item))) throw error
    return items.map((item) => 2 * item)
  }
  const line = new Line()
  const commits = new Commits({ line, commit, isOfAll: (thrown) => thrown === OUTAGE })
  const add = (item: number) => commits.add(item).catch((thrown: Error) => thrown.message)
  return { batches, line, add }
}

test('one alone waits for nobody; what comes meanwhile goes together', async () => {
  const { batches, add } = rig()
  expect(await Promise.all([1, 2, 3].map(add))).toEqual([2, 4, 6])
  expect(batches).toEqual([[1, 2, 3]])
  const first = add(4)
  await sleep(1)
  expect(await Promise.all([first, add(5), add(6)])).toEqual([8, 10, 12])
  expect(batches.slice(1)).toEqual([[4], [5, 6]])
})

test('a commit is bounded, and nothing is left behind', async () => {
  const { batches, add } = rig()
  const items = Array.from({ length: 100 }, (_, at) => at)
  expect(await Promise.all(items.map(add))).toEqual(items.map((item) => 2 * item))
  expect(batches.map(({ length }) => length)).toEqual([32, 32, 32, 4])
})

test('one that fails takes nobody down', async () => {
  const { batches, add } = rig([2])
  expect(await Promise.all([1, 2, 3].map(add))).toEqual([2, 'bad', 6])
  expect(batches).toEqual([[1, 2, 3], [1], [2], [3]])
})

test('in an outage all of them are told at once, and each comes alone the next time', async () => {
  const { batches, add } = rig([2], OUTAGE)
  expect(await Promise.all([1, 2, 3].map(add))).toEqual(Array(3).fill('an outage'))
  expect(await Promise.all([1, 2, 3].map(add))).toEqual([2, 'an outage', 6])
  expect(batches).toEqual([[1, 2, 3], [1], [2], [3]])
  await add(1)
  expect(await Promise.all([4, 5].map(add))).toEqual([8, 10])
  expect(batches.at(-1)).toEqual([4, 5])
})

test('they take turns with whatever else is in the line', async () => {
  const { batches, line, add } = rig()
  const before = line.run(() => sleep(20))
  const added = add(1)
  await before
  expect(batches).toEqual([])
  expect(await added).toBe(2)
})
