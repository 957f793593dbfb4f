import { expect, test } from 'vitest'
import type { SpoolObserver, SpoolReader } from './contract.ts'
import { SpoolError } from './fault.ts'
import { inspect } from './inspect.ts'
import { MemFs } from './memfs.ts'
import { openReader } from './reader.ts'
import { bodyOf, drain, idOf, message, put, readAll, testOptions, TurnClock } from './testing/rig.ts'
import { openWriter } from './writer.ts'

const SMALL = 300
const LARGE = 1500

async function spoolOf(
  count: number,
  { bytes = SMALL, limits = {} }: { bytes?: number; limits?: Record<string, number> } = {},
) {
  const disk = new MemFs()
  const options = testOptions(disk, { limits })
  const writer = await openWriter(options)
  for (let n = 1; n <= count; n++) await put(writer, message(n, bytes))
  return { disk, options, writer }
}

const idsOf = (found: { id: string }[]) => found.map(({ id }) => id)
const turns = async (count: number) => {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve))
}

test('entries come in order, with envelope, size, checksum and bytes, and may be opened again', async () => {
  const { options } = await spoolOf(3)
  const reader = await openReader(options)
  const seen: string[] = []
  await drain(reader, options.clock, async (entry) => {
    seen.push(entry.id)
    expect(entry.envelope).toEqual({ id: entry.id })
    expect(entry.sizeBytes).toBe(SMALL)
    expect(entry.receivedAt).toBe(options.clock.now())
    expect(await bodyOf(entry)).toEqual(await bodyOf(entry))
  })
  expect(seen).toEqual([idOf(1), idOf(2), idOf(3)])
})

test('a small body comes along in memory, its own, also behind damage; a large one does not', async () => {
  const { disk, options, writer } = await spoolOf(2)
  await put(writer, message(3, LARGE))
  await put(writer, message(4, SMALL))
  await writer.close()
  await put(await openWriter(options), message(5, SMALL))
  const [name = ''] = disk.files('/spool/log')
  disk.edit(name, (bytes) => flip(bytes, 200))
  const reader = await openReader(options)
  const given: (Buffer | undefined)[] = []
  await drain(reader, options.clock, async ({ bytes }) => void given.push(bytes))
  const bodies = [2, 3, 4, 5].map((n) => (n === 3 ? undefined : message(n, SMALL).body))
  expect(given).toEqual(bodies)
})

test('what is committed while the reader waits is yielded, across segments', async () => {
  const { options, writer } = await spoolOf(0, { limits: { segmentBytes: 600 } })
  const reader = await openReader(options)
  for (let n = 1; n <= 5; n++) {
    await put(writer, message(n, n % 2 === 0 ? LARGE : SMALL))
    expect(await readAll(reader, options.clock)).toEqual([message(n, n % 2 === 0 ? LARGE : SMALL)])
  }
})

test('wake() cuts the wait at the end of the log', async () => {
  const { options, writer } = await spoolOf(0)
  const clock = new TurnClock()
  const never = { now: clock.now, monotonic: clock.monotonic, sleep: forever }
  let reader: SpoolReader | undefined
  const observe: Partial<SpoolObserver> = { committed: () => reader?.wake() }
  await writer.close()
  const waking = await openWriter({ ...options, observe })
  reader = await openReader({ ...options, clock: never })
  const stop = new AbortController()
  const first = reader.entries(stop.signal)[Symbol.asyncIterator]().next()
  await turns(5)
  await put(waking, message(1, SMALL))
  expect((await first).value?.id).toBe(idOf(1))
  stop.abort()
})

function forever(_ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted'))))
}

test('no more than windowEntries are handed out, and all that wait are counted', async () => {
  const { options } = await spoolOf(5, { limits: { windowEntries: 2 } })
  const reader = await openReader(options)
  expect(reader.stats()).toMatchObject({ pendingMessages: 5, pendingBytes: 5 * SMALL })
  expect(idsOf(await readAll(reader, options.clock))).toEqual([idOf(1), idOf(2)])
  await reader.done(idOf(1))
  expect(idsOf(await readAll(reader, options.clock))).toEqual([idOf(3)])
  expect(reader.stats()).toMatchObject({ pendingMessages: 4, oldestReceivedAt: options.clock.now() })
})

