// DMARC (RFC 9989) on a real DNS: where a policy is found, what it asks for, and which domains are one organisation.

import { generateKeyPairSync } from 'node:crypto'
import { dkimSign } from 'mailauth'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDnsRoad, type Road } from '../../test/engines/dns-road.ts'
import { nsdUnavailable, startNsd, txtData, type DnsRecord, type Nsd } from '../../test/engines/nsd.ts'
import { errors, found, lookupsOf } from './testing/desk.ts'

const reason = nsdUnavailable()

const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 1024,
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

/** Who signs; each has the same key. */
const SIGNERS = [
  'signer.example', 'strict.example', 'sub.strict.example', 'relaxed.example', 'mail.relaxed.example', 'a.shared.example',
  'b.shared.example', 'one.psd.example', 'two.psd.example', 'corp.example', 'dept.corp.example', 'x.dept.corp.example',
  'xn--bcher-kva.example', 'tld',
] // prettier-ignore
const POLICIES: Record<string, string | string[]> = {
  'strict.example': 'v=DMARC1; p=reject; adkim=s; aspf=s',
  'relaxed.example': 'v=DMARC1; p=quarantine; sp=reject; np=none',
  'plain.example': 'v=DMARC1; p=quarantine',
  'sponly.example': 'v=DMARC1; p=none; sp=quarantine',
  'testing.example': 'v=DMARC1; p=reject; t=y',
  'trying.example': 'v=DMARC1; p=quarantine; t=y',
  'percent.example': 'v=DMARC1; p=reject; pct=0',
  'watched.example': 'v=DMARC1; p=none',
  'compact.example': 'v=DMARC1;p=reject;',
  'blanks.example': 'v = DMARC1 ; p = reject ; ',
  'reports.example': 'v=DMARC1; rua=mailto:d@reports.example',
  'typo.example': 'v=DMARC1; p=rejct; rua=mailto:d@typo.example',
  'empty.example': 'v=DMARC1; p=rejct',
  'small.example': 'v=dmarc1; p=reject',
  'behind.example': 'p=reject; v=DMARC1',
  'unknown.example': 'v=DMARC1; p=reject; future=1; fo=1:d:s',
  'company.example': ['hello', 'v=spf1 -all', 'v=DMARC1; p=reject'],
  'twice.example': ['v=DMARC1; p=reject', 'v=DMARC1; p=none'],
  'again.plain.example': ['v=DMARC1; p=none', 'v=DMARC1; p=none; fo=1'],
  'shared.example': 'v=DMARC1; p=reject',
  'psd.example': 'v=DMARC1; p=none; sp=quarantine; np=reject; psd=y',
  'corp.example': 'v=DMARC1; p=none',
  'dept.corp.example': 'v=DMARC1; p=reject; psd=n',
  'xn--bcher-kva.example': 'v=DMARC1; p=reject',
  'lost-sub.example': 'v=DMARC1; p=reject',
}
const record = (domain: string, text: string): DnsRecord => [`_dmarc.${domain}`, 'TXT', txtData(text)]
const RECORDS: DnsRecord[] = [
  ...SIGNERS.map((domain): DnsRecord => [
    `s._domainkey.${domain}`,
    'TXT',
    txtData(`p=${publicKey.toString('base64')}`),
  ]),
  ...Object.entries(POLICIES).flatMap(([domain, texts]) => [texts].flat().map((text) => record(domain, text))),
  ...['there.relaxed', 'there.plain', 'there.sponly', 'one.psd'].map((name): DnsRecord => [
    `${name}.example`,
    'A',
    '192.0.2.7',
  ]),
  ...['strict', 'bounce.strict', 'bounce.relaxed'].map((name): DnsRecord => [
    `${name}.example`,
    'TXT',
    txtData('v=spf1 ip4:192.0.2.1 -all'),
  ]),
  ['_dmarc.hosted.example', 'CNAME', '_dmarc.strict.example.'],
]

