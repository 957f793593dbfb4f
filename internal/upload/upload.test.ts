import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BlobError, type BlobStore, type Upload } from '../blob/blob.ts'
import { envelopeAlong, eventId, messageId, objectKeys } from '../envelope/envelope.ts'
import {
  bytesOf,
  clock,
  entryId,
  envelopeOf,
  lockLog,
  makeRig,
  obstruct,
  type Interference,
  type Rig,
} from './testing/rig.ts'
import type { Entry } from './upload.ts'

let rig: Rig
beforeEach(async () => {
  rig = await makeRig()
})
afterEach(() => rig.close())

const keysOf = (n: number, tenant = 'acme') =>
  objectKeys(tenant, envelopeOf(n).receivedAt, messageId(entryId(n), tenant))
const eventsOf = (n: number, tenant = 'acme') =>
  ['ingest.received', 'objectstore.uploaded'].map((type) => eventId(type, messageId(entryId(n), tenant)))
const drain = async (rigged: Rig) => {
  const life = await rigged.life()
  await life.drained()
  await life.stop()
}

/** Both objects and both events of each message, nothing else, nothing partial. */
async function expectWhole(messages: readonly (readonly [n: number, tenant: string])[]): Promise<void> {
  const { keys, events } = await rig.there()
  expect(keys).toEqual(messages.flatMap(([n, tenant]) => [keysOf(n, tenant).raw, keysOf(n, tenant).meta]).toSorted())
  expect([...new Set(events)].sort()).toEqual(messages.flatMap(([n, tenant]) => eventsOf(n, tenant)).sort())
  for (const [n, tenant] of messages) {
    expect(await readFile(join(rig.dir, 'objects', keysOf(n, tenant).raw))).toEqual(bytesOf(n))
  }
}