test('what is committed behind a full window is counted in time', async () => {
  const { options, writer } = await spoolOf(2, { limits: { windowEntries: 1, surveyMs: 5 } })
  const reader = await openReader(options)
  await readAll(reader, options.clock)
  await put(writer, message(3, LARGE))
  await turns(100)
  expect(reader.stats()).toMatchObject({ pendingMessages: 3, pendingBytes: 2 * SMALL + LARGE })
  await reader.close()
})

test('a restart yields what is not done, also out of order', async () => {
  const { options } = await spoolOf(5)
  const reader = await openReader(options)
  await readAll(reader, options.clock)
  for (const n of [2, 4, 5]) await reader.done(idOf(n))
  await reader.close()
  const again = await openReader(options)
  expect(idsOf(await readAll(again, options.clock))).toEqual([idOf(1), idOf(3)])
})

test('done segments and bodies are removed, the newest segment never', async () => {
  const { disk, options, writer } = await spoolOf(0, { limits: { segmentBytes: 600 } })
  const reader = await openReader(options)
  for (let n = 1; n <= 4; n++) await put(writer, message(n, n === 2 ? LARGE : SMALL))
  expect(disk.files('/spool/large')).toHaveLength(1)
  const segments = disk.files('/spool/log')
  expect(segments.length).toBeGreaterThan(2)
  for (const { id } of await readAll(reader, options.clock)) await reader.done(id)
  await readAll(reader, options.clock)
  await reader.close()
  expect(disk.files('/spool/large')).toEqual([])
  expect(disk.files('/spool/log')).toEqual(segments.slice(-1))
})

test('one entry that is not done pins its segment and no other', async () => {
  const { disk, options, writer } = await spoolOf(0, { limits: { segmentBytes: 600 } })
  const reader = await openReader(options)
  for (let n = 1; n <= 4; n++) await put(writer, message(n, SMALL))
  const [first, , , newest] = disk.files('/spool/log')
  for (const { id } of await readAll(reader, options.clock)) if (id !== idOf(1)) await reader.done(id)
  await readAll(reader, options.clock)
  await reader.close()
  expect(disk.files('/spool/log')).toEqual([first, newest])
})

test.each([SMALL, LARGE])(
  'an entry of %i bytes that is set aside is kept with its reason, and pins nothing',
  async (bytes) => {
    const { options } = await spoolOf(2, { bytes })
    const reader = await openReader(options)
    await readAll(reader, options.clock)
    await reader.setAside(idOf(1), 'the parser refused it')
    await reader.done(idOf(2))
    expect(reader.stats()).toMatchObject({ pendingMessages: 0, asideMessages: 1 })
    await reader.close()
    const again = await openReader(options)
    expect(await readAll(again, options.clock)).toEqual([])
    expect(again.stats().asideMessages).toBe(1)
    const kept = await inspect(options).find(idOf(1))
    expect(kept).toMatchObject({
      state: 'aside',
      reason: 'the parser refused it',
      sizeBytes: bytes,
      envelope: { id: idOf(1) },
    })
    if (kept !== undefined) expect(await bodyOf(kept)).toEqual(message(1, bytes).body)
  },
)

test('a bad tail of the newest segment is not yet there; it is read once it is whole', async () => {
  const { disk, options, writer } = await spoolOf(2)
  const [path = ''] = disk.files('/spool/log')
  const whole = disk.bytes(path)
  await writer.close()
  disk.edit(path, (bytes) => bytes.subarray(0, bytes.length - 10))
  const reader = await openReader(options)
  expect(idsOf(await readAll(reader, options.clock))).toEqual([idOf(1)])
  disk.edit(path, () => whole)
  expect(idsOf(await readAll(reader, options.clock))).toEqual([idOf(2)])
})

