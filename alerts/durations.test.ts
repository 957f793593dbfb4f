import { describe, expect, test } from 'vitest'
import { divided, expressionOf, longestOf, msOf } from './durations.ts'

test.each([
  ['5m', 60, '5000ms'],
  ['1h', 60, '60000ms'],
  ['3d', 3600, '72000ms'],
  ['30s', 60_000, '1ms'],
  ['5m', 1, '5m'],
])('%s divided by %j is %s', (duration, factor, want) => expect(divided(duration, factor)).toBe(want))

describe('an expression', () => {
  test.each([
    ['rate(x_total{a="b"}[5m])', 60, 'rate(x_total{a="b"}[5000ms])', 'a range'],
    ['rate(x[30m] offset 1w) > 0.02', 60, 'rate(x[30000ms] offset 10080000ms) > 0.02', 'an offset; rates stay'],
    ['time() - x > {15m}', 60, 'time() - x > 15', 'seconds'],
    ['predict_linear(x[1h], {4h}) < 0', 60, 'predict_linear(x[60000ms], 240) < 0', 'both'],
    ['x > {15m} and y{le="60"} > 0.25', 60, 'x > 15 and y{le="60"} > 0.25', 'bounds of buckets and latencies stay'],
    [
      'time() - x > {14d} and rate(x[5m] offset 1w) > 0',
      1,
      'time() - x > 1209600 and rate(x[5m] offset 1w) > 0',
      'true',
    ],
    ['x_5m{a="5m"} == 1', 60, 'x_5m{a="5m"} == 1', 'names and values stay'],
  ])('%s, divided by %j (%s)', (template, factor, want) => expect(expressionOf(template, factor)).toBe(want))
})

test.each([
  ['up == 0', '5m', '5m', 'its for'],
  ['time() - x > {15m}', '5m', '15m', 'an age'],
  ['rate(x[30m]) == 0 and rate(x[30m] offset 1w) > 0.02', '15m', '1w', 'an offset'],
  ['a:ratio_rate3d > 1 and a:ratio_rate6h > 1', '1h', '3d', 'a recorded ratio'],
])('the longest duration of %s for %s is %s (%s)', (expr, held, want) =>
  expect(longestOf({ expr, for: held })).toBe(msOf(want)),
)

test.each(['', '5', 'm', '5x', '1h30m'])('%j is no duration', (text) => expect(() => msOf(text)).toThrow(TypeError))