describe('what becomes of an entry', () => {
  test('two objects and two events, and the spool is empty', async () => {
    await rig.accept([{ n: 1 }, { n: 2 }])
    await drain(rig)
    await expectWhole([
      [1, 'acme'],
      [2, 'acme'],
    ])
    const [received, uploaded] = await rig.events.query({ subject: messageId(entryId(1), 'acme'), limit: 9 })
    expect(received?.event).toMatchObject({
      type: 'ingest.received',
      source: '/ingest/test/uploaderd',
      tenant: 'acme',
      time: envelopeOf(1).receivedAt,
      traceparent: envelopeOf(1).traceparent,
      data: { entryId: entryId(1), sizeBytes: bytesOf(1).length, senderDomain: 'example.org', rawKey: keysOf(1).raw },
    })
    expect(uploaded?.event).toMatchObject({ type: 'objectstore.uploaded', data: { metaKey: keysOf(1).meta } })
  })

  test('the envelope lies beside the bytes as well, the same to the byte, unless it is too long', async () => {
    const many = Array.from({ length: 400 }, (_, n) => ({
      address: `${entryId(n)}@mail.localhost`,
      tenant: 'acme',
      mailbox: 'orders@mail.localhost',
    }))
    await rig.accept([{ n: 1, envelope: envelopeOf(1, ['acme', 'beta']) }, { n: 2 }])
    await rig.accept([{ n: 3, envelope: { ...envelopeOf(3), recipients: many } }])
    const put = new Map<string, Upload>()
    const blobs: BlobStore = {
      ...rig.blobs,
      async put(key, upload) {
        put.set(key, upload)
        return rig.blobs.put(key, upload)
      },
    }
    const life = await rig.life({ change: { blobs } })
    await life.drained()
    await life.stop()
    for (const [n, tenant] of [
      [1, 'acme'],
      [1, 'beta'],
      [2, 'acme'],
    ] as const) {
      const { raw, meta } = keysOf(n, tenant)
      const facts = put.get(raw)?.metadata
      expect(envelopeAlong(facts, 10_000)).toEqual(await readFile(join(rig.dir, 'objects', meta)))
      expect(facts).toMatchObject({ tenant, entryid: entryId(n), messageid: messageId(entryId(n), tenant) })
    }
    const { raw, meta } = keysOf(3)
    expect((await readFile(join(rig.dir, 'objects', meta))).length).toBeGreaterThan(10_000)
    expect(Object.keys(put.get(raw)?.metadata ?? {}).sort()).toEqual([
      'entryid',
      'messageid',
      'sha256',
      'tenant',
      'traceparent',
    ])
  })

  test('two tenants are two messages, each without the other', async () => {
    await rig.accept([{ n: 1, envelope: envelopeOf(1, ['acme', 'beta']) }])
    await drain(rig)
    await expectWhole([
      [1, 'acme'],
      [1, 'beta'],
    ])
    expect(await readFile(join(rig.dir, 'objects', keysOf(1, 'beta').meta), 'utf8')).not.toContain('acme')
  })

  test('mail to nobody leaves the spool, and no object and no event tells of it', async () => {
    const discarded = [{ address: 'nobody@mail.example', tenant: null }]
    await rig.accept([{ n: 1, envelope: { ...envelopeOf(1), recipients: [], discarded } }, { n: 2 }])
    const life = await rig.life({})
    await life.drained()
    await life.stop()
    await expectWhole([[2, 'acme']])
    expect((await rig.there()).events).toHaveLength(2)
  })

  test('entries of one append: while one runs the next gathers, and each event is there once', async () => {
    const all = Array.from({ length: 30 }, (_, n) => n)
    await rig.accept(all.map((n) => ({ n })))
    let appends = 0
    const interfere: Interference = async (step, when) => {
      if (step === 'append' && when === 'before') {
        appends += 1
        await sleep(20)
      }
    }
    const life = await rig.life({ interfere, concurrency: 16 })
    await life.drained()
    await life.stop()
    expect(appends).toBeLessThan(20)
    expect((await rig.there()).events).toHaveLength(60)
    await expectWhole(all.map((n) => [n, 'acme'] as const))
  })

  test('while the log is away objects are put all the same, and then its events follow together', async () => {
    const all = Array.from({ length: 30 }, (_, n) => n)
    await rig.accept(all.map((n) => ({ n })))
    const { promise: back, resolve: comesBack } = Promise.withResolvers<void>()
    let appends = 0
    const interfere: Interference = async (step, when) => {
      if (step !== 'append' || when === 'after') return
      appends += 1
      await back
    }
    const life = await rig.life({ interfere, concurrency: 3 })
    while ((await rig.there()).keys.length < 60) await sleep(5)
    expect((await rig.there()).events).toEqual([])
    comesBack()
    await life.drained()
    await life.stop()
    expect(appends).toBeLessThan(5)
    await expectWhole(all.map((n) => [n, 'acme'] as const))
  })

  test('no more entries are under way than allowed', async () => {
    await rig.accept(Array.from({ length: 20 }, (_, n) => ({ n })))
    let now = 0
    let most = 0
    const interfere: Interference = async (step, when) => {
      if (step !== 'put') return
      now += when === 'before' ? 1 : -1
      most = Math.max(most, now)
      if (when === 'before') await sleep(2)
    }
    const life = await rig.life({ interfere, concurrency: 3 })
    await life.drained()
    await life.stop()
    expect(most).toBe(3)
  })
})

describe('a process that dies between two steps', () => {
  // put 1 and 2: acme's objects; 3 and 4: beta's.
  const points = [
    ...[1, 2, 3, 4].flatMap((n) => (['before', 'after'] as const).map((when) => ['put', when, n] as const)),
    ...(['append', 'done'] as const).flatMap((step) =>
      (['before', 'after'] as const).map((when) => [step, when, 1] as const),
    ),
  ]
  test.each(points)('%s, %s call %d: the next life ends with the same keys and ids', async (step, when, n) => {
    await rig.accept([{ n: 1, envelope: envelopeOf(1, ['acme', 'beta']) }])
    const { promise: reached, resolve: died } = Promise.withResolvers<void>()
    const interfere: Interference = (...call) => {
      if (call.join() !== [step, when, n].join()) return undefined
      died()
      return new Promise<never>(() => undefined)
    }
    const first = await rig.life({ interfere })
    await reached
    await first.kill()
    if (step === 'put') expect((await rig.there()).events).toEqual([])
    await drain(rig)
    await expectWhole([
      [1, 'acme'],
      [1, 'beta'],
    ])
    await drain(rig)
    expect((await rig.there()).events.length).toBeLessThanOrEqual(8)
  })

  test('a stop in the middle of many loses none and ends run()', async () => {
    const all = Array.from({ length: 40 }, (_, n) => n)
    await rig.accept(all.map((n) => ({ n })))
    for (let lives = 0; lives < 5; lives += 1) {
      const life = await rig.life({ concurrency: 5 })
      await sleep(10)
      await life.stop()
    }
    await drain(rig)
    await expectWhole(all.map((n) => [n, 'acme'] as const))
  })
})