test('a torn tail that a recovering writer cuts under a reader is skipped by none', async () => {
  const { disk, options, writer } = await spoolOf(2)
  const [path = ''] = disk.files('/spool/log')
  await writer.close()
  const whole = disk.bytes(path).length
  disk.edit(path, (bytes) => bytes.subarray(0, bytes.length - 10))
  const reader = await openReader(options)
  await readAll(reader, options.clock)
  const again = await openWriter(options)
  expect(disk.bytes(path).length).toBeLessThan(whole - 10)
  await put(again, message(3, SMALL))
  expect(idsOf(await readAll(reader, options.clock))).toEqual([idOf(3)])
  expect(disk.files('/spool/aside').filter((name) => name.endsWith('.bytes'))).toHaveLength(1)
})

test.each([
  ['the same writer goes on', false],
  ['a writer that was started anew goes on', true],
])('a segment that its writer took back, under a reader that has it open, holds nothing up: %s', async (_, restart) => {
  const { disk, options, writer } = await spoolOf(0)
  const reader = await openReader(options)
  // The disk fills in the middle of the segment's first write; before the segment goes, the reader finds it.
  const unlink = disk.unlink.bind(disk)
  disk.unlink = async (path) => {
    if (path.endsWith('.seg')) await readAll(reader, options.clock)
    return unlink(path)
  }
  disk.fail({ call: 'write', path: '/log/', nth: 1, error: 'short' })
  disk.fail({ call: 'write', path: '/log/', nth: 2, error: 'ENOSPC' })
  await expect(put(writer, message(1, SMALL))).rejects.toMatchObject({ fault: 'full' })
  disk.unlink = unlink
  if (restart) await writer.close()
  const next = restart ? await openWriter(options) : writer
  await put(next, message(2, SMALL))
  expect(await readAll(reader, options.clock)).toEqual([message(2, SMALL)])
  expect(reader.stats().pendingMessages).toBe(1)
})

test('a damaged position file means doing the work again, and is reported', async () => {
  const { disk, options } = await spoolOf(2)
  const reader = await openReader(options)
  for (const { id } of await readAll(reader, options.clock)) await reader.done(id)
  await reader.close()
  disk.edit('/spool/reader.pos', (bytes) => flip(bytes, bytes.length - 5))
  const damaged: string[] = []
  const again = await openReader({ ...options, observe: { damaged: (what) => damaged.push(what) } })
  expect(idsOf(await readAll(again, options.clock))).toEqual([idOf(1), idOf(2)])
  expect(damaged).toEqual(['reader.pos fails its checksum'])
})

test('a full disk does not keep the reader from making room', async () => {
  const { disk, options, writer } = await spoolOf(0, { limits: { segmentBytes: 600 } })
  const reader = await openReader(options)
  for (let n = 1; n <= 3; n++) await put(writer, message(n, n === 2 ? LARGE : SMALL))
  disk.fail({ call: 'write', path: 'reader.pos', nth: 1, times: 1000, error: 'ENOSPC' })
  for (const { id } of await readAll(reader, options.clock)) await reader.done(id)
  await readAll(reader, options.clock)
  await turns(50)
  expect(disk.files('/spool/log')).toHaveLength(1)
})

test('a reader short of file handles goes on when there are some', async () => {
  const { disk, options } = await spoolOf(2, { bytes: LARGE })
  const reader = await openReader(options)
  disk.fail({ call: 'open', path: '/log/', nth: 1, times: 3, error: 'EMFILE' })
  expect(await readAll(reader, options.clock)).toEqual([])
  await readAll(reader, options.clock)
  await readAll(reader, options.clock)
  expect(await readAll(reader, options.clock)).toEqual([message(1, LARGE), message(2, LARGE)])
})

test('a disk that cannot be read stops the reader with a fault', async () => {
  const { disk, options } = await spoolOf(1)
  const reader = await openReader(options)
  disk.fail({ call: 'read', path: '/log/', nth: 1, error: 'EIO' })
  await expect(readAll(reader, options.clock)).rejects.toThrow(SpoolError)
  await expect(reader.done(idOf(1))).rejects.toMatchObject({ fault: 'poisoned' })
})

test('done() and setAside() of an unknown id resolve', async () => {
  const { options } = await spoolOf(1)
  const reader = await openReader(options)
  await reader.done(idOf(77))
  await reader.setAside(idOf(77), 'unknown')
  expect(reader.stats()).toMatchObject({ pendingMessages: 1, asideMessages: 0 })
})

function flip(bytes: Buffer, at: number): Buffer {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at)
  return bytes
}
