// Corruption at rest (durability.md T22, T27): whatever happens to a file while nobody looks is detected, kept aside and told, and the
// entries beside it are still delivered.
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { HEADER_BYTES } from './frame.ts'
import { inspect, type Finding } from './inspect.ts'
import { MemFs } from './memfs.ts'
import { openReader } from './reader.ts'
import { bodyOf, drain, idOf, message, put, readAll, testOptions, TurnClock, type Message } from './testing/rig.ts'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment.ts'
import { openWriter } from './writer.ts'

const PAGE = 4096
const sent = [1, 2, 3, 4, 5].map((n) => message(n, n === 3 ? 9000 : 500))

/** Five messages, the third large, in two segments: 1 2 3 | 4 5. */
async function filled() {
  const disk = new MemFs()
  const options = testOptions(disk)
  const writer = await openWriter(options)
  for (const each of sent.slice(0, 3)) await put(writer, each)
  await writer.close()
  const second = await openWriter(options)
  for (const each of sent.slice(3)) await put(second, each)
  await second.close()
  const [older = '', newer = ''] = disk.files('/spool/log')
  return { disk, options, older, newer, large: `/spool/large/${idOf(3)}` }
}

/** Opens both sides and reads: which ids were delivered whole, and which failed while they were read. */
async function delivered(options: ReturnType<typeof testOptions>) {
  const damaged: string[] = []
  const whole: Message[] = []
  const failed: string[] = []
  const writer = await openWriter({ ...options, observe: { damaged: (what) => damaged.push(what) } })
  const reader = await openReader({ ...options, observe: { damaged: (what) => damaged.push(what) } })
  await drain(reader, options.clock, async (entry) => {
    try {
      whole.push({ id: entry.id, body: await bodyOf(entry) })
    } catch {
      failed.push(entry.id)
      await reader.setAside(entry.id, 'damaged')
    }
  })
  await reader.close()
  await writer.close()
  return { whole, failed, damaged }
}

async function findings(options: ReturnType<typeof testOptions>): Promise<Finding[]> {
  const found: Finding[] = []
  for await (const each of inspect(options).verify({ bodies: true })) found.push(each)
  return found
}

const but = (...ids: number[]) => sent.filter(({ id }) => !ids.map(idOf).includes(id))
const flipAt = (at: number) => (bytes: Buffer) => {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at)
  return bytes
}
const cutBy = (count: number) => (bytes: Buffer) => bytes.subarray(0, bytes.length - count)
const append = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(100, 0x5a)])
const zeroPage = (bytes: Buffer) => bytes.fill(0, 0, Math.min(PAGE, bytes.length))

type Which = 'older' | 'newer' | 'large'
const ROWS: [what: string, file: Which, change: (bytes: Buffer) => Buffer, lost: number[]][] = [
  ['a bit in the segment header', 'older', flipAt(20), []],
  ['a bit in the first frame header', 'older', flipAt(100), [1]],
  ['a bit in the first body', 'older', flipAt(400), [1]],
  ['a bit in the second frame', 'older', flipAt(900), [2]],
  ['the end cut off', 'older', cutBy(20), [3]],
  ['bytes appended', 'older', append, []],
  ['a page of zeros', 'older', zeroPage, [1, 2, 3]],
  ['a bit in the segment header', 'newer', flipAt(20), []],
  ['a bit in the first frame', 'newer', flipAt(400), [4]],
  ['a bit in the last frame', 'newer', flipAt(1100), [5]],
  ['the end cut off', 'newer', cutBy(20), [5]],
  ['bytes appended', 'newer', append, []],
  ['a page of zeros', 'newer', zeroPage, [4, 5]],
  ['a bit', 'large', flipAt(5000), [3]],
  ['the end cut off', 'large', cutBy(1), [3]],
  ['bytes appended', 'large', append, [3]],
  ['a page of zeros', 'large', zeroPage, [3]],
]

test.each(ROWS.map(([what, file, change, lost]) => ({ what, file, change, lost })))(
  '$what in the $file file: detected, kept, and the others delivered (lost: $lost)',
  async ({ file, change, lost }) => {
    const spool = await filled()
    const original = spool.disk.bytes(spool[file])
    spool.disk.edit(spool[file], change)
    const damage = spool.disk.bytes(spool[file])
    expect(await findings(spool.options)).not.toEqual([])
    const { whole, failed, damaged } = await delivered(spool.options)
    expect(whole).toEqual(but(...lost))
    expect(failed.length + damaged.length).toBeGreaterThan(0)
    // Only what shows in no length is found while the body is read.
    expect(failed).toEqual(file === 'large' && damage.length === original.length ? lost.map(idOf) : [])
    const kept = spool.disk.files('/spool/aside').map((path) => spool.disk.bytes(path))
    const wanted = firstDifference(original, damage)
    expect(kept.some((bytes) => bytes.includes(wanted))).toBe(true)
    // Once more: nothing is found twice, nothing more is lost.
    expect((await delivered(spool.options)).whole).toEqual(but(...lost))
  },
)