describe('what is down comes back', () => {
  test('object store: nothing is published or let go meanwhile, and everything flows on', async () => {
    await rig.accept([{ n: 1 }])
    await drain(rig)
    await rig.accept([{ n: 2 }, { n: 3 }])
    const mend = await obstruct(join(rig.dir, 'objects'))
    const life = await rig.life()
    await sleep(150)
    expect(life.reader.stats().pendingMessages).toBe(2)
    expect(await rig.events.query({ limit: 9 })).toHaveLength(2)
    expect(await life.registry.metrics()).toContain('circuit_breaker_open{target="objectstore"} 1')
    expect(await life.registry.metrics()).toContain('spool_messages{state="deferred"} 2')
    expect(await life.registry.metrics()).toMatch(/spool_oldest_message_timestamp_seconds{state="deferred"} 1\d{9}/)
    expect(await life.registry.metrics()).toMatch(/spool_bytes [1-9]/)
    await mend()
    await life.drained()
    expect(await life.registry.metrics()).toContain('circuit_breaker_open{target="objectstore"} 0')
    await life.stop()
    await expectWhole([
      [1, 'acme'],
      [2, 'acme'],
      [3, 'acme'],
    ])
  })

  test('event log: the spool keeps the entry until the log has acknowledged', async () => {
    await rig.accept([{ n: 1 }])
    const unlock = lockLog(rig.dir)
    const life = await rig.life()
    await sleep(2300)
    expect(life.reader.stats().pendingMessages).toBe(1)
    expect(await life.registry.metrics()).toContain('circuit_breaker_open{target="eventlog"} 1')
    unlock()
    await life.drained()
    await life.stop()
    await expectWhole([[1, 'acme']])
  })

  test('a target that fails for 10 s is a problem, with its name, until it works', async () => {
    await rig.accept([{ n: 1 }])
    let later = 0
    let down = true
    const interfere: Interference = (step) => {
      if (step === 'put' && down) throw new BlobError('client', 'PUT acme/x: 403 AccessDenied')
    }
    const life = await rig.life({
      interfere,
      change: { clock: { ...clock, monotonic: () => performance.now() + later } },
    })
    await sleep(100)
    expect(life.problem()).toBeUndefined()
    later = 10_000
    expect(life.problem()).toBe('objectstore fails since 10 s: PUT acme/x: 403 AccessDenied')
    down = false
    await life.drained()
    expect(life.problem()).toBeUndefined()
    await life.stop()
  })

  test('a stop while something is down ends at once', async () => {
    await rig.accept([{ n: 1 }])
    const interfere: Interference = (step) => {
      if (step === 'put') throw new BlobError('server', 'down')
    }
    const life = await rig.life({ interfere, change: { retryMaxMs: 3_600_000 } })
    await sleep(500)
    const began = Date.now()
    await life.stop()
    expect(Date.now() - began).toBeLessThan(200)
    await drain(rig)
    await expectWhole([[1, 'acme']])
  })

  test('a done that fails is tried again', async () => {
    await rig.accept([{ n: 1 }])
    const interfere: Interference = (step, when, n) => {
      if (step === 'done' && when === 'before' && n < 3) throw new Error('the disk of the spool')
    }
    const life = await rig.life({ interfere })
    await life.drained()
    await life.stop()
    expect((await rig.there()).events).toHaveLength(2)
  })
})

