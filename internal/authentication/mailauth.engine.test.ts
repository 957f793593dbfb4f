// The checks on a real DNS: signatures of RFC 6376 and RFC 8463, servers in trouble, and the suite of ARC where it is.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDnsRoad, type Fate } from '../../test/engines/dns-road.ts'
import { nsdUnavailable, startNsd, startSilentDns, txtData, type DnsRecord, type Nsd } from '../../test/engines/nsd.ts'
import { crlf, errors, found } from './testing/desk.ts'

const reason = nsdUnavailable()
const SUITES = join(process.env['CORPORA'] ?? '../shared/corpora', 'auth')

/** RFC 8463 A.2 and A.3. */
const FOOTBALL: DnsRecord[] = [
  [
    'brisbane._domainkey.football.example.com',
    'TXT',
    txtData('v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='),
  ],
  [
    'test._domainkey.football.example.com',
    'TXT',
    txtData(
      'v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB',
    ),
  ],
]
const SIGNED = crlf(`DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`)

const DINNER = crlf(`DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`)

const RECORDS: DnsRecord[] = [
  ...FOOTBALL,
  [
    'brisbane._domainkey.example.com',
    'TXT',
    txtData(
      'v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB',
    ),
  ],
  ['_dmarc.football.example.com', 'TXT', txtData('v=DMARC1; p=reject')],
  ['strict.example', 'TXT', txtData('v=spf1 ip4:192.0.2.1 -all')],
  ['broken-spf.example', 'TXT', txtData('v=spf1 include:x.broken.example -all')],
  ['null.example', 'MX', '0 .'],
  ['some.example', 'MX', '10 mx.relay.example.'],
  ['mixed.example', 'MX', '0 .'],
  ['mixed.example', 'MX', '10 mx.relay.example.'],
  ['v4.example', 'A', '192.0.2.7'],
  ['v6.example', 'AAAA', '2001:db8::7'],
  ['alias.example', 'CNAME', 'null.example.'],
  ['xn--bcher-kva.example', 'MX', '0 .'],
  ['text.example', 'TXT', '"no mail"'],
  ['1.2.0.192.in-addr.arpa', 'PTR', 'mx.relay.example.'],
  ['mx.relay.example', 'A', '192.0.2.1'],
]

