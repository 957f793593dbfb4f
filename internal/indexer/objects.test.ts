// Which requests a message takes, and that what it comes to does not depend on where its envelope was read.

import { Readable } from 'node:stream'
import { deflateSync } from 'node:zlib'
import { Registry } from '@prometheus-io/client'
import { beforeEach, describe, expect, test } from 'vitest'
import { BlobError, type BlobStore, type Found } from '../blob/blob.ts'
import { withEnvelope } from '../envelope/envelope.ts'
import type { ParserPool } from '../message/message.ts'
import { UNTRACED } from '../ports/ports.ts'
import { examine, type ExamineParts } from './examine.ts'
import type { Judgement } from './facts.ts'
import { indexerMetrics } from './metrics.ts'
import type { Scanning } from './scan.ts'
import { noProgress } from './trouble.ts'
import { mail, withCsv } from './testing/bed.ts'

const sent = withCsv(1, 'a@x')
const { rawKey, metaKey } = sent.event.data
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

interface Kept {
  bytes: Buffer
  metadata?: Record<string, string>
}
let objects: Map<string, Kept>
/** What was asked for, in order, and the streams that were given out. */
let asked: string[]
let bodies: Readable[]
/** Whether small objects are given in memory. */
let isAtHand: boolean
let failing: Map<string, Error>
let now: number
beforeEach(() => {
  objects = new Map([
    [rawKey, { bytes: sent.raw, metadata: withEnvelope({ tenant: 'acme' }, json(sent.meta)) }],
    [metaKey, { bytes: json(sent.meta) }],
  ])
  asked = []
  bodies = []
  isAtHand = true
  failing = new Map()
  now = 0
})

const longer = Buffer.concat([sent.raw, Buffer.from('x')])
const json = (meta: object) => Buffer.from(JSON.stringify(meta))

/** Of those whose bytes were not in memory. */
const leftOpen = () => bodies.filter((body) => !isAtHand && !body.destroyed)

async function get(key: string): Promise<Found | undefined> {
  asked.push(key)
  const error = failing.get(key)
  if (error !== undefined) throw error
  const kept = objects.get(key)
  if (kept === undefined) return undefined
  const body = Readable.from([kept.bytes], { objectMode: false })
  bodies.push(body)
  return {
    stored: { key, sizeBytes: kept.bytes.length, modifiedAt: 0 },
    body,
    ...(isAtHand && { bytes: kept.bytes }),
    ...(kept.metadata && { metadata: kept.metadata }),
  }
}

const textOf = async (given: Readable | Buffer) =>
  Buffer.isBuffer(given) ? given.toString() : Buffer.concat(await given.toArray()).toString()

/** Says what it has read. */
const reading: ParserPool['parse'] = async (input) => {
  try {
    return { ok: false, reason: 'parse_crash', detail: await textOf(await input.open()) }
  } catch (cause) {
    return { ok: false, trouble: 'source', detail: 'not read', cause }
  }
}

async function judged(
  change: { parse?: ParserPool['parse']; signal?: AbortSignal; released?: boolean; scanning?: Scanning } = {},
): Promise<Judgement> {
  const { parse = reading, scanning, signal = new AbortController().signal, released = false } = change
  const unused = () => Promise.reject(new TypeError('not asked for here'))
  const parts: ExamineParts = {
    blobs: { get, put: unused, head: unused, delete: unused } as Pick<BlobStore, 'get'> as BlobStore,
    parsers: { parse },
    ...(scanning && { scanning }),
    clock: { now: () => now, monotonic: () => now, sleep: unused },
    tracer: UNTRACED,
    metrics: indexerMetrics(new Registry(), {}),
    progress: noProgress(),
    workDir: '/nonexistent',
    signal,
  }
  return examine(parts, { event: sent.event, attempt: 1, within: TRACE, released, keep: async () => false })
}

const whole = { kind: 'quarantined', meta: sent.meta, reason: 'parse_crash', detail: { message: sent.raw.toString() } }
const put = (key: string, change: Partial<Kept>) =>
  objects.set(key, { ...(objects.get(key) ?? { bytes: Buffer.alloc(0) }), ...change })
const along = (meta: object) => put(rawKey, { metadata: withEnvelope({}, json(meta)) })

