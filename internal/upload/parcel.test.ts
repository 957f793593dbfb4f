import { describe, expect, test } from 'vitest'
import { canonicalJson, parcelsOf } from './parcel.ts'
import { entryId, envelopeOf } from './testing/rig.ts'

const bytes = { id: entryId(1), sizeBytes: 5, sha256: 'a'.repeat(64) }

describe('parcels of an entry', () => {
  test('one for each tenant, with its own recipients only', () => {
    const envelope = envelopeOf(1, ['acme', 'beta', 'acme'])
    const parcels = parcelsOf(envelope, bytes, '/ingest/test/uploaderd')
    expect(parcels.map(({ tenant }) => tenant)).toEqual(['acme', 'beta'])
    expect(parcels.map(({ received }) => received.data.recipientCount)).toEqual([2, 1])
    for (const { tenant, meta, keys, messageId } of parcels) {
      const read = JSON.parse(meta.toString()) as { envelope: { recipients: { tenant: string }[] } }
      expect(read).toMatchObject({
        version: 1,
        tenant,
        messageId,
        rawKey: keys.raw,
        sha256: bytes.sha256,
        sizeBytes: 5,
      })
      expect(new Set(read.envelope.recipients.map((each) => each.tenant))).toEqual(new Set([tenant]))
    }
  })

  test('none where nobody is there, and no tenant sees who else was not', () => {
    const discarded = [{ address: 'nobody@mail.example', tenant: null }]
    expect(parcelsOf({ ...envelopeOf(1), recipients: [], discarded }, bytes, 's')).toEqual([])
    const [parcel] = parcelsOf({ ...envelopeOf(1), discarded }, bytes, 's')
    expect(parcel?.meta.toString()).not.toContain('nobody')
  })

  test('ids, keys and bytes are the same each time, in whatever order the envelope has its fields', () => {
    const envelope = envelopeOf(1)
    const turned = Object.fromEntries(Object.entries(envelope).toReversed())
    expect(parcelsOf(turned, bytes, 's')).toEqual(parcelsOf(envelope, bytes, 's'))
  })

  test('the event says the domain of the sender, and nothing for the null sender (RFC 5321 4.5.5)', () => {
    const domain = (mailFrom: string) =>
      parcelsOf({ ...envelopeOf(1), mailFrom }, bytes, 's')[0]?.received.data.senderDomain
    expect(domain('ann@Example.org')).toBe('example.org')
    expect(domain('"a@b"@example.org')).toBe('example.org')
    expect(domain('')).toBe('')
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a text', 'envelope'],
    ['of another entry', { ...envelopeOf(1), entryId: entryId(2) }],
    ['no recipients', { ...envelopeOf(1), recipients: [] }],
    ['no recipients, discarded ones neither', { ...envelopeOf(1), recipients: [], discarded: [] }],
    ['a recipient that is none', { ...envelopeOf(1), recipients: [null] }],
    ['a tenant that would leave its place', { ...envelopeOf(1), recipients: [{ tenant: '../beta' }] }],
    ['no time', { ...envelopeOf(1), receivedAt: 'today' }],
    ['no trace', { ...envelopeOf(1), traceparent: undefined }],
    ['no sender', { ...envelopeOf(1), mailFrom: undefined }],
  ])('an envelope that is %s is refused', (_what, envelope) => {
    expect(() => parcelsOf(envelope, bytes, 's')).toThrow(TypeError)
  })
})

test('canonical JSON sorts keys at every depth and keeps the order of lists', () => {
  expect(canonicalJson({ b: [{ d: 1, c: 2 }, 'z', 'a'], a: { y: null, x: undefined } })).toBe(
    '{"a":{"y":null},"b":[{"c":2,"d":1},"z","a"]}',
  )
})