describe('what no further try mends is set aside, and its neighbours flow', () => {
  test('bytes damaged in the spool: a large body, which has a file of its own', async () => {
    const large = Buffer.alloc(400_000, 'large ')
    await rig.accept([{ n: 1 }, { n: 2, bytes: large }, { n: 3 }])
    const directory = join(rig.dir, 'spool/large')
    const [name = ''] = await readdir(directory)
    await writeFile(join(directory, name), large.fill('L', 200_000, 200_001))
    const life = await rig.life()
    await life.drained()
    expect(life.reader.stats().asideMessages).toBe(1)
    await life.stop()
    expect(rig.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields)).toMatchObject([
      { entryId: entryId(2), reason: 'damaged' },
    ])
    await expectWhole([
      [1, 'acme'],
      [3, 'acme'],
    ])
  })

  test('an envelope that is none', async () => {
    await rig.accept([{ n: 1 }, { n: 2, envelope: { entryId: entryId(2) } }, { n: 3 }])
    const life = await rig.life()
    await life.drained()
    expect(life.reader.stats().asideMessages).toBe(1)
    expect(await life.registry.metrics()).toContain('spool_messages{state="aside"} 1')
    await life.stop()
    expect(rig.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields)).toMatchObject([
      { entryId: entryId(2), reason: 'envelope' },
    ])
    await expectWhole([
      [1, 'acme'],
      [3, 'acme'],
    ])
  })

  test('a store that says `digest` of good bytes is not believed: it is tried again', async () => {
    await rig.accept([{ n: 1 }])
    const interfere: Interference = (step, when, n) => {
      if (step === 'put' && when === 'after' && n < 3) throw new BlobError('digest', 'read back others')
    }
    const life = await rig.life({ interfere })
    await life.drained()
    expect(life.reader.stats().asideMessages).toBe(0)
    await life.stop()
    await expectWhole([[1, 'acme']])
  })
})

describe('bytes that the spool had in memory', () => {
  test('are put from there, and read anew after a store has got others', async () => {
    await rig.accept([{ n: 1 }])
    const tries: (string | undefined)[] = []
    const put: BlobStore['put'] = async (key, upload) => {
      if (!key.endsWith('.eml')) return rig.blobs.put(key, upload)
      tries.push(upload.bytes?.toString())
      if (upload.bytes === undefined) return rig.blobs.put(key, upload)
      upload.bytes.fill('!')
      throw new BlobError('digest', 'PUT: 400 XAmzContentSHA256Mismatch')
    }
    const life = await rig.life({ change: { blobs: { ...rig.blobs, put } } })
    await life.drained()
    await life.stop()
    expect(tries).toEqual([bytesOf(1).toString(), undefined])
    await expectWhole([[1, 'acme']])
  })

  test('are let go when the objects are there: thousands may wait for the log', async () => {
    const bytes = bytesOf(1)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const facts = { id: entryId(1), envelope: envelopeOf(1), sizeBytes: bytes.length, sha256, receivedAt: 0 }
    const entry: Entry = { ...facts, open: () => Readable.from([bytes]), bytes }
    const { promise: done, resolve: isDone } = Promise.withResolvers<void>()
    const reader = {
      async *entries() {
        yield entry
        await done
      },
      done: async () => isDone(),
      setAside: async () => isDone(),
      stats: () => ({ pendingMessages: 0, pendingBytes: 0, asideMessages: 0, oldestReceivedAt: undefined }),
    }
    const held: (Buffer | undefined)[] = []
    const change = { reader, log: { append: async () => void held.push(entry.bytes) } }
    const life = await rig.life({ change })
    await done
    await life.stop()
    expect(held).toEqual([undefined])
    expect((await rig.there()).keys).toHaveLength(2)
  })
})

test('a stage that meets a bug ends with it, and leaves nothing under way', async () => {
  const broken = {
    async *entries() {
      const facts = { id: entryId(1), envelope: envelopeOf(1), sizeBytes: 9, sha256: '', receivedAt: 0 }
      yield { ...facts, open: () => Readable.from(['x']) }
      throw new Error('the spool cannot be read')
    },
    done: async () => undefined,
    setAside: async () => undefined,
    stats: () => ({ pendingMessages: 0, pendingBytes: 0, asideMessages: 0, oldestReceivedAt: undefined }),
  }
  const life = await rig.life({ change: { reader: broken } })
  expect(await life.ended).toMatchObject({ message: 'the spool cannot be read' })
  expect((await rig.there()).events).toEqual([])
  await life.reader.close()
})
