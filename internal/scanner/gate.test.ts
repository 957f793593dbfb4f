import { expect, test } from 'vitest'
import { DOWN_PAUSE_MS, Gate } from './gate.ts'
import { ScannerError } from './outcome.ts'

function gateAt(places: number) {
  const clock = { time: 1000, monotonic: () => clock.time }
  return { clock, gate: new Gate(places, clock) }
}

const down = async () => Promise.reject(new ScannerError('timeout', 'stands still'))

test('so many at a time, the others in their order', async () => {
  const { gate } = gateAt(2)
  const began: number[] = []
  const ends = [0, 1, 2, 3].map((at) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = gate.pass(async () => {
      began.push(at)
      await promise
    })
    return { done, resolve }
  })
  await Promise.resolve()
  expect(began).toEqual([0, 1])
  for (const { done, resolve } of ends) {
    resolve()
    await done
  }
  expect(began).toEqual([0, 1, 2, 3])
})

test('after three failures in a row the others are refused at once, and one may try after a pause', async () => {
  const { gate, clock } = gateAt(4)
  for (let count = 0; count < 3; count += 1) await expect(gate.pass(down)).rejects.toThrow('stands still')
  await expect(gate.pass(async () => 'asked')).rejects.toThrow('a moment ago')
  clock.time += DOWN_PAUSE_MS
  const { promise, resolve } = Promise.withResolvers<string>()
  const first = gate.pass(() => promise)
  await expect(gate.pass(async () => 'asked')).rejects.toThrow('a moment ago')
  resolve('up')
  expect(await first).toBe('up')
  expect(await gate.pass(async () => 'asked')).toBe('asked')
})

test('one that tries in vain makes the others wait for another pause', async () => {
  const { gate, clock } = gateAt(4)
  for (let count = 0; count < 3; count += 1) await expect(gate.pass(down)).rejects.toThrow('stands still')
  clock.time += DOWN_PAUSE_MS
  await expect(gate.pass(down)).rejects.toThrow('stands still')
  await expect(gate.pass(async () => 'asked')).rejects.toThrow('a moment ago')
})

test.each([
  ['an answer that is no verdict', new ScannerError('failed', 'says ERROR')],
  ['a body that cannot be read', new Error('says the disk')],
])('%s says nothing of the others', async (_what, error) => {
  const { gate } = gateAt(1)
  for (let count = 0; count < 5; count += 1) {
    await expect(gate.pass(async () => Promise.reject(error))).rejects.toBe(error)
  }
  expect(await gate.pass(async () => 'asked')).toBe('asked')
})
