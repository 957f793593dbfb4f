import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeHeader, encodeFrame, HEADER_BYTES, isId, sealFrame } from './frame.ts'
import { MemFs } from './memfs.ts'
import { Ranges } from './ranges.ts'
import { encodeSegmentHeader, newSegment, parseSegmentName, SEGMENT_HEADER_BYTES } from './segment.ts'
import { forgedFrame, idOf } from './testing/rig.ts'
import { Walk, type Found } from './walk.ts'

const SALT = Buffer.from('0123456789abcdef')
const segment = newSegment(5, SALT)

function frame(n: number, body: Uint8Array, envelope: object = { n }): Buffer {
  const sha256 = createHash('sha256').update(body).digest()
  const json = Buffer.from(JSON.stringify(envelope))
  const bytes = encodeFrame({
    id: idOf(n),
    receivedAt: 1_700_000_000_000 + n,
    envelope: json,
    body: [body],
    bodyBytes: body.length,
    sha256,
  })
  sealFrame(bytes, SALT)
  return bytes
}

/** All that a walk finds in a segment file of these bytes, then where its valid part ends. */
async function walk(bytes: Uint8Array, search = true): Promise<{ found: Found[]; end: number }> {
  const disk = new MemFs()
  const file = await disk.open('/segment', 'create')
  await file.write([bytes], 0)
  const walk = new Walk(file, segment)
  const found: Found[] = []
  for (let next = await walk.next(search); next !== undefined; next = await walk.next(search)) found.push(next)
  return { found, end: walk.offset }
}

const ids = (found: Found[]) => found.flatMap((each) => (each.kind === 'frame' ? [each.frame.id] : []))
const bodies = fc.uint8Array({ maxLength: 2000 })

test('a frame is read as it was written', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(bodies, fc.dictionary(fc.string(), fc.string())), { maxLength: 5 }),
      async (messages) => {
        const frames = messages.map(([body, envelope], n) => frame(n, body, envelope))
        const bytes = Buffer.concat([encodeSegmentHeader(segment), ...frames])
        const { found, end } = await walk(bytes)
        expect(end).toBe(bytes.length)
        expect(found).toHaveLength(messages.length)
        for (const [n, each] of found.entries()) {
          if (each.kind !== 'frame') throw new Error(each.kind)
          const { frame } = each
          const at = frame.offset + HEADER_BYTES + frame.envelopeBytes
          expect(frame.id).toBe(idOf(n))
          expect(frame.receivedAt).toBe(1_700_000_000_000 + n)
          expect(frame.envelope).toEqual(JSON.parse(JSON.stringify(messages[n]?.[1])))
          expect(bytes.subarray(at, frame.end).equals(Buffer.from(messages[n]?.[0] ?? []))).toBe(true)
        }
      },
    ),
  )
})

test('any flipped bit in a frame is detected, and its neighbours are still found', async () => {
  const parts = [1, 2, 3].map((n) => frame(n, Buffer.alloc(40, n)))
  const whole = Buffer.concat([encodeSegmentHeader(segment), ...parts])
  const from = SEGMENT_HEADER_BYTES + (parts[0]?.length ?? 0)
  const bits = (parts[1]?.length ?? 0) * 8
  for (let bit = 0; bit < bits; bit++) {
    const bytes = Buffer.from(whole)
    bytes.writeUInt8(bytes.readUInt8(from + (bit >> 3)) ^ (1 << (bit & 7)), from + (bit >> 3))
    const { found, end } = await walk(bytes)
    expect(ids(found), `bit ${bit}`).toEqual([idOf(1), idOf(3)])
    expect(found[1]).toMatchObject({ kind: 'bad', offset: from, end: from + bits / 8 })
    expect(end).toBe(whole.length)
  }
})

test('any cut of the last frame ends the valid part before it', async () => {
  const parts = [1, 2].map((n) => frame(n, Buffer.alloc(40, n)))
  const whole = Buffer.concat([encodeSegmentHeader(segment), ...parts])
  const end = SEGMENT_HEADER_BYTES + (parts[0]?.length ?? 0)
  for (let length = end; length < whole.length; length++) {
    for (const search of [true, false]) {
      expect(await walk(whole.subarray(0, length), search), `${length}`).toMatchObject({
        end,
        found: [{ kind: 'frame' }],
      })
    }
  }
})

test('bytes inside a mail never pass for a frame, also where the frame around them is damaged', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      bodies,
      fc.boolean(),
      async (salt, padding, damaged) => {
        fc.pre(!SALT.equals(salt))
        const inner = Buffer.concat([padding, forgedFrame(idOf(66), salt), padding])
        const bytes = Buffer.concat([encodeSegmentHeader(segment), frame(1, inner), frame(2, Buffer.from('next'))])
        if (damaged) bytes.writeUInt8(bytes.readUInt8(SEGMENT_HEADER_BYTES + 20) ^ 1, SEGMENT_HEADER_BYTES + 20)
        expect(ids((await walk(bytes)).found)).toEqual(damaged ? [idOf(2)] : [idOf(1), idOf(2)])
      },
    ),
  )
})

test('frames are found behind a damaged segment header, since the name has the salt as well', async () => {
  const bytes = Buffer.concat([encodeSegmentHeader(segment), frame(1, Buffer.from('one'))])
  bytes.fill(0, 0, SEGMENT_HEADER_BYTES)
  const { found } = await walk(bytes)
  expect(found[0]).toMatchObject({ kind: 'bad', offset: 0, end: SEGMENT_HEADER_BYTES, problem: 'segment header' })
  expect(ids(found)).toEqual([idOf(1)])
})

test('a header of another frame version is no frame', () => {
  const bytes = frame(1, Buffer.from('one'))
  bytes[4] = 2
  sealFrame(bytes, SALT)
  expect(decodeHeader(bytes, SALT)).toBeUndefined()
})

test.each([
  ['0000000000000005-30313233343536373839616263646566.seg', 5, 'what newSegment makes'],
  ['0000000000000005.seg', undefined, 'no salt'],
  ['0000000000000005-30313233343536373839616263646566.seg.tmp', undefined, 'something else'],
])('segment name %s is %s (%s)', (name, sequence, _why) => {
  expect(parseSegmentName(name)?.sequence).toBe(sequence)
  if (sequence !== undefined) expect(name).toBe(segment.name)
})

test.each([
  ['0198c0de-0000-7000-8000-00000000000f', true],
  ['0198C0DE-0000-7000-8000-00000000000F', false],
  ['../../../../etc/passwd', false],
  ['', false],
])('id %j: %s', (id, valid) => expect(isId(id)).toBe(valid))

test('ranges of done bytes merge, whatever the order', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), (done) => {
      const ranges = new Ranges()
      for (const n of done) ranges.add(n * 10, n * 10 + 10)
      for (let n = 0; n < 10; n++) expect(ranges.covers(n * 10, n * 10 + 10)).toBe(done.includes(n))
      const gaps = [...done]
        .sort((a, b) => a - b)
        .filter((n, index, all) => index > 0 && all[index - 1] !== n - 1).length
      expect(ranges.list()).toHaveLength(done.length === 0 ? 0 : gaps + 1)
    }),
  )
})