/** Some of the damaged bytes where they begin to differ: aside/ must have them. */
function firstDifference(original: Buffer, damage: Buffer): Buffer {
  let at = 0
  while (at < Math.min(original.length, damage.length) && original[at] === damage[at]) at++
  at = Math.min(at, damage.length - 8)
  return damage.subarray(at, at + 8)
}

test('a body that passes its CRC and not its SHA-256 is not handed out as bytes, and never read whole', async () => {
  const spool = await filled()
  spool.disk.edit(spool.older, (bytes) => {
    const frame = bytes.subarray(SEGMENT_HEADER_BYTES)
    const end = HEADER_BYTES + frame.readUInt32LE(48) + frame.readUInt32LE(52)
    flipAt(end - 100)(frame)
    frame.writeUInt32LE(crc32(frame.subarray(HEADER_BYTES, end)), 96)
    frame.writeUInt32LE(crc32(frame.subarray(0, 100)), 100)
    return bytes
  })
  const reader = await openReader(spool.options)
  const given = new Map<string, boolean>()
  await drain(reader, spool.options.clock, async (entry) => {
    given.set(entry.id, entry.bytes !== undefined)
    if (entry.id === idOf(1)) await expect(bodyOf(entry)).rejects.toMatchObject({ fault: 'damaged' })
  })
  expect([...given]).toEqual([1, 2, 3, 4, 5].map((n) => [idOf(n), n !== 1 && n !== 3]))
})

test.each([
  ['a bit flipped', flipAt(5000), /SHA-256/],
  ['one byte short', cutBy(1), /8999 of 9000 bytes/],
  ['longer', append, /9001 of 9000 bytes/],
] as const)(
  'a body that is damaged while its entry is in hand (%s) is never read whole',
  async (_what, change, text) => {
    const spool = await filled()
    const reader = await openReader(spool.options)
    let bytes = 0
    await drain(reader, spool.options.clock, async (entry) => {
      if (entry.id !== idOf(3)) return
      spool.disk.edit(spool.large, change)
      const reading = (async () => {
        for await (const chunk of entry.open()) bytes += (chunk as Buffer).length
      })()
      await expect(reading).rejects.toMatchObject({ fault: 'damaged', message: expect.stringMatching(text) as string })
    })
    expect(bytes).toBe(0)
  },
)

/** What is found when a writer opens behind a change of the newest segment, once the reader is done with these. */
async function reopened(done: readonly number[], change: (bytes: Buffer) => Buffer) {
  const { disk, options, newer } = await filled()
  const reader = await openReader(options)
  await drain(reader, options.clock, async ({ id }) => {
    if (done.map(idOf).includes(id)) await reader.done(id)
  })
  await reader.close()
  disk.edit(newer, change)
  const size = disk.bytes(newer).length
  const counts: Record<string, number> = {}
  await (await openWriter({ ...options, observe: { recovered: (what, count) => (counts[what] = count) } })).close()
  const told = []
  for await (const { id } of inspect(options).damaged()) told.push(id)
  return { counts, told, cut: size - disk.bytes(newer).length }
}

test('bad bytes before an entry that is done are no torn tail: they are counted, told and left in place', async () => {
  const { counts, told, cut } = await reopened([1, 2, 3, 5], flipAt(400))
  expect(counts).toMatchObject({ requeued: 0, partial: 0, corrupt: 1 })
  expect({ told, cut }).toEqual({ told: [idOf(4)], cut: 0 })
})

test('behind the last entry that is done a torn tail is one, whatever is damaged before it', async () => {
  const { counts, told, cut } = await reopened([1, 2, 3, 5], (bytes) => append(flipAt(400)(bytes)))
  expect(counts).toMatchObject({ requeued: 0, partial: 1, corrupt: 1 })
  expect({ told, cut }).toEqual({ told: [idOf(4)], cut: 100 })
})

/** Two messages in a segment whose writer goes on, with the first changed before a reader has seen it. */
async function writtenTo(change: (bytes: Buffer) => Buffer) {
  const disk = new MemFs()
  const clock = new TurnClock()
  const options = { ...testOptions(disk, { limits: { doubtMs: 1000 } }), clock }
  const writer = await openWriter(options)
  for (const each of sent.slice(0, 2)) await put(writer, each)
  const [segment = ''] = disk.files('/spool/log')
  disk.edit(segment, change)
  const damaged: string[] = []
  const reader = await openReader({ ...options, observe: { damaged: (what) => damaged.push(what) } })
  return { disk, clock, writer, reader, damaged, found: () => readAll(reader, clock) }
}

test.each([
  ['a bit in its first frame header', flipAt(100)],
  ['a bit in its first body', flipAt(400)],
  ['a bit in its own header', flipAt(20)],
])('%s: damage in the segment that is written to is passed once it has lasted, and told', async (what, change) => {
  const { clock, writer, reader, damaged, found } = await writtenTo(change)
  expect(reader.stats().pendingMessages).toBe(what.includes('own') ? 2 : 1)
  // It might be a write that is under way.
  expect(await found()).toEqual([])
  clock.time += 999
  expect(await found()).toEqual([])
  clock.time += 1
  expect(await found()).toEqual(what.includes('own') ? sent.slice(0, 2) : but(1).slice(0, 1))
  expect(damaged).toEqual([expect.stringMatching(/bytes set aside/)])
  await put(writer, message(4, 500))
  expect(await found()).toEqual([message(4, 500)])
})

