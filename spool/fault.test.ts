// What the disk says, and what the spool makes of it: the outcome table of durability.md T5 to T10 and T12, one row for each.
import { expect, test } from 'vitest'
import { SpoolError } from './fault.ts'
import { MemFs, type Failure } from './memfs.ts'
import { openReader } from './reader.ts'
import { message, put, readAll, testOptions } from './testing/rig.ts'
import { openWriter } from './writer.ts'

const SMALL = 300
const LARGE = 1500

async function faultOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'none'
  } catch (error) {
    return error instanceof SpoolError ? error.fault : String(error)
  }
}

const log = (call: Failure['call'], error: string, nth = 1): Failure => ({ call, error, nth, path: '/log/' })
const large = (call: Failure['call'], error: string): Failure => ({ call, error, nth: 1, path: '/large/' })

const ROWS: [failure: Failure, bytes: number, first: string, next: string][] = [
  [log('write', 'ENOSPC'), SMALL, 'full', 'none'],
  [log('write', 'EDQUOT'), SMALL, 'full', 'none'],
  [log('write', 'short'), SMALL, 'none', 'none'],
  [log('write', 'EIO'), SMALL, 'poisoned', 'poisoned'],
  [log('write', 'EROFS'), SMALL, 'poisoned', 'poisoned'],
  [log('datasync', 'EIO'), SMALL, 'poisoned', 'poisoned'],
  [log('datasync', 'ENOSPC'), SMALL, 'poisoned', 'poisoned'],
  [log('datasync', 'EDQUOT'), SMALL, 'poisoned', 'poisoned'],
  [log('open', 'EMFILE'), SMALL, 'full', 'none'],
  [log('open', 'ENOSPC'), SMALL, 'full', 'none'],
  [log('open', 'EIO'), SMALL, 'poisoned', 'poisoned'],
  [log('open', 'EROFS'), SMALL, 'poisoned', 'poisoned'],
  [{ call: 'syncDirectory', path: '/log', error: 'EIO', nth: 1 }, SMALL, 'poisoned', 'poisoned'],
  [large('open', 'EMFILE'), LARGE, 'full', 'none'],
  [large('open', 'EROFS'), LARGE, 'poisoned', 'poisoned'],
  [large('write', 'ENOSPC'), LARGE, 'full', 'none'],
  [large('write', 'short'), LARGE, 'none', 'none'],
  [large('write', 'EIO'), LARGE, 'poisoned', 'poisoned'],
  [large('sync', 'EIO'), LARGE, 'poisoned', 'poisoned'],
  [large('sync', 'ENOSPC'), LARGE, 'poisoned', 'poisoned'],
  [large('close', 'EIO'), LARGE, 'poisoned', 'poisoned'],
  [{ call: 'syncDirectory', path: '/large', error: 'EIO', nth: 1 }, LARGE, 'poisoned', 'poisoned'],
]

test.each(ROWS.map(([failure, bytes, first, next]) => ({ ...failure, bytes, first, next })))(
  '$error from $call on $path is $first, and the next message $next',
  async ({ bytes, first, next, ...failure }) => {
    const disk = new MemFs()
    const options = testOptions(disk)
    const writer = await openWriter(options)
    disk.fail(failure)
    expect(await faultOf(put(writer, message(1, bytes)))).toBe(first)
    expect(await faultOf(put(writer, message(2, bytes)))).toBe(next)
    expect(writer.stats().poisoned).toBe(first === 'poisoned')
    await writer.close()

    // Everything acknowledged is there after a restart, and nothing refused for want of space.
    const again = await openWriter(options)
    const reader = await openReader(options)
    const found = await readAll(reader, options.clock)
    const accepted = [first === 'none' ? 1 : 0, next === 'none' ? 2 : 0]
      .filter((n) => n > 0)
      .map((n) => message(n, bytes))
    if (first === 'poisoned') expect(found.length).toBeLessThanOrEqual(1)
    else expect(found).toEqual(accepted)
    await reader.close()
    await again.close()
  },
)

test.each([
  ['truncate', 'a failed cut poisons'],
  ['datasync', 'a cut that cannot be synced poisons'],
] as const)('%s fails while a full log is cut back: %s', async (call, _why) => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  await put(writer, message(1, SMALL))
  disk.fail(log('write', 'ENOSPC'))
  disk.fail(log(call, 'EIO'))
  expect(await faultOf(put(writer, message(2, SMALL)))).toBe('poisoned')
  expect(await faultOf(writer.reserve(1))).toBe('poisoned')
})

