// What every object store must do, run by each adapter's test on the real engine.

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KEY_BYTES_MAX } from './key.ts'
import { BlobError, type BlobStore, type Upload } from './blob.ts'

/** One empty store and what a test may do to its engine. */
export interface BlobFixture {
  store: BlobStore
  /** What is put beside an object comes back with it. */
  keepsMetadata: boolean
  /** Makes the engine fail until the returned function is called. */
  outage(): Promise<() => Promise<void>>
  /** Nothing may be left over by a failed put; throws if something is. */
  checkClean(): Promise<void>
  close(): Promise<void>
}

const BIG_BYTES = 60 * 1024 * 1024

/** A body of `bytes`, in one piece. */
export function uploadOf(bytes: Buffer | string, sha256?: string): Upload {
  const body = Buffer.from(bytes)
  return {
    sizeBytes: body.length,
    sha256: sha256 ?? createHash('sha256').update(body).digest('hex'),
    contentType: 'message/rfc822',
    open: () => Readable.from([body], { objectMode: false }),
  }
}

const faultOf = async (work: Promise<unknown>) => {
  try {
    await work
    return 'none'
  } catch (error) {
    return error instanceof BlobError ? error.fault : `not a BlobError: ${String(error)}`
  }
}

const textOf = async (store: BlobStore, key: string) => {
  const found = await store.get(key)
  return found === undefined ? undefined : Buffer.concat(await found.body.toArray()).toString()
}

const keysOf = async (store: BlobStore, prefix: string) => {
  const keys: string[] = []
  for await (const stored of store.list(prefix)) keys.push(stored.key)
  return keys
}

/** Runs the suite on fresh stores from `make`. */
export function blobStoreContract(name: string, make: () => Promise<BlobFixture>): void {
  describe(`object store: ${name}`, () => {
    let fixture: BlobFixture
    beforeEach(async () => {
      fixture = await make()
    })
    afterEach(() => fixture.close())

    whatIsStored(() => fixture.store)
    whatIsRefused(() => fixture)
    names(() => fixture.store)

    test('what was put beside an object comes back with it, where the engine keeps that', async () => {
      const { store, keepsMetadata } = fixture
      const metadata = { tenant: 'acme', word: `eNr${'A+/9'.repeat(400)}=` }
      await store.put('t/a', { ...uploadOf('a'), metadata })
      expect((await store.get('t/a'))?.metadata).toEqual(keepsMetadata ? expect.objectContaining(metadata) : undefined)
      await store.put('t/a', uploadOf('a'))
      expect((await store.get('t/a'))?.metadata?.['word']).toBeUndefined()
    })

    test('an engine that fails is `server`, and the same store works when it is back', async () => {
      const { store } = fixture
      await store.put('t/before', uploadOf('1'))
      const mend = await fixture.outage()
      expect(await faultOf(store.put('t/during', uploadOf('2')))).toBe('server')
      expect(await faultOf(store.get('t/before'))).toBe('server')
      expect(await faultOf(store.delete('t/before'))).toBe('server')
      await mend()
      await store.put('t/during', uploadOf('2'))
      expect(await keysOf(store, '')).toEqual(['t/before', 't/during'])
      await fixture.checkClean()
    })
  })
}

function whatIsStored(store: () => BlobStore): void {
  test('what was put is there: bytes, length, time, and its mark', async () => {
    const stored = await store().put('acme/2026/01/02/x.eml', uploadOf('From: a\r\n\r\nhi'))
    expect(stored).toMatchObject({ key: 'acme/2026/01/02/x.eml', sizeBytes: 13 })
    expect(stored.etag).toMatch(/^[0-9a-f]{32,64}$/)
    expect(Math.abs(stored.modifiedAt - Date.now())).toBeLessThan(120_000)
    expect(await textOf(store(), stored.key)).toBe('From: a\r\n\r\nhi')
    expect(await store().head(stored.key)).toMatchObject({ sizeBytes: 13 })
  })

  test('what the caller has in memory is the same object as what it opens, and small ones come back so', async () => {
    const bytes = Buffer.from('x'.repeat(200_000))
    const opened = await store().put('t/opened', uploadOf(bytes))
    const inMemory = await store().put('t/memory', { ...uploadOf(bytes), bytes })
    expect(inMemory.etag).toBe(opened.etag)
    expect(await textOf(store(), 't/memory')).toBe(bytes.toString())
    const found = await store().get('t/memory')
    if (found?.bytes === undefined) found?.body.destroy()
    else expect(found.bytes.equals(bytes)).toBe(true)
  })

  test('an empty object is an object', async () => {
    await store().put('t/empty', uploadOf(''))
    expect(await textOf(store(), 't/empty')).toBe('')
    expect(await store().head('t/empty')).toMatchObject({ sizeBytes: 0 })
  })

  test('a repeated put changes nothing, and gives the same mark', async () => {
    const first = await store().put('t/a', uploadOf('same'))
    const second = await store().put('t/a', uploadOf('same'))
    expect(second.etag).toBe(first.etag)
    expect(await keysOf(store(), '')).toEqual(['t/a'])
  })

  test('concurrent puts of one key leave one whole object', async () => {
    await Promise.all(Array.from({ length: 8 }, () => store().put('t/x/same', uploadOf('x'.repeat(100_000)))))
    expect(await textOf(store(), 't/x/same')).toHaveLength(100_000)
    expect(await keysOf(store(), 't/')).toEqual(['t/x/same'])
  })

  test('what is missing is undefined, and deleting it resolves', async () => {
    expect(await store().get('t/none')).toBeUndefined()
    expect(await store().head('t/none')).toBeUndefined()
    await store().delete('t/none')
    await store().put('t/a', uploadOf('a'))
    await store().delete('t/a')
    await store().delete('t/a')
    expect(await store().head('t/a')).toBeUndefined()
    expect(await store().get('t')).toBeUndefined()
  })

  test('a body that is not read to its end can be destroyed', async () => {
    await store().put('t/a', uploadOf('x'.repeat(1_000_000)))
    const found = await store().get('t/a')
    found?.body.destroy()
    await store().delete('t/a')
    expect(await keysOf(store(), '')).toEqual([])
  })

  test('a large object passes in bounded memory', async () => {
    const upload = bigUpload()
    const before = process.memoryUsage().rss
    let peak = before
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
    await store().put('t/big', upload)
    const hash = createHash('sha256')
    const found = await store().get('t/big')
    for await (const chunk of found?.body ?? []) hash.update(chunk as Buffer)
    clearInterval(watch)
    expect(hash.digest('hex')).toBe(upload.sha256)
    expect(peak - before).toBeLessThan(BIG_BYTES)
  })
}