test('bytes without a frame behind them are waited for, however long they take', async () => {
  const { disk, clock, damaged, found } = await writtenTo(flipAt(1100))
  expect(await found()).toEqual(sent.slice(0, 1))
  for (const ms of [1000, 1000, 60_000]) {
    clock.time += ms
    expect(await found()).toEqual([])
  }
  expect(damaged).toEqual([])
  disk.edit(disk.files('/spool/log')[0] ?? '', flipAt(1100))
  expect(await found()).toEqual(sent.slice(1, 2))
})

test('a missing large body is set aside with its envelope', async () => {
  const spool = await filled()
  await spool.disk.unlink(spool.large)
  expect((await delivered(spool.options)).whole).toEqual(but(3))
  expect(await inspect(spool.options).find(idOf(3))).toMatchObject({
    state: 'aside',
    reason: 'the body is missing',
    envelope: { id: idOf(3) },
  })
})

test('a file of large/ that no frame names is moved to aside/, not deleted', async () => {
  const spool = await filled()
  const file = await spool.disk.open(`/spool/large/${idOf(9)}`, 'create')
  await file.write([Buffer.from('never acknowledged')], 0)
  const recovered: Record<string, number> = {}
  const writer = await openWriter({
    ...spool.options,
    observe: { recovered: (outcome, count) => (recovered[outcome] = count) },
  })
  expect(recovered).toEqual({ requeued: 5, partial: 1, corrupt: 0 })
  expect(spool.disk.files('/spool/large')).toEqual([spool.large])
  expect(spool.disk.bytes(`/spool/aside/${idOf(9)}.partial`).toString()).toBe('never acknowledged')
  await writer.close()
})

test('a segment of an unknown format version is left alone, and the others are delivered', async () => {
  const spool = await filled()
  const foreign = `/spool/log/${'0'.repeat(15)}3-${'ab'.repeat(16)}.seg`
  const bytes = foreignSegment(Buffer.alloc(16, 0xab))
  const file = await spool.disk.open(foreign, 'create')
  await file.write([bytes], 0)
  const { whole, damaged } = await delivered(spool.options)
  expect(whole).toEqual(sent)
  expect(damaged.some((what) => what.includes('format version 3'))).toBe(true)
  expect(spool.disk.bytes(foreign)).toEqual(bytes)
})

test('while a segment of another version is there, bodies that it may name stay', async () => {
  const spool = await filled()
  const file = await spool.disk.open(`/spool/log/${'0'.repeat(15)}3-${'ab'.repeat(16)}.seg`, 'create')
  await file.write([foreignSegment(Buffer.alloc(16, 0xab))], 0)
  await (await spool.disk.open(`/spool/large/${idOf(9)}`, 'create')).write([Buffer.from('named there')], 0)
  await delivered(spool.options)
  expect(spool.disk.files('/spool/large')).toContain(`/spool/large/${idOf(9)}`)
})

function foreignSegment(salt: Buffer): Buffer {
  const bytes = encodeSegmentHeader({ name: '', sequence: 3, salt })
  bytes.writeUInt16LE(3, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60)
  return Buffer.concat([bytes, Buffer.from('whatever version 3 has here')])
}

test('verify finds nothing where nothing is wrong', async () => {
  expect(await findings((await filled()).options)).toEqual([])
})

test('inspection tells what is pending, done and aside, and changes nothing', async () => {
  const { disk, options } = await filled()
  const reader = await openReader(options)
  await drain(reader, options.clock, async () => undefined)
  await reader.done(idOf(1))
  await reader.setAside(idOf(2), 'why')
  await reader.close()
  const before = disk.changes
  const states = await Promise.all([1, 2, 3, 8].map(async (n) => (await inspect(options).find(idOf(n)))?.state))
  expect(states).toEqual(['done', 'aside', 'pending', undefined])
  const listed: string[] = []
  for await (const { id } of inspect(options).entries()) listed.push(id)
  expect(listed).toEqual([idOf(3), idOf(4), idOf(5)])
  expect(disk.changes).toBe(before)
})

test('inspection of a directory that is not there finds nothing', async () => {
  const options = testOptions(new MemFs(), { dir: '/nowhere' })
  expect(await inspect(options).find(idOf(1))).toBeUndefined()
  expect(await findings(options)).toEqual([])
})

test('what was set aside of the log is told until a person removes it; a torn tail is no damage', async () => {
  const { disk, options, older, newer } = await filled()
  disk.edit(older, flipAt(400))
  disk.edit(newer, append)
  await delivered(options)
  const damaged = async () => (await findings(options)).filter(({ file }) => file.startsWith('aside/'))
  const [found] = await damaged()
  expect(await damaged()).toHaveLength(1)
  expect(found).toMatchObject({ id: idOf(1), problem: expect.stringContaining('frame payload') })
  await disk.unlink(`/spool/${found?.file.replace(/bytes$/, 'json')}`)
  expect(await damaged()).toEqual([])
})