test('a failed fsync is never tried again on that file', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  await put(writer, message(1, SMALL))
  disk.fail(log('datasync', 'EIO'))
  const syncs = () => disk.calls.filter((call) => /^(data)?sync \/spool\/log\//.test(call)).length
  const before = syncs()
  const all = await Promise.all([2, 3, 4].map((n) => faultOf(put(writer, message(n, SMALL)))))
  expect(all).toEqual(['poisoned', 'poisoned', 'poisoned'])
  expect(await faultOf(put(writer, message(5, SMALL)))).toBe('poisoned')
  await writer.close()
  expect(syncs() - before).toBe(1)
})

test('bodies that share a failed sync of their directory are none of them acknowledged, and it is not tried again', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  disk.fail({ call: 'syncDirectory', path: '/large', error: 'EIO', nth: 1 })
  const syncs = () => disk.calls.filter((call) => call === 'syncDirectory /spool/large').length
  const before = syncs()
  const all = await Promise.all([1, 2, 3].map((n) => faultOf(put(writer, message(n, LARGE)))))
  expect(all).toEqual(['poisoned', 'poisoned', 'poisoned'])
  expect(syncs() - before).toBe(1)
})

test('a full disk is cut back to the last committed frame, and the log goes on in a new segment', async () => {
  const disk = new MemFs()
  const options = testOptions(disk)
  const writer = await openWriter(options)
  await put(writer, message(1, SMALL))
  const [first = ''] = disk.files('/spool/log')
  const length = disk.bytes(first).length
  disk.fail(log('write', 'short'))
  disk.fail(log('write', 'ENOSPC', 2))
  expect(await faultOf(put(writer, message(2, SMALL)))).toBe('full')
  expect(disk.bytes(first)).toHaveLength(length)
  await put(writer, message(3, SMALL))
  expect(disk.files('/spool/log')).toHaveLength(2)
  const reader = await openReader(options)
  expect(await readAll(reader, options.clock)).toEqual([message(1, SMALL), message(3, SMALL)])
})

test('a large body that finds the disk full leaves no file behind', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  disk.fail(large('write', 'ENOSPC'))
  expect(await faultOf(put(writer, message(1, LARGE)))).toBe('full')
  expect(disk.files('/spool/large')).toEqual([])
})

test.each([
  [SMALL, 'write'],
  [LARGE, 'write'],
  [LARGE, 'commit'],
] as const)('abort() of a body of %i bytes waits for a %s() under way', async (bytes, call) => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk))
  const { id, body } = message(1, bytes)
  const draft = writer.begin(id)
  const first = draft.write(body)
  if (call === 'commit') await first
  const under = call === 'commit' ? draft.commit({ id }) : first
  await draft.abort()
  await draft.abort()
  await under
  expect(disk.files('/spool/large')).toHaveLength(call === 'commit' ? 1 : 0)
  expect(writer.stats()).toMatchObject({ poisoned: false, committedMessages: call === 'commit' ? 1 : 0 })
})

const MIB = 1024 * 1024
const SPACE = { capacityBytes: 1000 * MIB, freeInodes: 10_000, inodes: 20_000 }

test('space is refused before the body, and again until enough is free', async () => {
  const disk = new MemFs()
  const limits = { freeMinBytes: 100 * MIB, freeResumeBytes: 200 * MIB, spaceAgeMs: 0 }
  const writer = await openWriter(testOptions(disk, { limits }))
  const rows: [freeMib: number, askMib: number, fault: string, short: boolean, why: string][] = [
    [300, 150, 'none', false, 'fits above the floor'],
    [300, 250, 'full', false, 'would go below the floor; others may still come'],
    [90, 1, 'full', true, 'below the floor'],
    [150, 1, 'full', true, 'above the floor, below the mark to resume'],
    [200, 1, 'none', false, 'at the mark to resume'],
    [110, 1, 'none', false, 'above the floor again'],
  ]
  for (const [free, ask, fault, short, why] of rows) {
    disk.space = { ...SPACE, freeBytes: free * MIB }
    const found = { fault: await faultOf(writer.check(ask * MIB)), short: writer.stats().short, why }
    expect(found).toEqual({ fault, short, why })
  }
})