/** Bytes made as they are read: they are never in memory at once. */
function bigUpload(): Upload {
  const piece = (at: number) => Buffer.alloc(65_536, at % 251)
  const hash = createHash('sha256')
  for (let at = 0; at < BIG_BYTES / 65_536; at += 1) hash.update(piece(at))
  function* pieces() {
    for (let at = 0; at < BIG_BYTES / 65_536; at += 1) yield piece(at)
  }
  const open = () => Readable.from(pieces(), { objectMode: false })
  return { sizeBytes: BIG_BYTES, sha256: hash.digest('hex'), contentType: 'message/rfc822', open }
}

function whatIsRefused(fixture: () => BlobFixture): void {
  async function* half() {
    yield Buffer.from('half')
    await turn()
    throw new Error('the disk under the source')
  }
  const broken = () => Readable.from(half(), { objectMode: false })
  test.each<[string, string, Partial<Upload>]>([
    ['digest', 'other bytes than promised', { sha256: '0'.repeat(64) }],
    ['digest', 'fewer bytes than promised', { sizeBytes: 6 }],
    ['digest', 'more bytes than promised', { sizeBytes: 4 }],
    ['digest', 'other bytes in memory than promised', { sha256: '0'.repeat(64), bytes: Buffer.from('12345') }],
    ['digest', 'fewer bytes in memory than promised', { sizeBytes: 6, bytes: Buffer.from('12345') }],
    ['client', 'a source that fails half-way', { open: broken, sizeBytes: 1_000_000 }],
  ])('%s: %s; nothing is stored', async (fault, _what, change) => {
    const { store } = fixture()
    expect(await faultOf(store.put('t/a', { ...uploadOf('12345'), ...change }))).toBe(fault)
    expect(await store.head('t/a')).toBeUndefined()
    expect(await keysOf(store, '')).toEqual([])
    await fixture().checkClean()
  })

  test('a put that fails leaves the earlier object as it was', async () => {
    const { store } = fixture()
    await store.put('t/a', uploadOf('good'))
    await faultOf(store.put('t/a', uploadOf('evil', '0'.repeat(64))))
    expect(await textOf(store, 't/a')).toBe('good')
  })

  test("a failed source's own error is the cause, so that the caller knows whose fault it was", async () => {
    const failing = fixture().store.put('t/a', { ...uploadOf('12345'), sizeBytes: 1_000_000, open: broken })
    await expect(failing).rejects.toMatchObject({ cause: { message: 'the disk under the source' } })
  })
}

function names(store: () => BlobStore): void {
  test.each([
    ['', 'empty'],
    ['/etc/passwd', 'absolute'],
    ['t/../x', 'a way out'],
    ['..', 'the parent'],
    ['t//x', 'an empty part'],
    ['t/', 'no name'],
    ['t/.tmp', 'dotted names are the adapter’s own'],
    ['t/a\0b', 'NUL'],
    ['t/a b', 'a space'],
    ['t/ä', 'not ASCII'],
    ['t\\..\\x', 'a backslash'],
    [`t/${'k'.repeat(199)}/${'k'.repeat(199)}/${'k'.repeat(199)}`, `over ${KEY_BYTES_MAX} bytes`],
    [`t/${'k'.repeat(201)}`, 'a part over 200 bytes'],
  ])('key %j is refused (%s)', async (key, _why) => {
    expect(await faultOf(store().put(key, uploadOf('x')))).toBe('client')
    expect(await faultOf(store().get(key))).toBe('client')
    expect(await faultOf(store().head(key))).toBe('client')
    expect(await faultOf(store().delete(key))).toBe('client')
  })

  test('every allowed character is kept', async () => {
    const key = "AZaz09/!_*'()=+@,-/a.b..c"
    await store().put(key, uploadOf('x'))
    expect(await keysOf(store(), '')).toEqual([key])
    expect(await textOf(store(), key)).toBe('x')
  })

  test('list is in byte order of the key, and the prefix is any start of it', async () => {
    const keys = ['a-b/x', 'a/b/c', 'a/b-c', 'a/B', 'ab', 'b/1', 'b/10', 'b/2']
    for (const key of keys) await store().put(key, uploadOf(key))
    expect(await keysOf(store(), '')).toEqual(keys.toSorted())
    expect(await keysOf(store(), 'a')).toEqual(['a-b/x', 'a/B', 'a/b-c', 'a/b/c', 'ab'])
    expect(await keysOf(store(), 'a/b')).toEqual(['a/b-c', 'a/b/c'])
    expect(await keysOf(store(), 'a/b/')).toEqual(['a/b/c'])
    expect(await keysOf(store(), 'b/1')).toEqual(['b/1', 'b/10'])
    expect(await keysOf(store(), 'zzz')).toEqual([])
    expect(await keysOf(store(), '../')).toEqual([])
  })
}
