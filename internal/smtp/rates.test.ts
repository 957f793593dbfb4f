import { describe, expect, test } from 'vitest'
import { Rates } from './rates.ts'

/** How many of `tries` at one time are let through. */
const taken = (rates: Rates, key: string, tries: number, nowMs: number): number =>
  Array.from({ length: tries }, () => rates.take(key, nowMs)).filter(Boolean).length

describe('a minute of ten', () => {
  test('may be spent at once, and no more', () => {
    expect(taken(new Rates(10), 'a', 100, 0)).toBe(10)
  })

  test.each([
    [5999, 0, 'a tenth of a minute is not over'],
    [6000, 1, 'one came back'],
    [30_000, 5, 'half of them'],
    [60_000, 10, 'all'],
    [3_600_000, 10, 'a full bucket does not grow'],
  ])('%i ms later there are %i (%s)', (laterMs, want, _why) => {
    const rates = new Rates(10)
    taken(rates, 'a', 10, 0)
    expect(taken(rates, 'a', 100, laterMs)).toBe(want)
  })

  test('a try that failed costs nothing', () => {
    const rates = new Rates(10)
    taken(rates, 'a', 1000, 0)
    expect(taken(rates, 'a', 1, 6000)).toBe(1)
  })

  test('each key has its own', () => {
    const rates = new Rates(10)
    taken(rates, 'a', 10, 0)
    expect(taken(rates, 'b', 100, 0)).toBe(10)
  })
})

test.each([1, 3, 7, 300, 20_000])('%i a minute are exactly so many, rounding or not', (perMinute) => {
  expect(taken(new Rates(perMinute), 'a', perMinute + 5, 123_456.789)).toBe(perMinute)
})

test('what is known afterwards is paid for afterwards', () => {
  const rates = new Rates(1000)
  expect(rates.has('a', 0)).toBe(true)
  rates.charge('a', 3000, 0)
  expect([rates.has('a', 120_000), rates.has('a', 120_061)]).toEqual([false, true])
})

test('0 is no limit, and nothing is remembered', () => {
  const rates = new Rates(0)
  expect(taken(rates, 'a', 1000, 0)).toBe(1000)
  expect([rates.has('a', 0), rates.size]).toEqual([true, 0])
})

describe('with more keys than are kept', () => {
  test('their number stays', () => {
    const rates = new Rates(10, 100)
    for (let index = 0; index < 10_000; index += 1) rates.take(`flood ${index}`, index)
    expect(rates.size).toBe(100)
  })

  test('who spends most is not forgotten', () => {
    const rates = new Rates(10, 100)
    const abusers = Array.from({ length: 50 }, (_unused, index) => `abuser ${index}`)
    for (const abuser of abusers) taken(rates, abuser, 10, 0)
    for (let index = 0; index < 10_000; index += 1) rates.take(`flood ${index}`, 1)
    expect(abusers.filter((abuser) => rates.has(abuser, 2))).toEqual([])
  })

  test('who begins to spend during a flood is seen', () => {
    const rates = new Rates(10, 100)
    const through = Array.from({ length: 10_000 }, (_unused, index) => {
      rates.take(`flood ${index}`, index)
      return rates.take('abuser', index)
    }).filter(Boolean).length
    // Ten at once, and ten a minute for the ten seconds of the flood.
    expect(through).toBe(11)
  })
})