let dns: Nsd
describe.skipIf(reason !== undefined)(`authentication ${reason ?? ''}`, () => {
  beforeAll(async () => {
    dns = await startNsd({ records: RECORDS, broken: ['broken.example'] })
  })
  afterAll(async () => {
    await dns?.stop()
    expect(errors).toEqual([])
  })

  test('RFC 8463 A.3: both signatures pass, and DMARC with them; the header says so', async () => {
    const { results, header } = await found(dns.server, { text: SIGNED })
    expect(results.dkim.map(({ result, selector }) => `${selector} ${result}`)).toEqual(['brisbane pass', 'test pass'])
    expect(results.dmarc).toEqual({ result: 'pass', domain: 'football.example.com', policy: 'reject' })
    expect(results.iprev).toEqual({ result: 'pass', name: 'mx.relay.example' })
    expect(header).toMatch(/^Authentication-Results: mx\.example;\r\n\tdkim=pass .*header\.d=football\.example\.com/)
    expect(header).toContain('iprev=pass policy.iprev=mx.relay.example')
    for (const line of header.split('\r\n').slice(1, -1)) expect(line).toMatch(/^[ \t]\S/)
  })

  test.each([
    ['Hi.', 'Ho.', 'fail', '6376 6.1.3: another body'],
    ['Subject: Is', 'Subject: Was', 'fail', '6376 3.7: another header'],
    ['hungry yet?\r\n\r\nJoe.\r\n', 'hungry   yet?\r\n\r\nJoe.  \r\n\r\n\r\n', 'pass', '6376 3.4.4: relaxed'],
  ])('%j for %j: %s (%s)', async (given, other, want, _why) => {
    const { results } = await found(dns.server, { text: SIGNED.replace(given, other) })
    expect(results.dkim.map(({ result }) => result)).toEqual([want, want])
  })

  test('RFC 6376 A.2 and C: the signature passes, and not on another body', async () => {
    const results = await Promise.all(
      [DINNER, DINNER.replace('hungry', 'thirsty')].map((text) => found(dns.server, { text })),
    )
    expect(results.flatMap((each) => each.results.dkim.map(({ result }) => result))).toEqual(['pass', 'fail'])
  })

  test.each([
    ['a@some.example', 'reachable', 'an MX'],
    ['a@v4.example', 'reachable', '5321 5.1: no MX, an address'],
    ['a@v6.example', 'reachable', '5321 5.1: no MX, an IPv6 address'],
    ['a@null.example', 'null_mx', '7505 3'],
    ['a@NULL.example', 'null_mx', '7505 3: in any case'],
    ['a@alias.example', 'null_mx', '7505 3: by an alias'],
    ['a@b\u00fccher.example', 'null_mx', '7505 3: a name beyond ASCII'],
    ['a@mixed.example', 'reachable', '7505 3: a null MX stands alone'],
    ['a@text.example', 'unknown', 'there, with neither MX nor address'],
    ['a@nobody.example', 'unknown', 'NXDOMAIN'],
    ['a@x.broken.example', 'temperror', 'SERVFAIL'],
    ['', undefined, 'the null sender'],
    ['a@[192.0.2.1]', undefined, 'an address literal'],
  ])('the domain of %j is %s (%s)', async (mailFrom, want, _why) => {
    const { results } = await found(dns.server, { mailFrom })
    expect(results.senderDomain?.result).toBe(want)
  })

  test('a domain whose MX is told and whose address is not may be there', async () => {
    const road = await startDnsRoad(dns.server, ({ type }) => (type === 'A' ? 'servfail' : 'pass'))
    try {
      const { results } = await found(road.server, { mailFrom: 'a@text.example' })
      expect(results.senderDomain).toEqual({ result: 'temperror', domain: 'text.example' })
    } finally {
      await road.stop()
    }
  })

  test('servers in trouble: SPF over SERVFAIL is temperror, and the mail is not held', async () => {
    const { results } = await found(dns.server, { mailFrom: 'a@broken-spf.example' })
    expect(results.spf).toEqual({ result: 'temperror', identity: 'mailfrom', domain: 'broken-spf.example' })
  })

  test.each<[Fate, string]>([
    ['lose', 'temperror'],
    ['servfail', 'temperror'],
    ['refuse', 'temperror'],
    ['notimp', 'temperror'],
    ['formerr', 'temperror'],
    ['garbage', 'temperror'],
    ['truncate', 'pass'],
  ])('every answer spoilt by %s: %s, in time', async (fate, want) => {
    const road = await startDnsRoad(dns.server, ({ over }) => (over === 'tcp' && fate === 'truncate' ? 'pass' : fate))
    try {
      const began = performance.now()
      const { results } = await found(road.server, { text: SIGNED, mailFrom: 'a@strict.example' }, 1500)
      expect(performance.now() - began).toBeLessThan(3500)
      const { spf, dkim, dmarc, iprev, senderDomain } = results
      expect([spf, ...dkim, dmarc, iprev].map(({ result }) => result)).toEqual(Array(5).fill(want))
      expect(senderDomain?.result).toBe(want === 'pass' ? 'unknown' : want)
    } finally {
      await road.stop()
    }
  })

  test('a DNS that never answers: everything is temperror when the time is up', async () => {
    const silent = await startSilentDns()
    try {
      const began = performance.now()
      const { results } = await found(silent.server, { text: SIGNED, mailFrom: 'a@b.example' }, 300)
      expect(performance.now() - began).toBeLessThan(2500)
      const { spf, dkim, dmarc, iprev, senderDomain } = results
      const told = [spf, ...dkim, dmarc, iprev, senderDomain].map((each) => each?.result)
      expect(told).toEqual(Array(6).fill('temperror'))
    } finally {
      await silent.stop()
    }
  })

  test('what a stranger writes stays in its line of the header', async () => {
    const { header } = await found(dns.server, { helo: 'x\r\nX-Evil: y', mailFrom: 'a"\r\nb@c.example' })
    expect(header).not.toMatch(/\r\n[^\t\r]|\r\nX-Evil/)
    expect(header.endsWith('\r\n')).toBe(true)
  })

  const arcFile = join(SUITES, 'arc', 'arc-draft-validation-tests.json')
  describe.skipIf(!existsSync(arcFile))(`the ARC suite (${existsSync(arcFile) ? '' : `no ${arcFile}`})`, () => {
    test('every chain validates as it should (RFC 8617 5.2)', async () => {
      const wrong: string[] = []
      for (const scenario of arcScenarios(arcFile)) {
        const server = await startNsd({ records: scenario.records })
        for (const [name, { message, cv }] of scenario.tests) {
          const { results } = await found(server.server, { text: crlf(message) })
          const want = ARC_OTHERWISE[name] ?? (cv.toLowerCase() || 'none')
          if (results.arc.result !== want) wrong.push(`${name}: ${results.arc.result}, not ${want}`)
        }
        await server.stop()
      }
      expect(wrong).toEqual([])
    })
  })
})

/** Where the suite, made for a draft, differs from what became the RFC. */
const ARC_OTHERWISE: Record<string, string> = {
  // RFC 8617 5.2 step 2: the newest seal says that the chain has failed. The suite expects no result at all.
  cv_fail_i1_as_cv_fail: 'fail',
  cv_fail_i2_as2_fail: 'fail',
  cv_fail_i2_as1_fail: 'fail',
  // RFC 6376 3.5: without c= it is simple/simple, and h= is never empty.
  ams_fields_c_na: 'fail',
  ams_fields_h_empty: 'fail',
}

interface ArcScenario {
  records: DnsRecord[]
  tests: [name: string, test: { message: string; cv: string }][]
}

function arcScenarios(file: string): ArcScenario[] {
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as unknown
  const all = (Array.isArray(parsed) ? parsed : [parsed]) as {
    tests: Record<string, { message: string; cv: string }>
    'txt-records': Record<string, string>
  }[]
  return all.map((scenario) => ({
    records: Object.entries(scenario['txt-records']).map(([name, text]) => [name, 'TXT', txtData(text)] as const),
    tests: Object.entries(scenario.tests),
  }))
}
