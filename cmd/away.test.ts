import { expect, test } from 'vitest'
import { isAway } from './away.ts'

const coded = (code: string): Error => Object.assign(new Error('from the driver'), { code })

test.each([
  [coded('ECONNREFUSED'), true, 'nobody listens yet'],
  [Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), true, 'nor on any address of the name'],
  [coded('ENOTFOUND'), true, 'the name servers may start later'],
  [coded('57P03'), true, 'cannot_connect_now: it starts'],
  [coded('53300'), true, 'too_many_connections'],
  [new Error('timeout exceeded when trying to connect'), true, 'frozen'],
  [new Error('Connection terminated unexpectedly'), true, 'killed meanwhile'],
  [coded('28P01'), false, 'invalid_password'],
  [coded('28000'), false, 'no such role, or pg_hba.conf'],
  [coded('3D000'), false, 'no such database'],
  [coded('42501'), false, 'no right to bring the schema up to date'],
  [coded('ERR_TLS_CERT_ALTNAME_INVALID'), false, 'another server than was meant'],
  [new Error('The server does not support SSL connections'), false, 'sslmode'],
  [new TypeError('x is not a function'), false, 'a bug'],
])('%o: waiting may mend it: %j (%s)', (cause, away, _why) => {
  expect(isAway(cause)).toBe(away)
  expect(isAway(new Error('cannot open the store', { cause: new Error('wrapped', { cause }) }))).toBe(away)
})
