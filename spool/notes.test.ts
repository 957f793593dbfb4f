// Notes: facts that travel in the log without a sync, in order with the entries, and that give way before mail does.
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { inspect } from './inspect.ts'
import { MemFs, type Pending } from './memfs.ts'
import { openReader } from './reader.ts'
import { drain, idOf, message, put, readAll, testOptions } from './testing/rig.ts'
import { openWriter } from './writer.ts'

const NOTE = 0xa0
const noteId = (n: number) => idOf(NOTE + n)
/** Turns of the event loop, enough for a write. */
const soon = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}
const syncs = (disk: MemFs) => disk.calls.filter((call) => /^(datasync|sync|syncDirectory)/.test(call)).length

/** The ids of what is read, in order. */
async function read(options: ReturnType<typeof testOptions>, finish = true): Promise<string[]> {
  const reader = await openReader(options)
  const ids: string[] = []
  const met = async ({ id }: { id: string }) => {
    ids.push(id)
    if (finish) await reader.done(id)
  }
  await drain(reader, options.clock, met, met)
  await reader.close()
  return ids
}

test('notes are read in order with the entries, until they are done', async () => {
  const options = testOptions(new MemFs())
  const writer = await openWriter(options)
  expect(writer.note(noteId(1), { n: 1 })).toBe(true)
  await soon()
  await put(writer, message(1, 300))
  writer.note(noteId(2), { n: 2 })
  writer.note(noteId(3), { n: 3 })
  await soon()
  await put(writer, message(2, 1500))
  const all = [noteId(1), idOf(1), noteId(2), noteId(3), idOf(2)]
  expect(await read(options, false)).toEqual(all)
  expect(await read(options)).toEqual(all)
  expect(await read(options)).toEqual([])
  await writer.close()
})

test('the reader gives back what was noted, and counts no note as mail', async () => {
  const options = testOptions(new MemFs())
  const writer = await openWriter(options)
  writer.note(noteId(1), { why: 'ä' })
  await writer.close()
  const reader = await openReader(options)
  const notes: unknown[] = []
  const entry = async () => Promise.reject(new Error('no entry was put'))
  await drain(reader, options.clock, entry, async (note) => void notes.push(note))
  expect(notes).toEqual([{ id: noteId(1), note: { why: 'ä' }, receivedAt: options.clock.now() }])
  expect(reader.stats()).toMatchObject({ pendingMessages: 0, pendingBytes: 0, oldestReceivedAt: undefined })
  await reader.close()
})

test('a note costs no sync, neither in a segment that is open nor at the front of a new one', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  const before = syncs(disk)
  writer.note(noteId(1), {})
  await soon()
  expect(syncs(disk)).toBe(before)
  await put(writer, message(1, 300))
  const after = syncs(disk)
  for (const n of [2, 3, 4]) {
    writer.note(noteId(n), {})
    await soon()
  }
  expect(syncs(disk)).toBe(after)
  await writer.close()
})

test('an entry behind a note at the front of a segment is durable with the name of the segment', async () => {
  const disk = new MemFs()
  const options = testOptions(disk)
  const writer = await openWriter(options)
  writer.note(noteId(1), {})
  await soon()
  await put(writer, message(1, 300))
  const after = testOptions(disk.crash(() => false))
  expect(await read(after)).toEqual([noteId(1), idOf(1)])
})

test('a segment is synced before it is left, so that only the newest may be torn', async () => {
  const disk = new MemFs()
  const options = testOptions(disk, { limits: { segmentBytes: 600 } })
  const writer = await openWriter(options)
  for (let n = 1; n <= 12; n++) {
    writer.note(noteId(n), { n })
    await soon()
  }
  const [first = ''] = disk.files('/spool/log')
  expect(disk.files('/spool/log').length).toBeGreaterThan(1)
  const after = disk.crash(({ kind }: Pending) => kind === 'name')
  expect(after.bytes(first)).toEqual(disk.bytes(first))
  await writer.close()
})

test.each([
  ['the first, and not the one behind it', [1], []],
  ['the last', [2], [1]],
  ['all', [1, 2], []],
  ['none', [], [1, 2]],
])('a crash may take notes (%s): no entry goes with them, and nothing is called damaged', async (_, lost, left) => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  await put(writer, message(1, 300))
  for (const n of [1, 2]) {
    writer.note(noteId(n), { n })
    await soon()
  }
  let writes = 0
  const after = testOptions(disk.crash(({ kind }) => kind !== 'write' || !lost.includes(++writes)))
  const recovered: Record<string, number> = {}
  const again = await openWriter({ ...after, observe: { recovered: (what, count) => (recovered[what] = count) } })
  await put(again, message(2, 300))
  expect(recovered).toMatchObject({ requeued: 1, corrupt: 0 })
  expect(await read(after)).toEqual([idOf(1), ...left.map(noteId), idOf(2)])
  const findings = []
  for await (const found of inspect(after).verify({ bodies: true })) findings.push(found)
  expect(findings).toEqual([])
  await again.close()
})

