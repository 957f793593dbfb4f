// DKIM (RFC 6376, 8301, 8463) and ARC (RFC 8617) on a real DNS: mails that Python's dkimpy signed, and each thing that may be wrong with
// a signature or its key.

import { generateKeyPairSync } from 'node:crypto'
import { dkimSign } from 'mailauth'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDnsRoad, type Road } from '../../test/engines/dns-road.ts'
import { askPython, mailPeersUnavailable } from '../../test/engines/mail-peers.ts'
import { nsdUnavailable, startNsd, txtData, type DnsRecord, type Nsd } from '../../test/engines/nsd.ts'
import { errors, found, lookupsOf } from './testing/desk.ts'

const reason = nsdUnavailable() ?? mailPeersUnavailable()

const rsaPair = (bits: number) =>
  generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
const RSA = rsaPair(1024)
const P = RSA.publicKey.toString('base64')
const SHORT = rsaPair(512)
const ED = generateKeyPairSync('ed25519')
const edOctets = (jwk: { x?: string; d?: string }, part: 'x' | 'd') =>
  Buffer.from(jwk[part] ?? '', 'base64url').toString('base64')
const ED_SEED = edOctets(ED.privateKey.export({ format: 'jwk' }), 'd')
const ED_P = edOctets(ED.publicKey.export({ format: 'jwk' }), 'x')

/** Keys by selector, at signer.example. */
const KEYS: Record<string, string | string[]> = {
  rsa: `v=DKIM1; k=rsa; p=${P}`,
  ed: `v=DKIM1; k=ed25519; p=${ED_P}`,
  bare: `p=${P}`,
  folded: `v=DKIM1; p=${P.slice(0, 60)} ${P.slice(60)}`,
  testing: `v=DKIM1; t=y; p=${P}`,
  exact: `v=DKIM1; t=s; p=${P}`,
  revoked: 'v=DKIM1; p=',
  nothing: 'v=DKIM1; k=rsa',
  later: `k=rsa; v=DKIM1; p=${P}`,
  other: `v=DKIM2; p=${P}`,
  noise: 'v=DKIM1; p=@@@@',
  text: 'hello',
  sha1: `v=DKIM1; h=sha1; p=${P}`,
  both: `v=DKIM1; h=sha1:sha256; p=${P}`,
  service: `v=DKIM1; s=tlsrpt; p=${P}`,
  any: `v=DKIM1; s=other:*; p=${P}`,
  unknown: `v=DKIM1; k=dsa; p=${P}`,
  wrong: `v=DKIM1; k=ed25519; p=${P}`,
  lost: `v=DKIM1; p=${P}`,
  short: `v=DKIM1; p=${SHORT.publicKey.toString('base64')}`,
  twice: ['v=DKIM1; p=', 'v=DKIM1; p='],
}
const RECORDS: DnsRecord[] = [
  ['_dmarc.signer.example', 'TXT', txtData('v=DMARC1; p=reject')],
  ...Object.entries(KEYS).flatMap(([selector, texts]) =>
    [texts].flat().map((text): DnsRecord => [`${selector}._domainkey.signer.example`, 'TXT', txtData(text)]),
  ),
]

const HEADER = 'From: Ann <a@signer.example>\r\nTo: b@c.example\r\nSubject:  Hello\r\n  world \r\n'
/** RFC 6376 3.4.3 to 3.4.5. */
const BODIES: [body: string, why: string][] = [
  ['', 'no body'],
  ['\r\n', 'one empty line'],
  ['\r\n\r\n\r\n', 'empty lines alone'],
  ['x', 'no line end at the end'],
  ['x\r\n', 'one line'],
  ['x\r\n\r\n\r\n', 'empty lines at the end'],
  ['\r\n\r\nx\r\n', 'empty lines at the begin'],
  ['x \t y\t\r\n \t\r\nz\r\n', 'blanks in and after lines'],
  [' \r\n', 'blanks alone'],
  ['.\r\n..\r\n', 'dots'],
  ['caf\u00c3\u00a9 \u00ff\r\n', 'octets beyond ASCII'],
  [`${'x'.repeat(70_000)}\r\n`, 'a long line'],
]
const CANONICAL = ['simple/simple', 'simple/relaxed', 'relaxed/simple', 'relaxed/relaxed']

interface Order {
  kind: 'dkim' | 'arc'
  message: string
  selector: string
  key: string
  algorithm: 'rsa-sha256' | 'ed25519-sha256'
  canonical: string
  /** Whose Authentication-Results a seal goes by. */
  hop?: string
}

