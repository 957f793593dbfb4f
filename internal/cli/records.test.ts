import { describe, expect, test } from 'vitest'
import { recordLine, recordsFor } from './records.ts'

const facts = { domain: 'mail.example.org', hostname: 'mx.example.org', addresses: ['192.0.2.7'], tls: true }
const lines = (change: Partial<typeof facts> = {}) => recordsFor({ ...facts, ...change }).map(recordLine)

describe('the records of a domain', () => {
  test('are the host, its reverse, who takes the mail, and what makes relays trust it', () => {
    expect(lines()).toEqual([
      'mx.example.org. 3600 IN A 192.0.2.7',
      '7.2.0.192.in-addr.arpa. 3600 IN PTR mx.example.org.',
      'mail.example.org. 3600 IN MX 10 mx.example.org.',
      'mx.example.org. 3600 IN TXT "v=spf1 a -all"',
      '_smtp._tls.mail.example.org. 3600 IN TXT "v=TLSRPTv1; rua=mailto:postmaster@mail.example.org"',
    ])
  })

  test('ask for no reports of TLS where there is none', () => {
    expect(lines({ tls: false }).filter((line) => line.includes('_tls'))).toEqual([])
  })

  test.each([
    ['2001:db8::25', '5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.', 'RFC 3596 2.5'],
    ['2001:DB8:1:2:3:4:5:6', '6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.', 'in full'],
  ])('%s is found again at %s (%s)', (address, name, _why) => {
    const [forward, reverse] = recordsFor({ ...facts, addresses: [address] })
    expect([forward?.type, forward?.value, reverse?.name]).toEqual(['AAAA', address, name])
  })
})