test('below what it takes to accept mail again notes are dropped, and mail is taken', async () => {
  const disk = new MemFs()
  const limits = { freeMinBytes: 10_000, freeResumeBytes: 20_000 }
  disk.space = { ...disk.space, freeBytes: 20_000 }
  const writer = await openWriter(testOptions(disk, { limits }))
  expect(writer.note(noteId(1), {})).toBe(true)
  const held = await writer.reserve(1)
  expect(writer.note(noteId(2), {})).toBe(false)
  await put(writer, message(1, 300))
  held.release()
  await writer.close()
})

test('a disk that is full for a note is not for the mail behind it', async () => {
  const disk = new MemFs()
  let dropped = 0
  const options = testOptions(disk, { observe: { notesDropped: (count) => void (dropped += count) } })
  const writer = await openWriter(options)
  await put(writer, message(1, 300))
  disk.fail({ call: 'write', path: '/log/', nth: 1, error: 'short' })
  disk.fail({ call: 'write', path: '/log/', nth: 2, error: 'ENOSPC' })
  writer.note(noteId(1), {})
  await soon()
  expect(dropped).toBe(1)
  await put(writer, message(2, 300))
  expect(await read(options)).toEqual([idOf(1), idOf(2)])
  await writer.close()
})

test('a commit and a note of the same moment are two writes: the note cannot fail the commit', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  await put(writer, message(1, 300))
  disk.fail({ call: 'write', path: '/log/', nth: 2, error: 'ENOSPC' })
  const draft = writer.begin(idOf(2))
  const commit = draft.commit({})
  writer.note(noteId(1), {})
  await expect(commit).resolves.toMatchObject({ id: idOf(2) })
  await soon()
  expect(disk.calls.filter((call) => call.startsWith('truncate'))).toHaveLength(1)
  await writer.close()
})

test('once the spool is poisoned no note is written', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  disk.fail({ call: 'datasync', path: '/log/', nth: 1, error: 'EIO' })
  await expect(put(writer, message(1, 300))).rejects.toMatchObject({ fault: 'poisoned' })
  const { changes } = disk
  expect(writer.note(noteId(1), {})).toBe(false)
  await soon()
  expect(disk.changes).toBe(changes)
  await writer.close()
})

test('notes that wait are bounded, and one that is too long is a bug of the caller', async () => {
  const writer = await openWriter(testOptions(new MemFs(), { limits: { notesBytesMax: 1000, noteBytesMax: 400 } }))
  const taken = Array.from({ length: 10 }, (_, n) => writer.note(noteId(n), { text: 'x'.repeat(100) }))
  expect(taken.filter(Boolean).length).toBe(4)
  expect(() => writer.note(noteId(1), { text: 'x'.repeat(400) })).toThrow(RangeError)
  expect(() => writer.note('1', {})).toThrow(TypeError)
  await writer.close()
  expect(writer.note(noteId(1), {})).toBe(false)
})

test('inspection lists notes apart from entries', async () => {
  const options = testOptions(new MemFs())
  const writer = await openWriter(options)
  writer.note(noteId(1), { n: 1 })
  await put(writer, message(1, 300))
  await writer.close()
  const notes = []
  const entries = []
  for await (const { id, note } of inspect(options).notes()) notes.push({ id, note })
  for await (const { id } of inspect(options).entries()) entries.push(id)
  expect({ notes, entries }).toEqual({ notes: [{ id: noteId(1), note: { n: 1 } }], entries: [idOf(1)] })
  expect(await inspect(options).find(noteId(1))).toBeUndefined()
  await read(options)
  for await (const { id } of inspect(options).notes()) notes.push({ id, note: 'done' })
  expect(notes).toHaveLength(1)
})

test('segments of format version 1, which have no notes, are read on', async () => {
  const disk = new MemFs()
  const options = testOptions(disk)
  const writer = await openWriter(options)
  await put(writer, message(1, 300))
  await put(writer, message(2, 1500))
  await writer.close()
  const [segment = ''] = disk.files('/spool/log')
  disk.edit(segment, (bytes) => {
    expect(bytes.readUInt16LE(8)).toBe(2)
    bytes.writeUInt16LE(1, 8)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60)
    return bytes
  })
  const again = await openWriter(options)
  const reader = await openReader(options)
  expect(await readAll(reader, options.clock)).toEqual([message(1, 300), message(2, 1500)])
  await reader.close()
  await again.close()
})