describe.each([true, false])('a message whose bytes are in memory: %s', (inMemory) => {
  beforeEach(() => {
    isAtHand = inMemory
  })

  test('one request where the envelope came with the bytes', async () => {
    objects.delete(metaKey)
    expect(await judged()).toEqual(whole)
    expect(asked).toEqual([rawKey])
  })

  test.each<[string, Kept['metadata']]>([
    ['an engine that keeps none', undefined],
    ['an earlier version wrote it', { tenant: 'acme' }],
    ['it is damaged', { envelope: 'eJyrVkrL' }],
    ['it is no envelope', withEnvelope({}, json({ version: 2 }))],
    ['that of another message', withEnvelope({}, json({ ...sent.meta, messageId: mail(2, '').meta.messageId }))],
    ['that of another tenant', withEnvelope({}, json({ ...sent.meta, tenant: 'beta' }))],
    ['it unfolds to 5 MB', { envelope: deflateSync(Buffer.alloc(5 * 2 ** 20)).toString('base64') }],
  ])('the `.json` object decides: %s', async (_why, metadata) => {
    objects.set(rawKey, { bytes: sent.raw, ...(metadata && { metadata }) })
    expect(await judged()).toEqual(whole)
    // A body that is not in memory does not wait for the other object: it would hold a connection meanwhile.
    expect(asked).toEqual(isAtHand ? [rawKey, metaKey] : [rawKey, metaKey, rawKey])

    put(metaKey, { bytes: json({ ...sent.meta, tenant: 'beta' }) })
    await expect(judged()).rejects.toMatchObject({ name: 'Fault', reason: 'envelope', meta: undefined })
    objects.delete(metaKey)
    await expect(judged()).rejects.toMatchObject({ name: 'Fault', reason: 'object_missing', meta: undefined })
    failing.set(metaKey, new BlobError('timeout', 'slow'))
    await expect(judged()).rejects.toMatchObject({ name: 'Outage', need: 'read' })
    expect(leftOpen()).toEqual([])
  })

  test('an envelope object of more than 4 MB is none', async () => {
    objects.set(rawKey, { bytes: sent.raw })
    put(metaKey, { bytes: json({ ...sent.meta, more: 'x'.repeat(5 * 2 ** 20) }) })
    await expect(judged()).rejects.toMatchObject({ name: 'Fault', reason: 'envelope' })
  })

  test.each<[string, () => void, object]>([
    ['missing', () => objects.delete(rawKey), { name: 'Fault', reason: 'object_missing', meta: sent.meta }],
    ['refused', () => failing.set(rawKey, new BlobError('client', 'no')), { name: 'Outage', need: 'read' }],
    ['damaged', () => failing.set(rawKey, new BlobError('digest', 'bad')), { reason: 'digest', meta: sent.meta }],
    ['other bytes', () => put(rawKey, { bytes: longer }), { reason: 'digest', meta: sent.meta }],
  ])(
    'bytes that are %s: told with the envelope, and no matter where a policy set it aside',
    async (_how, spoil, told) => {
      spoil()
      await expect(judged()).rejects.toMatchObject(told)
      const [recipient] = sent.meta.envelope.recipients
      const policy = { rule: 'dmarc_reject', action: 'quarantine' }
      const envelope = { ...sent.meta.envelope, recipients: [{ ...recipient, policy }] }
      const aside = json({ ...sent.meta, envelope })
      put(metaKey, { bytes: aside })
      if (objects.has(rawKey)) put(rawKey, { metadata: withEnvelope({}, aside) })
      expect(await judged()).toMatchObject({ kind: 'quarantined', reason: 'policy' })
      await expect(judged({ released: true })).rejects.toMatchObject(told)
    },
  )

  test('set aside by policy: one request, and nobody reads', async () => {
    const recipients = sent.meta.envelope.recipients.map((each) => ({
      ...each,
      policy: { rule: 'spf_fail', action: 'quarantine' },
    }))
    along({ ...sent.meta, envelope: { ...sent.meta.envelope, recipients } })
    const parse = () => Promise.reject(new TypeError('it was read'))
    expect(await judged({ parse })).toMatchObject({
      kind: 'quarantined',
      reason: 'policy',
      detail: { rule: 'spf_fail' },
    })
    expect(asked).toEqual([rawKey])
    await new Promise(setImmediate)
    expect(leftOpen()).toEqual([])
  })

  test('a scanner beside gets all of it', async () => {
    const scanning: Scanning = {
      down: 'defer',
      scanner: {
        version: async () => '1',
        scan: async (body) => ({
          verdict: 'infected',
          signature: Buffer.concat(await Array.fromAsync(body)).toString(),
        }),
      },
    }
    expect(await judged({ scanning })).toMatchObject({ reason: 'malware', detail: { signature: sent.raw.toString() } })
    expect(asked).toEqual([rawKey])
  })

  test('a parser that opens it once more gets it once more', async () => {
    const parse: ParserPool['parse'] = async (input) => {
      await textOf(await input.open())
      return reading(input)
    }
    expect(await judged({ parse })).toEqual(whole)
    expect(asked).toEqual([rawKey, rawKey])
  })

  test('a verdict without reading to the end: the rest is read for its digest', async () => {
    const parse: ParserPool['parse'] = async (input) => {
      const given = await input.open()
      if (!Buffer.isBuffer(given)) given.destroy()
      return { ok: false, reason: 'parse_crash', detail: 'unread' }
    }
    expect(await judged({ parse })).toMatchObject({ detail: { message: 'unread' } })
    put(rawKey, { bytes: longer })
    await expect(judged({ parse })).rejects.toMatchObject({ reason: 'digest' })
  })

  test('a stop while a parser is waited for lets go of it', async () => {
    const stop = new AbortController()
    const parse: ParserPool['parse'] = () => {
      setImmediate(() => stop.abort())
      return new Promise(() => {})
    }
    await expect(judged({ parse, signal: stop.signal })).rejects.toMatchObject({ name: 'Stopped' })
    await new Promise(setImmediate)
    expect(leftOpen()).toEqual([])
  })

  test('only what is in memory waits long for a parser; the rest is opened anew', async () => {
    const parse: ParserPool['parse'] = (input) => {
      now += 60_000
      return reading(input)
    }
    expect(await judged({ parse })).toEqual(whole)
    expect(asked).toEqual(inMemory ? [rawKey] : [rawKey, rawKey])
    if (!inMemory) expect(bodies[0]?.destroyed).toBe(true)
  })
})
