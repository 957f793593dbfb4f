// The DNS as the checks see it, on a real server.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDnsRoad, type Fate } from '../../test/engines/dns-road.ts'
import { nsdUnavailable, startNsd, startSilentDns, txtData, type Nsd } from '../../test/engines/nsd.ts'
import { dnsLookups, isPassing, type Lookup } from './lookups.ts'

const reason = nsdUnavailable()
const LONG = 'x'.repeat(6000)
const RECORDS = [
  ['a.example', 'A', '192.0.2.1', 7],
  ['a.example', 'AAAA', '2001:db8::1'],
  ['long.example', 'TXT', txtData(LONG)],
  ['mx.example', 'MX', '10 a.example.'],
  ['null.example', 'MX', '0 .'],
  ...[600, 1200, 1300, 60_000].map((octets) => [`text${octets}.example`, 'TXT', txtData('x'.repeat(octets))] as const),
  ...Array.from({ length: 8 }, (_, n) => [`c${n}.example`, 'CNAME', `c${n + 1}.example.`] as const),
  ['c8.example', 'A', '192.0.2.8'],
  ['loop.example', 'CNAME', 'loop.example.'],
  ['bounce+ann=b.example', 'A', '192.0.2.9', 7],
  ['bounce+ann=b.example', 'TXT', txtData('of a local part', ' in two')],
  ['bounce+ann=b.example', 'MX', '10 a.example.'],
  ['alias+x.example', 'CNAME', 'a.example.'],
] as const

let dns: Nsd
let nowMs = 0
const never = new AbortController().signal
const open = (servers: readonly string[], more = {}) =>
  dnsLookups({ servers, clock: { monotonic: () => nowMs }, timeoutMs: 300, tries: 1, ...more })
const codeOf = async (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'answered',
    (error: Error & { code?: string }) => `${error.code ?? ''}${isPassing(error) ? ' passing' : ''}`,
  )

