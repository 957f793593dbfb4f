// The test suite of RFC 7208 on a real DNS: each of its zones is served by nsd, what times out in it is lost on the road, and each mail
// goes through our lookups and checks as one that smtpd takes in.

import { readFileSync } from 'node:fs'
import { spf } from 'mailauth'
import { afterAll, describe, expect, test } from 'vitest'
import { startDnsRoad } from '../../test/engines/dns-road.ts'
import { mailPeersUnavailable, SPF_SUITE } from '../../test/engines/mail-peers.ts'
import { nsdUnavailable, startNsd, txtData, zoneName, type DnsRecord } from '../../test/engines/nsd.ts'
import type { Lookups } from './lookups.ts'
import { errors, found, lookupsOf } from './testing/desk.ts'

const reason = nsdUnavailable() ?? mailPeersUnavailable()
/** For a first try: short where answers are lost, else so long that a busy machine loses none. */
const TRY_MS = { lossy: 400, sound: 4000 } as const
const AT_ONCE = 16
const never = new AbortController().signal

type Datum = 'TIMEOUT' | Record<string, string | string[] | [number, string]>

interface Scenario {
  description: string
  tests: Record<string, SuiteTest>
  zonedata: Record<string, Datum[]>
}

interface SuiteTest {
  host: string
  helo: string
  mailfrom: string
  /** Any of them is right. */
  result: string | string[]
  explanation?: string
}

/** What the suite calls the explanation of those that give none. */
const NO_EXPLANATION = 'DEFAULT'

describe.skipIf(reason !== undefined)(`the suite of RFC 7208 ${reason ?? ''}`, () => {
  const scenarios = reason === undefined ? (JSON.parse(readFileSync(SPF_SUITE, 'utf8')) as Scenario[]) : []
  afterAll(() => expect(errors).toEqual([]))

  test.each(scenarios.map((scenario) => [scenario.description, scenario] as const))('%s', async (_, scenario) => {
    const dns = await serve(scenario.zonedata)
    try {
      const wrong: string[] = []
      const cases = Object.entries(scenario.tests)
      const worker = async () => {
        for (let next = cases.pop(); next !== undefined; next = cases.pop()) {
          const complaint = await complaintOf(next[1], dns.lookups)
          if (complaint !== undefined) wrong.push(`${next[0]}: ${complaint}`)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
      expect(wrong).toEqual([])
    } finally {
      await dns.stop()
    }
  })

  test('is all there', () => {
    expect(scenarios.flatMap(({ tests }) => Object.keys(tests)).length).toBe(203)
  })
})

async function complaintOf(given: SuiteTest, lookups: Lookups): Promise<string | undefined> {
  const { host: address, helo, mailfrom: mailFrom, result, explanation } = given
  const { results } = await found(lookups, { address, helo, mailFrom }, 20_000)
  if (![result].flat().includes(results.spf.result)) return `${results.spf.result}, not ${[result].flat().join(' or ')}`
  if (explanation === undefined) return undefined
  const asked = { resolver: lookups.until(never), ip: address, helo, sender: mailFrom, mta: 'mx.example', strict: true }
  const told = (await spf(asked)) as { explanation?: string }
  const text = told.explanation ?? NO_EXPLANATION
  // Hexadecimal digits in an explanation are no matter of case; RFC 7208 7.4 writes them small, the suite large.
  return text.toLowerCase() === explanation.toLowerCase()
    ? undefined
    : `explained by ${JSON.stringify(text)}, not ${JSON.stringify(explanation)}`
}

interface Served {
  lookups: Lookups
  stop(): Promise<void>
}

async function serve(zonedata: Scenario['zonedata']): Promise<Served> {
  const zones = Object.entries(zonedata).map(
    ([name, data]) => [name.toLowerCase().replace(/\.$/, ''), recordsOf(data)] as const,
  )
  const records = zones.flatMap(([name, rows]) => rows.map(([type, data]): DnsRecord => [name, type, data]))
  const nsd = await startNsd({
    records: records.filter(([name]) => name.split('.').every((label) => label.length <= 63)),
  })
  /** Names that answer for some types alone. */
  const lossy = new Map(
    zones.flatMap(([name, rows]) =>
      zonedata[name]?.includes('TIMEOUT') === true ? [[name, new Set(rows.map(([type]) => type))] as const] : [],
    ),
  )
  const road = await startDnsRoad(nsd.server, ({ name, type }) =>
    lossy.get(name)?.has(type) === false ? 'lose' : 'pass',
  )
  const stop = async () => {
    await road.stop()
    await nsd.stop()
  }
  return { lookups: lookupsOf(road.server, lossy.size > 0 ? TRY_MS.lossy : TRY_MS.sound, 2), stop }
}

/** A TXT record stands in for each SPF record of a name that tells nothing else of TXT; so the suite wants it. */
function recordsOf(data: readonly Datum[]): (readonly [type: string, data: string])[] {
  const rows = data.flatMap((datum) => (datum === 'TIMEOUT' ? [] : Object.entries(datum)))
  const texts = rows.some(([type]) => type === 'TXT')
    ? []
    : rows.flatMap(([type, value]) => (type === 'SPF' ? [['TXT', value] as const] : []))
  return [...rows, ...texts].flatMap(([type, value]) =>
    value === 'NONE' ? [] : [[type, dataOf(type, value)] as const],
  )
}

function dataOf(type: string, value: string | string[] | [number, string]): string {
  if (type === 'TXT' || type === 'SPF') return txtData(...(value.length === 0 ? [''] : [value].flat().map(String)))
  if (type === 'MX') return `${value[0]} ${absolute(value[1])}`
  return type === 'A' || type === 'AAAA' ? String(value) : absolute(String(value))
}

const absolute = (name: string): string => zoneName(name.replace(/\.$/, ''))
