// The S3 adapter on a real Ceph RGW, first as any object store, then on its bad days.

import { AbortMultipartUploadCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { rgwUnavailable, startRgw, type Rgw } from '../../test/engines/rgw.ts'
import { FACTS_BYTES_MAX } from '../envelope/envelope.ts'
import { BlobError, type Upload } from './blob.ts'
import { blobStoreContract, uploadOf } from './contract.ts'
import { testBucket, type TestBucket } from './testing/bucket.ts'
import { faultProxy, type FaultProxy, type Spoil } from './testing/fault-proxy.ts'

const MIB = 1024 ** 2
const reason = rgwUnavailable()

describe.skipIf(reason)(`objects in S3 ${reason ?? ''}`, () => {
  let rgw: Rgw
  let bucket: TestBucket
  beforeAll(async () => {
    rgw = await startRgw()
    bucket = await testBucket(rgw)
  })
  afterAll(() => rgw?.stop())

  blobStoreContract('Ceph RGW', async () => {
    const store = bucket.fresh()
    return {
      store,
      keepsMetadata: true,
      async outage() {
        await rgw.kill()
        return () => rgw.restart()
      },
      async checkClean() {
        expect(await bucket.pending()).toEqual([])
      },
      async close() {
        store.close()
      },
    }
  })

  describe('what a put leaves', () => {
    test.each([
      ['kept in memory', 1000],
      ['read twice', 3 * MIB],
    ])('%s: one request, marked with the MD5; type, facts and SHA-256 beside it', async (_how, size) => {
      const upload = { ...made(size), metadata: { tenant: 'acme' } }
      const stored = await bucket.fresh({ prefix: '' }).put('whole/x.eml', upload)
      expect(stored.etag).toBe(await md5Of(upload))
      const found = await bucket.raw.send(new HeadObjectCommand({ Bucket: bucket.name, Key: 'whole/x.eml' }))
      expect(found).toMatchObject({ ContentLength: size, ContentType: 'message/rfc822', ETag: `"${stored.etag}"` })
      expect(found.Metadata).toEqual({ tenant: 'acme', sha256: upload.sha256 })
    })

    test('past 64 MiB it goes in parts, marked with the MD5 of their MD5s; nothing of the parts is left', async () => {
      const store = bucket.fresh()
      const upload = made(64 * MIB + 1)
      const stored = await store.put('t/parts', upload)
      expect(stored).toMatchObject({ sizeBytes: 64 * MIB + 1, etag: expect.stringMatching(/^[0-9a-f]{32}-9$/) })
      expect(await store.head('t/parts')).toMatchObject({ sizeBytes: stored.sizeBytes, etag: stored.etag })
      expect(await sha256Of((await store.get('t/parts'))?.body)).toBe(upload.sha256)
      expect(await bucket.pending()).toEqual([])
    })

    test('200 MB there and back in bounded memory', async () => {
      const store = bucket.fresh()
      const upload = made(200 * MIB)
      const before = process.memoryUsage().rss
      let peak = before
      const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
      await store.put('t/big', upload)
      expect(await sha256Of((await store.get('t/big'))?.body)).toBe(upload.sha256)
      clearInterval(watch)
      await store.delete('t/big')
      expect((peak - before) / MIB).toBeLessThan(100)
    })

    test('as many facts as S3 takes are kept, of a large object as well', async () => {
      const store = bucket.fresh()
      const facts = { tenant: 'acme', word: '' }
      // Beside them the SHA-256 that the adapter adds.
      const word = 'x'.repeat(FACTS_BYTES_MAX - 'x-amz-meta-tenantacmex-amz-meta-wordx-amz-meta-sha256'.length - 64)
      for (const size of [1000, 3 * MIB, 65 * MIB]) {
        await store.put('t/facts', { ...made(size), metadata: { ...facts, word } })
        const found = await store.get('t/facts')
        expect(found?.metadata).toEqual({ tenant: 'acme', word, sha256: made(size).sha256 })
        found?.body.destroy()
      }
    })

    test('1,000 objects are listed in order across pages', async () => {
      const store = bucket.fresh({ limits: { pageKeys: 99 } })
      const keys = Array.from({ length: 1000 }, (_, at) => `t/${(at * 7919) % 1000}-${at % 3}`)
      for (let at = 0; at < keys.length; at += 50) {
        await Promise.all(keys.slice(at, at + 50).map((key) => store.put(key, uploadOf(key))))
      }
      expect(await keysOf(store.list('t/'))).toEqual(keys.toSorted())
    })

    test('what others put below the prefix under a name that is no key is left out', async () => {
      const store = bucket.fresh({ prefix: 'foreign' })
      for (const key of ['foreign/', 'foreign/folder/', 'foreign/.hidden', 'foreign/a b', 'foreigner/x']) {
        await bucket.raw.send(new PutObjectCommand({ Bucket: bucket.name, Key: key, Body: '' }))
      }
      await store.put('good', uploadOf('good'))
      expect(await keysOf(store.list(''))).toEqual(['good'])
    })
  })

  describe('settings that are wrong are `client`, for every operation', () => {
    test.each([
      ['a bucket that is not there', { bucket: 'no-such-bucket' }],
      ['an unknown access key', { credentials: { accessKeyId: 'nobody', secretAccessKey: 'testsecrettestsecret' } }],
      ['a wrong secret', { credentials: { accessKeyId: 'testaccess', secretAccessKey: 'wrong' } }],
    ])('%s', async (_what, change) => {
      const store = bucket.fresh(change)
      expect(await faultOf(store.put('t/a', uploadOf('a')))).toBe('client')
      expect(await faultOf(store.put('t/a', made(20 * MIB)))).toBe('client')
      expect(await faultOf(store.put('t/a', made(65 * MIB)))).toBe('client')
      expect(await faultOf(store.get('t/a'))).toBe('client')
      expect(await faultOf(store.head('t/a'))).toBe('client')
      expect(await faultOf(store.delete('t/a'))).toBe('client')
      expect(await faultOf(keysOf(store.list('')))).toBe('client')
    })
  })

  describe('a gateway that stops', () => {
    test('frozen it is `timeout`, also in the middle of bodies; thawed it works again', async () => {
      const store = bucket.fresh({ limits: { idleMs: 500 } })
      await store.put('t/a', made(30 * MIB))
      const found = await store.get('t/a')
      rgw.freeze()
      try {
        const all = [store.put('t/b', uploadOf('b')), store.put('t/c', made(20 * MIB)), store.head('t/a')]
        const faults = await Promise.all([...all, store.delete('t/a'), found?.body.toArray()].map(faultOf))
        expect(faults).toEqual(['timeout', 'timeout', 'timeout', 'timeout', 'timeout'])
      } finally {
        rgw.thaw()
      }
      await store.put('t/d', made(20 * MIB))
      expect(await sha256Of((await store.get('t/d'))?.body)).toBe(made(20 * MIB).sha256)
    })

    test('killed during puts it is `server`; back again the same puts succeed', async () => {
      const store = bucket.fresh()
      const slow = { ...made(20 * MIB), open: () => Readable.from(slowly(pieces(20 * MIB)), { objectMode: false }) }
      const put = faultOf(store.put('t/slow', slow))
      await sleep(700)
      await rgw.kill()
      expect(await put).toBe('server')
      await rgw.restart()
      expect(await store.head('t/slow')).toBeUndefined()
      await store.put('t/slow', made(20 * MIB))
    })
  })

  describe('a source that is torn or changes under way', () => {
    test.each([
      ['kept in memory', 1000],
      ['read twice', 10 * MIB],
      ['in parts', 14 * MIB],
    ])('%s: nothing is stored, and its error is the cause', async (_how, size) => {
      const store = bucket.fresh({ limits: { singleBytesMax: 10 * MIB, partBytes: 5 * MIB } })
      const upload = made(size)
      let opened = 0
      const open = () => {
        opened += 1
        // The first of two readings succeeds, so that the second breaks during the request.
        return opened === 1 && size === 10 * MIB ? upload.open() : Readable.from(torn(size), { objectMode: false })
      }
      const put = store.put('t/torn', { ...upload, open })
      await expect(put).rejects.toMatchObject({ fault: 'client', cause: { message: 'torn' } })
      expect(await store.head('t/torn')).toBeUndefined()
      expect(await bucket.pending()).toEqual([])
    })

    test('other bytes at the second reading are never sent to their end', async () => {
      const store = bucket.fresh()
      const upload = made(10 * MIB)
      let opened = 0
      const other = () => Readable.from(pieces(10 * MIB, 1), { objectMode: false })
      const open = () => ((opened += 1) === 1 ? upload.open() : other())
      await expect(store.put('t/other', { ...upload, open })).rejects.toMatchObject({ fault: 'digest' })
      expect(await store.head('t/other')).toBeUndefined()
    })
  })

  describe('a way that spoils requests and answers', () => {
    let proxy: FaultProxy
    beforeAll(async () => {
      proxy = await faultProxy(rgw.endpoint)
    })
    afterAll(() => proxy?.close())
    afterEach(() => proxy.calm())
    const small = { singleBytesMax: 5 * MIB, partBytes: 5 * MIB }
    const through = (limits = {}) => bucket.fresh({ endpoint: proxy.endpoint, limits: { ...small, ...limits } })

    test.each<[string, RegExp, number, Spoil]>([
      ['server', /^PUT/, 1000, { answer: 503, code: 'SlowDown' }],
      ['server', /^PUT/, 3 * MIB, { answer: 503, code: 'SlowDown' }],
      ['server', /^PUT.*partNumber=3/, 12 * MIB, { answer: 503, code: 'SlowDown' }],
      ['server', /^POST.*uploads/, 12 * MIB, { answer: 500, code: 'InternalError' }],
      ['server', /^POST.*uploadId/, 12 * MIB, { answer: 200, code: 'InternalError' }],
      ['server', /^PUT/, 1000, { answer: 429, code: 'TooManyRequests' }],
      ['server', /^PUT/, 1000, { answer: 403, code: 'QuotaExceeded' }],
      ['timeout', /^PUT/, 1000, { answer: 400, code: 'RequestTimeout' }],
      ['timeout', /^PUT/, 1000, { answer: 504, code: '' }],
      ['client', /^PUT/, 1000, { answer: 400, code: 'EntityTooLarge' }],
      ['client', /^PUT/, 1000, { answer: 301, code: 'PermanentRedirect' }],
      ['server', /^PUT/, 4 * MIB, { tearAfter: 2 * MIB }],
      ['server', /^PUT.*partNumber=2/, 12 * MIB, { tearAfter: 3 * MIB }],
      ['digest', /^PUT/, 1000, { flipAt: 500 }],
      ['digest', /^PUT/, 4 * MIB, { flipAt: 3 * MIB }],
      ['digest', /^PUT.*partNumber=2/, 12 * MIB, { flipAt: 3 * MIB }],
    ])('a put is %s: %s of %d bytes, %j; nothing is stored, and one try was made', async (fault, line, size, how) => {
      const store = through()
      proxy.spoil(line, how)
      expect(await faultOf(store.put('t/a', made(size)))).toBe(fault)
      expect(proxy.seen.filter((each) => line.test(each.line))).toHaveLength(1)
      expect(await store.head('t/a')).toBeUndefined()
      expect(await bucket.pending()).toEqual([])
      await store.put('t/a', made(size))
    })

    test.each<[string, number, Spoil]>([
      ['server', 1000, { loseAnswer: true }],
      ['digest', 1000, { header: 'etag', value: '"d41d8cd98f00b204e9800998ecf8427e"' }],
      ['timeout', 1000, { slowMs: 800 }],
    ])('a put whose answer does not come or is wrong is %s, and repeated it succeeds', async (fault, size, how) => {
      const store = through({ idleMs: 400 })
      proxy.spoil(/^PUT/, how)
      expect(await faultOf(store.put('t/a', made(size)))).toBe(fault)
      expect(await store.put('t/a', made(size))).toMatchObject({ sizeBytes: size })
    })

    test('a size that differs at the end of the parts is `digest`', async () => {
      const store = through()
      proxy.spoil(/^HEAD/, { header: 'content-length', value: '5' })
      expect(await faultOf(store.put('t/a', made(12 * MIB)))).toBe('digest')
    })

    test.each<[string, Spoil]>([
      ['cut in its headers', { loseAnswer: true }],
      ['cut in its body', { cutAfter: 100_000 }],
      ['an error', { answer: 503, code: 'ServiceUnavailable' }],
    ])('a get with an answer that is %s is `server`, never a shorter object', async (_what, how) => {
      const store = through()
      await store.put('t/a', made(MIB))
      proxy.spoil(/^GET/, how)
      const read = async () => (await store.get('t/a'))?.body.toArray()
      expect(await faultOf(read())).toBe('server')
      expect(await faultOf(read())).toBe('none')
    })

    test('a list with an answer that is cut is `server`, never a shorter list', async () => {
      const store = through({ pageKeys: 10 })
      for (let at = 0; at < 25; at += 1) await store.put(`t/${at}`, uploadOf('x'))
      for (const how of [
        { cutAfter: 900 },
        { answer: 200, code: 'Nonsense' },
        { loseAnswer: true },
      ] satisfies Spoil[]) {
        proxy.spoil(/^GET.*continuation-token/, how)
        expect(await faultOf(keysOf(store.list('')))).toBe('server')
      }
      expect(await keysOf(store.list(''))).toHaveLength(25)
    })

    test('a slow store is waited for as long as it moves, a reader may take its time', async () => {
      const store = through({ idleMs: 400 })
      await store.put('t/a', made(MIB))
      proxy.spoil(/^GET/, { slowMs: 100 })
      const began = Date.now()
      const found = await store.get('t/a')
      expect(await sha256Of(found?.body)).toBe(made(MIB).sha256)
      expect(Date.now() - began).toBeGreaterThan(800)
      const again = await store.get('t/a')
      await sleep(900)
      expect(await sha256Of(again?.body)).toBe(made(MIB).sha256)
    })

    test('a clock that is wrong costs one failed request', async () => {
      const store = through()
      const date = new Date(Date.now() + 3_600_000).toUTCString()
      proxy.spoil(/^PUT/, { answer: 403, code: 'RequestTimeTooSkewed', headers: { date } })
      expect(await faultOf(store.put('t/a', uploadOf('a')))).toBe('server')
      await store.put('t/a', uploadOf('a')).catch((error: unknown) => error)
      const [first, second] = proxy.seen.map(({ headers }) => String(headers['x-amz-date']).slice(9, 11))
      expect(Number(second)).toBe((Number(first) + 1) % 24)
    })

    test('each body has its length, its MD5 and its signed SHA-256, and no chunk framing', async () => {
      await through().put('t/a', uploadOf('12345'))
      await through().put('t/b', made(3 * MIB))
      await through().put('t/c', made(12 * MIB))
      const puts = proxy.seen.filter((each) => each.line.startsWith('PUT'))
      expect(puts).toHaveLength(5)
      for (const { headers } of puts) {
        expect(headers).toMatchObject({
          'content-length': expect.stringMatching(/^\d+$/),
          'content-md5': expect.stringMatching(/^[\w+/]{22}==$/),
          'x-amz-content-sha256': expect.stringMatching(/^[0-9a-f]{64}$/),
          authorization: expect.stringContaining('x-amz-content-sha256'),
        })
        expect(headers['transfer-encoding'] ?? headers['content-encoding'] ?? headers['expect']).toBeUndefined()
      }
    })

    test('what is put beside an object is signed with it', async () => {
      for (const size of [5, 3 * MIB, 12 * MIB]) {
        await through().put('t/a', { ...made(size), metadata: { word: 'eNqrVg==' } })
      }
      const begun = proxy.seen.filter(({ headers }) => headers['x-amz-meta-word'] === 'eNqrVg==')
      expect(begun.map(({ line }) => line.split(' ')[0])).toEqual(['PUT', 'PUT', 'POST'])
      for (const { headers } of begun)
        expect(headers['authorization']).toMatch(/SignedHeaders=[^,]*;x-amz-meta-sha256;x-amz-meta-word/)
    })

    test('connections are kept, and are bounded', async () => {
      const store = through({ connections: 4 })
      await Promise.all(Array.from({ length: 40 }, (_, at) => store.put(`t/${at}`, uploadOf('x'))))
      expect(proxy.connections()).toBeLessThanOrEqual(4)
    })

    test('parts that somebody else aborted are `server`: the next try begins anew', async () => {
      const store = through()
      proxy.onSeen(/^PUT.*partNumber=2/, async (line) => {
        const [, key = '', id = ''] = /^PUT \/[^/]+\/([^?]+)\?.*uploadId=([^&]+)/.exec(line) ?? []
        const which = { Bucket: bucket.name, Key: key, UploadId: decodeURIComponent(id) }
        await bucket.raw.send(new AbortMultipartUploadCommand(which))
      })
      expect(await faultOf(store.put('t/a', made(12 * MIB)))).toBe('server')
    })
  })
})

const PIECE = 65_536

/** The same bytes at each reading, made as they are read. */
function* pieces(size: number, salt = 0): Generator<Buffer> {
  for (let at = 0; at < size; at += PIECE) yield Buffer.alloc(Math.min(PIECE, size - at), (at / PIECE + salt) % 251)
}

function made(size: number): Upload {
  const hash = createHash('sha256')
  for (const piece of pieces(size)) hash.update(piece)
  const open = () => Readable.from(pieces(size), { objectMode: false })
  return { sizeBytes: size, sha256: hash.digest('hex'), contentType: 'message/rfc822', open }
}

function* torn(size: number): Generator<Buffer> {
  yield* pieces(Math.floor(size / 2))
  throw new Error('torn')
}

async function* slowly(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  for (const chunk of chunks) {
    await sleep(3)
    yield chunk
  }
}

async function faultOf(work: Promise<unknown> | undefined): Promise<string> {
  try {
    await work
    return 'none'
  } catch (error) {
    return error instanceof BlobError ? error.fault : `not a BlobError: ${String(error)}`
  }
}

async function keysOf(listed: AsyncIterable<{ key: string }>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of listed) keys.push(key)
  return keys
}

async function sha256Of(body: Readable | undefined): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of body ?? []) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function md5Of(upload: Upload): Promise<string> {
  const hash = createHash('md5')
  for await (const chunk of upload.open()) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