test('what is reserved is not promised twice, and release() gives it back once', async () => {
  const disk = new MemFs()
  disk.space = { ...SPACE, freeBytes: 250 * MIB }
  const writer = await openWriter(
    testOptions(disk, { limits: { freeMinBytes: 100 * MIB, freeResumeBytes: 100 * MIB } }),
  )
  const held = await writer.reserve(100 * MIB)
  expect(await faultOf(writer.reserve(100 * MIB))).toBe('full')
  held.release()
  held.release()
  expect(writer.stats().reservedBytes).toBe(0)
  expect(await faultOf(writer.reserve(150 * MIB))).toBe('none')
})

test.each([
  [100, 'with an answer of statfs that is believed'],
  [0, 'with one that all of them wait for'],
])('what several ask for at one moment is promised to as many as it is there for (%d ms: %s)', async (spaceAgeMs) => {
  const disk = new MemFs()
  disk.space = { ...SPACE, freeBytes: 250 * MIB }
  const limits = { freeMinBytes: 100 * MIB, freeResumeBytes: 100 * MIB, spaceAgeMs }
  const writer = await openWriter(testOptions(disk, { limits }))
  const all = await Promise.all([1, 2, 3].map(() => faultOf(writer.reserve(100 * MIB))))
  expect(all).toEqual(['none', 'full', 'full'])
})

test.each([
  [500, 20_000, 'full', 'too few inodes'],
  [0, 0, 'none', 'a file system that does not count them'],
])('%i free inodes of %i: %s (%s)', async (freeInodes, inodes, fault, _why) => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk, { limits: { freeInodesMin: 1000, spaceAgeMs: 0 } }))
  disk.space = { ...SPACE, freeBytes: 900 * MIB, freeInodes, inodes }
  expect(await faultOf(writer.check(1))).toBe(fault)
})

test('another directory in the place of the spool takes no mail', async () => {
  const disk = new MemFs()
  const writer = await openWriter(testOptions(disk, { limits: { spaceAgeMs: 0 } }))
  disk.device = 2
  expect(await faultOf(writer.check(1))).toBe('mounted')
  expect(await faultOf(put(writer, message(1, SMALL)))).toBe('mounted')
  disk.device = 1
  expect(await faultOf(put(writer, message(2, SMALL)))).toBe('none')
})

test('a second writer and a second reader are refused, and let in after close()', async () => {
  const options = testOptions(new MemFs())
  const writer = await openWriter(options)
  const reader = await openReader(options)
  expect(await faultOf(openWriter(options))).toBe('locked')
  expect(await faultOf(openReader(options))).toBe('locked')
  await expect(openWriter(options)).rejects.toThrow('/spool')
  await writer.close()
  await reader.close()
  await (await openWriter(options)).close()
  await (await openReader(options)).close()
})

test('close() waits for commits under way and refuses what comes after', async () => {
  const options = testOptions(new MemFs())
  const writer = await openWriter(options)
  const drafts = [1, 2, 3].map((n) => ({
    ...message(n, n === 2 ? LARGE : SMALL),
    draft: writer.begin(message(n, 1).id),
  }))
  for (const { draft, body } of drafts) await draft.write(body)
  const commits = drafts.map(({ draft, id }) => draft.commit({ id }))
  await writer.close()
  expect((await Promise.all(commits)).map(({ sizeBytes }) => sizeBytes)).toEqual([SMALL, LARGE, SMALL])
  expect(() => writer.begin(message(4, 1).id)).toThrow(SpoolError)
  expect(await faultOf(writer.reserve(1))).toBe('closed')
  await writer.close()
})

test("a caller's mistake is an error of its own and does not poison", async () => {
  const writer = await openWriter(testOptions(new MemFs(), { limits: { envelopeBytesMax: 100 } }))
  expect(() => writer.begin('../escape')).toThrow(TypeError)
  const draft = writer.begin(message(1, 1).id)
  await expect(draft.commit({ long: 'x'.repeat(200) })).rejects.toThrow(RangeError)
  await expect(draft.write(42 as unknown as Uint8Array)).rejects.toThrow(TypeError)
  expect(writer.stats().poisoned).toBe(false)
  await draft.abort()
  await put(writer, message(2, SMALL))
})

test.each([
  { freeMinBytes: 2, freeResumeBytes: 1 },
  { windowEntries: 0 },
  { segmentBytes: Number.NaN },
  { pollMs: -1 },
])('bad limits are refused: %j', async (limits) => {
  await expect(openWriter(testOptions(new MemFs(), { limits }))).rejects.toThrow(/spool limit/)
})
