import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { envelopeAlong, FACTS_BYTES_MAX, withEnvelope } from './along.ts'

const json = Buffer.from(JSON.stringify({ version: 1, envelope: { mailFrom: 'bücher@example.org' } }))
/** Text that no compression makes shorter than three quarters of it. */
const noise = (length: number) => Buffer.from(randomBytes(length).toString('base64').slice(0, length))
const sizeOf = (facts: Record<string, string>) =>
  Object.entries(facts).reduce((sum, [name, value]) => sum + `x-amz-meta-${name}${value}`.length, 0)

test('what was put along comes back byte for byte, as ASCII that a header takes', () => {
  const facts = withEnvelope({ tenant: 'acme' }, json)
  expect(facts).toEqual({ tenant: 'acme', envelope: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/) })
  expect(envelopeAlong(facts, json.length)).toEqual(json)
  expect(withEnvelope({ tenant: 'acme' }, json)).toEqual(facts)
})

test('it rides along up to the bytes that S3 takes in all, and no further', () => {
  const facts = { tenant: 'acme', sha256: 'f'.repeat(64) }
  let longest = 0
  for (let length = 800; length < 2400; length += 1) {
    const all = withEnvelope(facts, noise(length))
    expect(sizeOf(all)).toBeLessThanOrEqual(FACTS_BYTES_MAX)
    if ('envelope' in all) longest = Math.max(longest, sizeOf(all))
    else expect(all).toEqual(facts)
  }
  expect(longest).toBeGreaterThan(FACTS_BYTES_MAX - 8)
  expect(withEnvelope(facts, noise(2400))).toEqual(facts)
})

test.each<[string, Record<string, string> | undefined]>([
  ['no metadata', undefined],
  ['of an earlier version', { tenant: 'acme' }],
  ['no base64', { envelope: 'ä' }],
  ['empty', { envelope: '' }],
  ['nothing deflated', { envelope: json.toString('base64') }],
  ['cut short', { envelope: deflateSync(json).subarray(0, -5).toString('base64') }],
  ['another byte', { envelope: spoilt() }],
  ['more than may be', { envelope: deflateSync(Buffer.alloc(1_000_000)).toString('base64') }],
])('none: %s', (_why, facts) => {
  expect(envelopeAlong(facts, 999_999)).toBeUndefined()
})

/** One letter of the envelope is another, and only the checksum tells. */
function spoilt(): string {
  const stored = deflateSync(json, { level: 0 })
  const at = stored.indexOf('mailFrom')
  stored.write('n', at)
  return stored.toString('base64')
}