/** Signs in Python; the fields to put before the message. Octets travel as latin1. */
const SIGNER = `
import dkim, json, sys
def signed(order):
    message = order['message'].encode('latin1')
    names = dict(selector=order['selector'].encode(), domain=b'signer.example', privkey=order['key'].encode())
    if order['kind'] == 'arc':
        return b''.join(dkim.arc_sign(message, srv_id=order['hop'].encode(), include_headers=[b'from', b'to', b'subject'], **names)).decode('latin1')
    head, body = order['canonical'].encode().split(b'/')
    return dkim.sign(message, signature_algorithm=order['algorithm'].encode(), canonicalize=(head, body), **names).decode('latin1')
json.dump([signed(order) for order in json.load(sys.stdin)], sys.stdout)
`
const signedElsewhere = async (orders: Order[]): Promise<string[]> => (await askPython(SIGNER, orders)) as string[]

let dns: Nsd
let road: Road
describe.skipIf(reason !== undefined)(`signatures ${reason ?? ''}`, () => {
  beforeAll(async () => {
    dns = await startNsd({ records: RECORDS, broken: ['broken.example'] })
    road = await startDnsRoad(dns.server, ({ name }) => (name.startsWith('lost.') ? 'lose' : 'pass'))
  })
  afterAll(async () => {
    await road?.stop()
    await dns?.stop()
    expect(errors).toEqual([])
  })

  const dkimOf = async (text: string) =>
    (await found(lookupsOf(road.server, 300), { text })).results.dkim.map(({ result }) => result)

  test('what dkimpy signed passes, however it was written down, and nothing of it may change', async () => {
    const orders = BODIES.flatMap(([body, why]) =>
      CANONICAL.flatMap((canonical) =>
        (['rsa', 'ed'] as const).map((selector) => ({
          why: `${why}, ${canonical}, ${selector}`,
          kind: 'dkim' as const,
          message: `${HEADER}\r\n${body}`,
          selector,
          key: selector === 'rsa' ? RSA.privateKey : ED_SEED,
          algorithm: selector === 'rsa' ? ('rsa-sha256' as const) : ('ed25519-sha256' as const),
          canonical,
        })),
      ),
    )
    const wrong: string[] = []
    const signatures = await signedElsewhere(orders)
    for (const [at, { why, message }] of orders.entries()) {
      const mail = (signatures[at] ?? '') + message
      const results = [mail, `${mail}more\r\n`, mail.replace('a@signer', 'z@signer')].map(dkimOf)
      const told = (await Promise.all(results)).flat().join(' ')
      if (told !== 'pass fail fail') wrong.push(`${why}: ${told}`)
    }
    expect(orders.length).toBe(96)
    expect(wrong).toEqual([])
  })

  const MAIL = `${HEADER}\r\nbody\r\n`
  /** Signed by mailauth, with tags put in by name. */
  const signed = async (selector: string, more: object = {}, domain = 'signer.example'): Promise<string> => {
    const privateKey = selector === 'short' ? SHORT.privateKey : RSA.privateKey
    const signatureData = [{ signingDomain: domain, selector, privateKey, algorithm: 'rsa-sha256', ...more }]
    const { signatures } = await dkimSign(MAIL, {
      canonicalization: 'relaxed/relaxed',
      signatureData,
      ...more,
    } as never)
    return signatures + MAIL
  }

  test.each([
    ['rsa', 'pass', '3.6.1'],
    ['bare', 'pass', '3.6.1: v= and k= may be left out'],
    ['folded', 'pass', '3.2: blanks within base64'],
    ['testing', 'pass', '3.6.1: t=y is no worse than others'],
    ['both', 'pass', '3.6.1: h= has ours'],
    ['any', 'pass', '3.6.1: s=*'],
    ['exact', 'pass', '3.6.1: t=s, and i= is of the domain'],
    ['revoked', 'neutral', '3.6.1: the key is revoked'],
    ['none', 'neutral', '6.1.2: no key'],
    ['nothing', 'neutral', '3.6.1: p= is required'],
    ['later', 'neutral', '3.6.1: v= comes first'],
    ['other', 'neutral', '3.6.1: another version'],
    ['noise', 'neutral', '6.1.2: no base64'],
    ['text', 'neutral', '6.1.2: no tags'],
    ['sha1', 'neutral', '6.1.2: h= has not ours'],
    ['service', 'neutral', '3.6.1: not for mail'],
    ['unknown', 'neutral', '6.1.2: another kind of key'],
    ['wrong', 'neutral', '8463 3: not the kind of the signature'],
    ['short', 'policy', '8301 3.2: 1024 bits at least'],
    ['twice', 'neutral', '3.6.2.2: several records'],
    ['lost', 'temperror', '6.1.2: no answer'],
  ])('the key %s: %s (RFC 6376 %s)', async (selector, want, _why) => {
    expect(await dkimOf(await signed(selector))).toEqual([want])
  })

  test('SERVFAIL for a key is temperror (RFC 6376 6.1.2)', async () => {
    expect(await dkimOf(await signed('rsa', {}, 'broken.example'))).toEqual(['temperror'])
  })

  const nowSeconds = Math.floor(Date.now() / 1000)
  const tagged = (from: RegExp, to: string) => async () => (await signed('rsa')).replace(from, to)
  test.each<[string, () => Promise<string>, string]>([
    [
      '3.5: x= is over',
      () => signed('rsa', { signTime: new Date('2020-01-01'), expires: new Date('2020-02-01') }),
      'neutral',
    ],
    ['3.5: x= is to come', () => signed('rsa', { expires: new Date((nowSeconds + 3600) * 1000) }), 'pass'],
    ['3.5: another version', tagged(/v=1;/, 'v=2;'), 'neutral'],
    ['3.5: no v=', tagged(/v=1;/, ''), 'neutral'],
    ['3.5: d= is required', tagged(/d=[^;]*;/, ''), 'neutral'],
    ['3.5: i= is of another domain', tagged(/v=1;/, 'v=1; i=@elsewhere.example;'), 'neutral'],
    ['3.2: a tag twice', tagged(/v=1;/, 'v=1; s=rsa;'), 'neutral'],
    ['3.5: h= without From', tagged(/h=[^;]*;/, 'h=To:Subject;'), 'neutral'],
    ['8301 3.1: SHA-1', () => signed('rsa', { algorithm: 'rsa-sha1' }), 'policy'],
    ['3.3: another algorithm', tagged(/a=rsa-sha256/, 'a=rsa-md5'), 'neutral'],
    ['3.5: b= is no base64', tagged(/ b=[^;]*/, ' b=@'), 'fail'],
    ['6.1.3: bh= of another body', tagged(/bh=[^;]*;/, 'bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;'), 'fail'],
    ['3.7: a header that is signed has changed', tagged(/Hello/, 'Adieu'), 'fail'],
    ['3.5: q= of another way to get the key', tagged(/v=1;/, 'v=1; q=http/x;'), 'neutral'],
  ])('%s', async (_why, mail, want) => {
    expect(await dkimOf(await mail())).toEqual([want])
  })

  test.each([
    ['', 'pass', 'pass', 'the body that was signed'],
    ['and more\r\n', 'policy', 'fail', 'what is added behind is signed by nobody'],
  ])('l=, with %j behind: DKIM %s, DMARC %s (RFC 6376 8.2: %s)', async (behind, dkim, dmarc, _why) => {
    const text = `${await signed('rsa', { maxBodyLength: 6 })}${behind}`
    expect(text).toContain('l=6')
    const { results, header } = await found(road.server, { text })
    expect([results.dkim.map(({ result }) => result), results.dmarc.result]).toEqual([[dkim], dmarc])
    expect(header).toContain(`dkim=${dkim} `)
  })

  describe('ARC', () => {
    /** What the hop found out, sealed by it. */
    const sealed = async (hop: string, arc: string, mail: string, selector = 'rsa'): Promise<string> => {
      const message = `Authentication-Results: ${hop}; arc=${arc}; spf=pass smtp.mailfrom=a@signer.example\r\n${mail}`
      const key = { selector, key: RSA.privateKey, algorithm: 'rsa-sha256', canonical: '' } as const
      return (await signedElsewhere([{ kind: 'arc', message, hop, ...key }]))[0] + message
    }
    const arcOf = async (text: string) => (await found(lookupsOf(road.server, 300), { text })).results.arc.result

    test('a chain of two hops that dkimpy sealed (RFC 8617 5.2)', async () => {
      const once = await sealed('first.example', 'none', MAIL)
      const twice = await sealed('second.example', 'pass', once)
      const changes: [string, string][] = [
        [MAIL, 'none'],
        [once, 'pass'],
        [twice, 'pass'],
        [`${twice}more\r\n`, 'fail'],
        [twice.replace(/ARC-Seal: i=1[^]*?\r\n(?!\s)/, ''), 'fail'],
        [twice.replace(/cv=pass/, 'cv=none'), 'fail'],
        [twice.replaceAll('s=rsa', 's=none'), 'fail'],
        [await sealed('first.example', 'none', MAIL, 'lost'), 'temperror'],
      ]
      const told = await Promise.all(changes.map(async ([text]) => arcOf(text)))
      expect(told).toEqual(changes.map(([, want]) => want))
    })
  })
})