describe.skipIf(reason !== undefined)(`lookups ${reason ?? ''}`, () => {
  beforeAll(async () => {
    dns = await startNsd({ records: RECORDS, broken: ['broken.example'] })
  })
  afterAll(() => dns?.stop())

  test.each([
    ['a.example', 'A', ['192.0.2.1']],
    ['A.EXAMPLE', 'AAAA', ['2001:db8::1']],
    ['mx.example', 'MX', [{ exchange: 'a.example', priority: 10 }]],
  ])('%s %s', async (name, type, want) => {
    expect(await open([dns.server]).until(never)(name, type)).toMatchObject(want)
  })

  test('an answer that does not fit comes by TCP (RFC 7766 5)', async () => {
    const rows = await open([dns.server]).until(never)('long.example', 'TXT')
    expect(rows.flat().join('')).toBe(LONG)
  })

  test.each([
    ['nobody.example', 'A', 'ENOTFOUND', 'NXDOMAIN is an answer'],
    ['a.example', 'TXT', 'ENODATA', 'no such record is an answer'],
    ['x.broken.example', 'TXT', 'ESERVFAIL passing', 'SERVFAIL is none'],
  ])('%s %s: %s (%s)', async (name, type, want, _why) => {
    expect(await codeOf(open([dns.server]).until(never)(name, type))).toBe(want)
  })

  test.each([
    ['text600.example', 'TXT', 1, 'over 512 octets (6891 6.2.3)'],
    ['text1200.example', 'TXT', 1, 'what just fits'],
    ['text1300.example', 'TXT', 1, 'over 1232 octets, by TCP'],
    ['text60000.example', 'TXT', 1, 'as large as it gets'],
    ['c0.example', 'A', 1, '1034 3.6.2: a chain of aliases'],
    ['null.example', 'MX', 1, '7505 3: null MX'],
    ['bounce+ann=b.example', 'A', 1, '2181 11: no host name'],
    ['bounce+ann=b.example', 'TXT', 1, '2181 11'],
    ['bounce+ann=b.example', 'MX', 1, '2181 11'],
    ['alias+x.example', 'AAAA', 1, '2181 11: an alias'],
  ])('%s %s has %i (%s)', async (name, type, count, _why) => {
    expect(await open([dns.server]).until(never)(name, type)).toHaveLength(count)
  })

  test.each([
    ['text600.example', 'TXT', ['x'.repeat(600)]],
    ['text1300.example', 'TXT', ['x'.repeat(1300)]],
    ['text60000.example', 'TXT', ['x'.repeat(60_000)]],
    ['bounce+ann=b.example', 'TXT', ['of a local part in two']],
  ])('%s %s is whole', async (name, type, want) => {
    const rows = await open([dns.server]).until(never)(name, type)
    expect(rows.map((row) => [row].flat().join(''))).toEqual(want)
  })

  test.each([
    ['nobody+x.example', 'A', 'ENOTFOUND'],
    ['bounce+ann=b.example', 'AAAA', 'ENODATA'],
    ['x+y.broken.example', 'TXT', 'ESERVFAIL passing'],
    [`${'x+'.repeat(40)}.example`, 'A', 'EBADNAME'],
    ['x+..example', 'A', 'EBADNAME'],
    ['loop.example', 'A', 'ENODATA'],
  ])('%s %s: %s', async (name, type, want) => {
    expect(await codeOf(open([dns.server]).until(never)(name, type))).toBe(want)
  })

  describe('trouble on the road', () => {
    const NAMES = ['a.example', 'bounce+ann=b.example'] as const
    const told = async (fateOf: (over: 'udp' | 'tcp') => Fate, name: string, type = 'A') => {
      const road = await startDnsRoad(dns.server, ({ over }) => fateOf(over))
      try {
        return { code: await codeOf(open([road.server]).until(never)(name, type)), asked: road.asked }
      } finally {
        await road.stop()
      }
    }

    test.each<[Fate, string]>([
      ['lose', 'ETIMEOUT passing'],
      ['servfail', 'ESERVFAIL passing'],
      ['refuse', 'EREFUSED passing'],
      ['notimp', 'ENOTIMP passing'],
      ['garbage', 'passing'],
    ])('%s: %s', async (fate, want) => {
      for (const name of NAMES) expect((await told(() => fate, name)).code).toContain(want)
    })

    test('lame: a server that knows nothing of a name, and says so without an error, has no record of it', async () => {
      for (const name of NAMES) expect((await told(() => 'lame', name)).code).toBe('ENODATA')
    })

    test('cut short over UDP: asked again over TCP (RFC 7766 5), and trouble there passes', async () => {
      const { code, asked } = await told((over) => (over === 'udp' ? 'truncate' : 'pass'), 'a.example')
      expect([code, ...asked.map(({ over }) => over)]).toEqual(['answered', 'udp', 'tcp'])
      for (const fate of ['lose', 'servfail', 'garbage'] as const) {
        const spoilt = await told((over) => (over === 'udp' ? 'truncate' : fate), 'a.example')
        expect([fate, spoilt.code]).toEqual([fate, expect.stringContaining('passing')])
      }
    })
  })

  test('a server that does not answer passes by, within its time', async () => {
    const silent = await startSilentDns()
    try {
      const began = performance.now()
      expect(await codeOf(open([silent.server]).until(never)('a.example', 'A'))).toBe('ETIMEOUT passing')
      expect(performance.now() - began).toBeLessThan(3000)
    } finally {
      await silent.stop()
    }
  })

  test('when the time of a mail is up, so are its lookups, those to come as well; others go on', async () => {
    const silent = await startSilentDns()
    try {
      const lookups = open([silent.server], { timeoutMs: 2000 })
      const over = new AbortController()
      const lookup = lookups.until(over.signal)
      const waiting = codeOf(lookup('a.example', 'A'))
      over.abort()
      expect(await waiting).toBe('ETIMEOUT passing')
      expect(await codeOf(lookup('b.example', 'A'))).toBe('ETIMEOUT passing')
    } finally {
      await silent.stop()
    }
  })

  describe('what is kept', () => {
    /** Whether an answer comes without a server. */
    async function kept(name: string, type: string, afterMs: number, want: string): Promise<boolean> {
      const server = await startNsd({ records: RECORDS, broken: ['broken.example'] })
      const lookup: Lookup = open([server.server]).until(never)
      expect(await codeOf(lookup(name, type))).toBe(want)
      await server.stop()
      nowMs += afterMs
      return (await codeOf(lookup(name, type))) === want
    }
    test.each([
      ['a.example', 'A', 6900, 'answered', true, 'an address for its TTL'],
      ['a.example', 'A', 7100, 'answered', false, 'and no longer'],
      ['mx.example', 'MX', 299_000, 'answered', true, 'others for five minutes'],
      ['mx.example', 'MX', 301_000, 'answered', false, 'and no longer'],
      ['nobody.example', 'A', 59_000, 'ENOTFOUND', true, '2308 5: that nothing is there, for a minute'],
      ['nobody.example', 'A', 61_000, 'ENOTFOUND', false, 'and no longer'],
      ['x.broken.example', 'A', 4900, 'ESERVFAIL passing', true, '2308 7.1: a failure, for seconds'],
      ['x.broken.example', 'A', 5100, 'ESERVFAIL passing', false, 'and no longer'],
    ])('%s %s after %i ms, %s: %s (%s)', async (name, type, afterMs, first, want, _why) => {
      expect(await kept(name, type, afterMs, first)).toBe(want)
    })

    test('no more than fits: the least recently used goes first', async () => {
      const server = await startNsd({
        records: Array.from({ length: 30 }, (_, n) => [`n${n}.example`, 'A', '192.0.2.1'] as const),
      })
      const lookup = open([server.server], { cacheBytesMax: 4000 }).until(never)
      for (let n = 0; n < 30; n += 1) {
        await lookup(`n${n}.example`, 'A')
        await lookup('n0.example', 'A')
      }
      await server.stop()
      expect(await codeOf(lookup('n0.example', 'A'))).toBe('answered')
      expect(await codeOf(lookup('n29.example', 'A'))).toBe('answered')
      expect(await codeOf(lookup('n1.example', 'A'))).not.toBe('answered')
    })
  })
})
