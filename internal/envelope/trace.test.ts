import { expect, test } from 'vitest'
import { traceIdOf } from './trace.ts'

test('the trace id is the second field (W3C Trace Context 3.2.2)', () => {
  expect(traceIdOf('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
})

test.each([
  ['', 'empty'],
  ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', 'upper-case hex'],
  ['01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'another version'],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n', 'a line after it'],
])('%j is refused (%s)', (given, _why) => {
  expect(() => traceIdOf(given)).toThrow('not a traceparent')
})
