import { describe, expect, test } from 'vitest'
import { NO_POLICY, type Authentication, type Listing, type SenderPolicy } from '../envelope/envelope.ts'
import { decide, judge } from './policy.ts'

const GOOD: Authentication = {
  spf: { result: 'pass', identity: 'mailfrom', domain: 'a.example' },
  dkim: [{ result: 'pass', domain: 'a.example', selector: 's' }],
  arc: { result: 'none' },
  dmarc: { result: 'pass', domain: 'a.example', policy: 'reject' },
  iprev: { result: 'pass', name: 'mx.a.example' },
}
type Results = {
  sender?: NonNullable<Authentication['senderDomain']>['result']
  spf?: Authentication['spf']['result']
  dkim?: Authentication['dkim'][number]['result'][]
} & {
  dmarc?: `${Authentication['dmarc']['result']} ${'none' | 'quarantine' | 'reject'}`
}
function found({ sender = 'reachable', spf = 'pass', dkim = ['pass'], dmarc = 'pass none' }: Results): Authentication {
  const [result, policy] = dmarc.split(' ') as ['pass', 'none']
  return {
    ...GOOD,
    spf: { ...GOOD.spf, result: spf },
    dkim: dkim.map((each) => ({ result: each, domain: 'a.example', selector: 's' })),
    dmarc: { result, domain: 'a.example', policy },
    senderDomain: { result: sender, domain: 'a.example' },
  }
}

const ALL: SenderPolicy = {
  unreachable: 'reject',
  spf_fail: 'tag',
  dmarc_reject: 'reject',
  unauthenticated: 'quarantine',
}

describe('the strictest rule that applies', () => {
  test.each([
    [{}, undefined, 'all passes'],
    [{ sender: 'null_mx' }, 'unreachable reject', '7505 4.2'],
    [
      { sender: 'unknown', spf: 'none', dkim: ['none'], dmarc: 'fail reject' },
      'unreachable reject',
      'of two rejects the first',
    ],
    [{ sender: 'temperror' }, undefined, 'the DNS is not the sender’s fault'],
    [{ spf: 'fail' }, 'spf_fail tag', '7208 8.4'],
    [{ spf: 'softfail' }, undefined, '7208 8.5: not to be rejected for it'],
    [{ spf: 'permerror' }, undefined, 'a broken record is no fail'],
    [{ spf: 'temperror' }, undefined, '7208 8.6: the DNS is not the sender’s fault'],
    [{ dmarc: 'fail reject' }, 'dmarc_reject reject', '9989 5.4'],
    [{ dmarc: 'fail quarantine' }, undefined, 'another wish than to reject'],
    [{ dmarc: 'fail none' }, undefined, 'only watched'],
    [{ dmarc: 'pass reject' }, undefined, 'a strict domain’s own mail'],
    [{ dmarc: 'temperror reject' }, undefined, 'unknown'],
    [{ dmarc: 'fail reject', spf: 'temperror' }, undefined, 'SPF may have passed'],
    [{ dmarc: 'fail reject', dkim: ['fail', 'temperror'] }, undefined, 'a signature may have passed'],
    [{ spf: 'none', dkim: ['none'] }, 'unauthenticated quarantine', 'nobody vouches for it'],
    [{ spf: 'none', dkim: ['fail', 'pass'] }, undefined, 'one signature is enough'],
    [{ spf: 'softfail', dkim: ['permerror'] }, 'unauthenticated quarantine', 'nothing passed'],
    [{ spf: 'none', dkim: ['temperror'] }, undefined, 'the key did not come'],
    [{ spf: 'fail', dkim: ['none'], dmarc: 'fail reject' }, 'dmarc_reject reject', 'the strictest of three'],
  ] as const)('%j: %s (%s)', (results, want, _why) => {
    const decision = decide(ALL, found(results as Results))
    expect(decision && `${decision.rule} ${decision.action}`).toBe(want)
  })

  test('a tenant without a policy has nothing to say', () => {
    expect(decide(NO_POLICY, found({ spf: 'fail', dkim: ['none'], dmarc: 'fail reject' }))).toBeUndefined()
  })
})

describe('one reply for all tenants', () => {
  const policies: Record<string, SenderPolicy> = {
    strict: { ...NO_POLICY, spf_fail: 'reject' },
    other: { ...NO_POLICY, spf_fail: 'reject' },
    wary: { ...NO_POLICY, spf_fail: 'tag' },
    open: NO_POLICY,
  }
  const directory = {
    policy: (tenant: string) => policies[tenant] ?? NO_POLICY,
    listing: (tenant: string, { domain }: { domain: string }): Listing | undefined =>
      tenant === 'other' && domain === 'friend.example' ? 'allow' : undefined,
  }
  test.each([
    ['null_mx', 'sender_null_mx', '7505 4.2'],
    ['unknown', 'sender_unknown', '3463 3.2: X.1.8'],
  ] as const)('a sender whose domain is %s: %s (%s)', (sender, want, _why) => {
    const refusing = { ...directory, policy: () => ALL }
    const outcome = judge(refusing, { mailFrom: 'a@b.example', tenants: ['strict'] }, found({ sender }))
    expect(outcome).toEqual({ refused: want })
  })

  const judged = (mailFrom: string, ...tenants: string[]) => {
    const outcome = judge(directory, { mailFrom, tenants }, found({ spf: 'fail' }))
    return 'refused' in outcome ? outcome.refused : Object.fromEntries(outcome.verdicts)
  }
  const quarantine = { rule: 'spf_fail', action: 'quarantine' }

  test.each([
    ['a@b.example', ['strict'], 'spf_fail', 'the only one refuses'],
    ['a@b.example', ['strict', 'other'], 'spf_fail', 'all refuse'],
    ['a@b.example', ['strict', 'open'], { strict: quarantine }, 'one takes it, so 5xx would be untrue for it'],
    [
      'a@b.example',
      ['strict', 'wary'],
      { strict: quarantine, wary: { rule: 'spf_fail', action: 'tag' } },
      'each its own',
    ],
    ['a@friend.example', ['other'], {}, 'allowed by name'],
    ['a@friend.example', ['strict', 'other'], { strict: quarantine }, 'allowed by one'],
    ['', ['strict'], 'spf_fail', 'the null sender is on no list'],
  ])('from %j to %j: %j (%s)', (mailFrom, tenants, want, _why) => {
    expect(judged(mailFrom, ...tenants)).toEqual(want)
  })
})
