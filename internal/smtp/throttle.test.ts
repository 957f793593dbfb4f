import { BlockList } from 'node:net'
import { describe, expect, test } from 'vitest'
import { LIMITS } from './testing/bed.ts'
import { networkOf, Throttle, type Doing, type Receivers, type ThrottleLimits } from './throttle.ts'

const throttle = (limits: Partial<ThrottleLimits>): Throttle => new Throttle({ ...LIMITS, ...limits })
const refusals = (on: Throttle, addresses: string[], nowMs = 0) =>
  addresses.map((address) => on.enter(address, nowMs).refusal)

test.each([
  ['192.0.2.17', '192.0.2.0/24', 'IPv4'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64', 'every group written'],
  ['2001:DB8::1', '2001:db8:0:0::/64', 'the gap is in the network'],
  ['2001:0db8:0001:0002::', '2001:db8:1:2::/64', 'leading zeros, a gap at the end'],
  ['::1', '0:0:0:0::/64', 'loopback'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64', 'RFC 4007 11: a zone'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64', 'RFC 4291 2.2: an IPv4 address at the end'],
])('the network of %s is %s (%s)', (address, want, _why) => {
  expect(networkOf(address)).toBe(want)
})

describe('sessions at one time', () => {
  test('of one address', () => {
    const two = throttle({ addressSessionsMax: 2 })
    expect(refusals(two, ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2'])).toEqual([
      undefined,
      undefined,
      'too_many_sessions_of_address',
      undefined,
    ])
  })

  test.each([
    ['192.0.2.1', '192.0.2.200', '192.0.3.1', '/24'],
    ['2001:db8::1', '2001:db8::ffff:1', '2001:db8:0:1::1', '/64'],
  ])('of one network: %s and %s, not %s (%s)', (one, same, other) => {
    expect(refusals(throttle({ networkSessionsMax: 1 }), [one, same, other])).toEqual([
      undefined,
      'too_many_sessions_of_network',
      undefined,
    ])
  })

  test('that ended make room, refused ones too', () => {
    const one = throttle({ addressSessionsMax: 1, networkSessionsMax: 1 })
    const visits = [one.enter('192.0.2.1', 0), one.enter('192.0.2.1', 0)]
    for (const visit of visits) visit.end()
    expect(refusals(one, ['192.0.2.1'])).toEqual([undefined])
  })
})

describe('a minute', () => {
  test.each<[keyof ThrottleLimits, Doing, string]>([
    ['sessionRate', 'session', 'too_many_new_sessions'],
    ['commandRate', 'command', 'too_many_commands'],
    ['errorRate', 'error', 'too_many_errors_a_minute'],
    ['messageRate', 'message', 'too_many_messages'],
    ['recipientRate', 'recipient', 'too_many_recipients_a_minute'],
  ])('%s', (limit, doing, refusal) => {
    const two = throttle({ [limit]: 2 })
    const notes = [0, 0, 0, 30_000].map((nowMs) => two.note(doing, '192.0.2.1', nowMs))
    expect(notes).toEqual([undefined, undefined, refusal, undefined])
    expect(two.note(doing, '192.0.2.2', 0)).toBeUndefined()
  })

  test('of octets: the mail that goes over it comes in, the next waits', () => {
    const few = throttle({ byteRate: 1000 })
    few.noteOctets('192.0.2.1', 900, 0)
    expect(few.noteMessage('192.0.2.1', 0)).toBeUndefined()
    few.noteOctets('192.0.2.1', 600, 0)
    expect([0, 29_000, 31_000].map((nowMs) => few.noteMessage('192.0.2.1', nowMs))).toEqual([
      'too_many_octets',
      'too_many_octets',
      undefined,
    ])
  })

  test('a whole /64 is one client', () => {
    const one = throttle({ sessionRate: 1 })
    expect(refusals(one, ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1'])).toEqual([
      undefined,
      'too_many_new_sessions',
      undefined,
    ])
  })

  test('after too many errors no session begins, until some are forgiven', () => {
    const one = throttle({ errorRate: 1 })
    one.note('error', '192.0.2.1', 0)
    expect([1, 60_001].map((nowMs) => one.enter('192.0.2.1', nowMs).refusal)).toEqual([
      'too_many_errors_a_minute',
      undefined,
    ])
  })
})

test('no limit of a client holds for trusted ones', () => {
  const trusted = new BlockList()
  trusted.addSubnet('192.0.2.0', 24, 'ipv4')
  trusted.addSubnet('2001:db8::', 32, 'ipv6')
  const none = {
    addressSessionsMax: 1,
    networkSessionsMax: 1,
    sessionRate: 1,
    errorRate: 1,
    messageRate: 1,
    byteRate: 1,
  }
  const on = throttle({ ...none, trusted })
  for (const address of ['192.0.2.1', '2001:db8::1']) {
    on.noteOctets(address, 1000, 0)
    const answers = [0, 0, 0].flatMap(() => [
      on.enter(address, 0).refusal,
      on.note('error', address, 0),
      on.noteMessage(address, 0),
    ])
    expect(answers.filter((answer) => answer !== undefined)).toEqual([])
  }
  expect(refusals(on, ['192.0.3.1', '192.0.3.1'])).toEqual([undefined, 'too_many_sessions_of_address'])
})

describe('receivers', () => {
  const receivers = (): Receivers => ({ tenants: new Set(), domains: new Set() })

  test('a tenant over its messages is refused, others of the transaction are not', () => {
    const on = throttle({ tenantMessageRate: 1 })
    const first = receivers()
    expect(on.join(first, 'acme', 'a.example', 0)).toBeUndefined()
    expect(on.join(first, 'acme', 'a.example', 0)).toBeUndefined()
    const second = receivers()
    expect(on.join(second, 'acme', 'a.example', 0)).toBe('tenant_over_rate')
    expect(on.join(second, 'beta', 'a.example', 0)).toBeUndefined()
    expect(on.join(receivers(), 'acme', 'a.example', 60_000)).toBeUndefined()
  })

  test('a domain over its messages is refused, and its tenant is not charged for it', () => {
    const on = throttle({ domainMessageRate: 1, tenantMessageRate: 2 })
    expect(on.join(receivers(), 'acme', 'a.example', 0)).toBeUndefined()
    expect(on.join(receivers(), 'acme', 'a.example', 0)).toBe('domain_over_rate')
    expect(on.join(receivers(), 'acme', 'b.example', 0)).toBeUndefined()
  })

  test.each<[keyof ThrottleLimits, string]>([
    ['tenantByteRate', 'tenant_over_rate'],
    ['domainByteRate', 'domain_over_rate'],
  ])('%s', (limit, refusal) => {
    const on = throttle({ [limit]: 1000 })
    const first = receivers()
    on.join(first, 'acme', 'a.example', 0)
    on.received(first, 1500, 0)
    expect([0, 29_000, 31_000].map((nowMs) => on.join(receivers(), 'acme', 'a.example', nowMs))).toEqual([
      refusal,
      refusal,
      undefined,
    ])
  })
})
