import { describe, expect, test } from 'vitest'
import { clientName, reverseName } from './client-name.ts'

test.each([
  ['192.0.2.1', '1.2.0.192.in-addr.arpa', '1035 3.5'],
  ['2001:db8::567:89ab', 'b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa', '3596 2.5'],
  ['::1', '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa', 'zeros in front'],
])('the name of %s is %s (%s)', (address, want, _why) => expect(reverseName(address)).toBe(want))

describe('a name counts only if it leads back (RFC 8601 3)', () => {
  const passing = Object.assign(new Error('x'), { code: 'ESERVFAIL' })
  const nothing = Object.assign(new Error('x'), { code: 'ENOTFOUND' })
  const PTR = 'PTR 1.2.0.192.in-addr.arpa'
  test.each([
    [{ [PTR]: ['MX.example'], 'A MX.example': ['192.0.2.1'] }, { result: 'pass', name: 'mx.example' }, 'it does'],
    [{ [PTR]: ['mx.example'], 'A mx.example': ['192.0.2.9'] }, { result: 'fail' }, 'it leads elsewhere'],
    [
      { [PTR]: ['a.example', 'b.example'], 'A b.example': ['192.0.2.1'] },
      { result: 'pass', name: 'b.example' },
      'the second does',
    ],
    [{}, { result: 'permerror' }, 'no name'],
    [{ [PTR]: passing }, { result: 'temperror' }, 'the DNS did not tell'],
    [
      { [PTR]: ['mx.example'], 'A mx.example': passing },
      { result: 'temperror' },
      'the DNS did not tell where it leads',
    ],
  ])('%j: %j (%s)', async (rows: Record<string, string[] | Error>, want, _why) => {
    const lookup = async (name: string, type: string): Promise<string[]> => {
      const found = rows[`${type} ${name}`] ?? nothing
      if (found instanceof Error) throw found
      return found
    }
    expect(await clientName('192.0.2.1', lookup)).toEqual(want)
  })
})