let dns: Nsd
let road: Road
describe.skipIf(reason !== undefined)(`DMARC ${reason ?? ''}`, () => {
  beforeAll(async () => {
    dns = await startNsd({ records: RECORDS, broken: ['broken.example'] })
    road = await startDnsRoad(dns.server, ({ name }) =>
      /^_dmarc\.(?:x\.lost-sub|lost-sub)\./.test(name) ? 'lose' : 'pass',
    )
  })
  afterAll(async () => {
    await road?.stop()
    await dns?.stop()
    expect(errors).toEqual([])
  })

  /** A mail from the author, signed by the domain where there is one. */
  const mail = async (from: string, domain: string): Promise<string> => {
    const text = `From: ${from}\r\nSubject: x\r\n\r\nbody\r\n`
    const signatureData = [{ signingDomain: domain, selector: 's', privateKey, algorithm: 'rsa-sha256' }]
    return domain === '' ? text : (await dkimSign(text, { signatureData } as never)).signatures + text
  }
  const dmarcOf = async (from: string, domain: string, mailFrom = ''): Promise<string> => {
    const { results } = await found(lookupsOf(road.server, 300), { text: await mail(from, domain), mailFrom })
    return `${results.dmarc.result} ${results.dmarc.policy}`
  }

  test.each([
    ['a@strict.example', 'strict.example', '', 'pass reject', '4.4.1: strict, the same domain'],
    ['a@STRICT.Example', 'strict.example', '', 'pass reject', '4.4.1: in any case'],
    ['a@strict.example', 'sub.strict.example', '', 'fail reject', '4.4.1: strict, another'],
    ['a@strict.example', '', 'x@strict.example', 'pass reject', '4.4.2: by SPF'],
    ['a@strict.example', '', 'x@bounce.strict.example', 'fail reject', '4.4.2: strict SPF of another'],
    ['a@relaxed.example', 'mail.relaxed.example', '', 'pass quarantine', '4.4.1: relaxed, one organisation'],
    ['a@there.relaxed.example', 'relaxed.example', '', 'pass reject', '4.4.1: relaxed, the other way round'],
    ['a@relaxed.example', '', 'x@bounce.relaxed.example', 'pass quarantine', '4.4.2: relaxed SPF'],
    ['a@relaxed.example', 'signer.example', '', 'fail quarantine', 'another organisation'],
    ['a@a.shared.example', 'b.shared.example', '', 'pass reject', '4.10.2: the record with the fewest labels'],
    ['a@one.psd.example', 'one.psd.example', '', 'pass quarantine', '4.10.2: psd=y, the same below it'],
    ['a@one.psd.example', 'two.psd.example', '', 'fail quarantine', '4.10.2: psd=y, two organisations'],
    ['a@x.dept.corp.example', 'dept.corp.example', '', 'pass reject', '4.10.2: psd=n, one organisation'],
    ['a@x.dept.corp.example', 'corp.example', '', 'fail reject', '4.10.2: psd=n is an organisation of its own'],
    ['a@strict.example', 'tld', '', 'fail reject', 'a top-level domain signs for nobody'],
  ])('from %j, signed by %j, sent by %j: %s (%s)', async (from, domain, mailFrom, want, _why) => {
    expect(await dmarcOf(from, domain, mailFrom)).toBe(want)
  })

  test.each([
    ['a@there.relaxed.example', 'fail reject', '4.7: sp for a subdomain that is there'],
    ['a@nowhere.relaxed.example', 'fail none', '4.7: np for one that is not'],
    ['a@there.plain.example', 'fail quarantine', '4.7: without sp, p'],
    ['a@nowhere.plain.example', 'fail quarantine', '4.7: without np, p'],
    ['a@nowhere.sponly.example', 'fail quarantine', '4.7: without np, sp'],
    ['a@sponly.example', 'fail none', '4.7: sp is not for the domain itself'],
    ['a@one.psd.example', 'fail quarantine', '4.10.1: of a public suffix, sp'],
    ['a@nowhere.psd.example', 'fail reject', '4.10.1: of a public suffix, np'],
    ['a@1.2.3.4.5.6.7.8.9.10.11.plain.example', 'fail quarantine', '4.10: from far below'],
    ['a@testing.example', 'fail quarantine', '4.7: t=y takes one step back'],
    ['a@trying.example', 'fail none', '4.7: t=y takes one step back'],
    ['a@percent.example', 'fail reject', 'A.6: pct= is no more'],
    ['a@watched.example', 'fail none', '4.7: p=none'],
    ['a@compact.example', 'fail reject', '4.8: no blanks'],
    ['a@blanks.example', 'fail reject', '4.8: many blanks'],
    ['a@unknown.example', 'fail reject', '4.7: unknown tags are passed over'],
    ['a@company.example', 'fail reject', '4.10: other texts beside it'],
    ['a@hosted.example', 'fail reject', 'an alias'],
    ['a@reports.example', 'fail none', '4.10.1: no p, and reports are asked for'],
    ['a@typo.example', 'fail none', '4.10.1: p is none of them, and reports are asked for'],
    ['a@empty.example', 'none undefined', '4.10.1: p is none of them'],
    ['a@small.example', 'none undefined', '4.8: DMARC1 in capitals'],
    ['a@behind.example', 'none undefined', '4.7: v= comes first'],
    ['a@twice.example', 'none undefined', '4.10: two records are none'],
    ['a@again.plain.example', 'fail quarantine', '4.10: two records are none, the next above counts'],
    ['a@nothing.example', 'none undefined', 'no record'],
    ['a@b\u00c3\u00bccher.example', 'fail reject', 'a name beyond ASCII'],
    ['a@x.broken.example', 'temperror undefined', '4.10.1: SERVFAIL'],
    ['a@lost-sub.example', 'temperror undefined', '4.10.1: no answer'],
    ['a@x.lost-sub.example', 'temperror undefined', '4.10.1: no answer for the one above either'],
    ['undisclosed', 'none undefined', '5.3.1: no author'],
    ['a@[192.0.2.1]', 'none undefined', '5.3.1: an author without a domain name'],
    ['Ann <a@watched.example>, b@strict.example', 'fail reject', '5.3.1: several authors, the worst counts'],
    ['a@watched.example\r\nFrom: b@strict.example', 'fail reject', '5.3.1: two From fields, the worst counts'],
    ['"x@watched.example" <b@strict.example>', 'fail reject', '5.3.1: a name is no author'],
    ['group: b@strict.example;', 'fail reject', '5.3.1: a group'],
  ])('from %j: %s (RFC 9989 %s)', async (from, want, _why) => {
    expect(await dmarcOf(from, '')).toBe(want)
  })

  test('from far below no more than eight domains are asked about (RFC 9989 4.10)', async () => {
    const before = road.asked.length
    await dmarcOf('a@1.2.3.4.5.6.7.8.9.10.11.watched.example', '')
    const walked = road.asked.slice(before).filter(({ name }) => name.startsWith('_dmarc.'))
    expect(walked.map(({ name }) => name.split('.').length - 1)).toEqual([13, 7, 6, 5, 4, 3, 2, 1])
  })
})
