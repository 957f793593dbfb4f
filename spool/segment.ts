// A segment: log/<sequence>-<salt>.seg, 16 and 32 hex digits. It opens with a header of fixed size, whose layout holds for every version:
//
//   0 magic 8 | 8 format version 2 | 10 zero 6 | 16 salt 16 | 32 sequence 8 | 40 zero 20 | 60 CRC-32 of all that 4
//
// The salt is in the name as well, so that frames are found behind a damaged header, and so that no two segments ever share a name: a
// reader's position, which goes by name, cannot be mistaken for one in another segment.
import { crc32 } from 'node:zlib'
import type { Fs } from './fs.ts'
import { SALT_BYTES } from './frame.ts'

/** What is written. Since version 2 there are notes, which an older reader would take for damage. */
export const FORMAT_VERSION = 2
const READABLE: ReadonlySet<number> = new Set([1, FORMAT_VERSION])
export const SEGMENT_HEADER_BYTES = 64
const MAGIC = Buffer.from('SPOOLSEG')
const CRC_AT = 60

export interface Segment {
  name: string
  sequence: number
  salt: Buffer
}

const NAME = /^([0-9a-f]{16})-([0-9a-f]{32})\.seg$/

export function newSegment(sequence: number, salt: Uint8Array): Segment {
  const hex = Buffer.from(salt).toString('hex')
  return { name: `${sequence.toString(16).padStart(16, '0')}-${hex}.seg`, sequence, salt: Buffer.from(salt) }
}

export function parseSegmentName(name: string): Segment | undefined {
  const [, sequence, salt] = NAME.exec(name) ?? []
  if (sequence === undefined || salt === undefined) return undefined
  return { name, sequence: Number.parseInt(sequence, 16), salt: Buffer.from(salt, 'hex') }
}

/** The segments in order, oldest first. Other names are left alone. */
export async function listSegments(fs: Fs, log: string): Promise<Segment[]> {
  const names = (await fs.readdir(log)).sort()
  return names.flatMap((name) => parseSegmentName(name) ?? [])
}

export function encodeSegmentHeader(segment: Segment): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt16LE(FORMAT_VERSION, 8)
  bytes.set(segment.salt, 16)
  bytes.writeUIntLE(segment.sequence, 32, 6)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT)
  return bytes
}

/** Whether this code knows every frame that a segment of this version may hold. */
export const isReadable = (version: number): boolean => READABLE.has(version)

/** The format version that a whole header states, or 'bad'. */
export function decodeSegmentHeader(bytes: Buffer, segment: Segment): number | 'bad' {
  if (bytes.length < SEGMENT_HEADER_BYTES || bytes.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) return 'bad'
  if (crc32(bytes.subarray(0, CRC_AT)) !== bytes.readUInt32LE(CRC_AT)) return 'bad'
  if (bytes.compare(segment.salt, 0, SALT_BYTES, 16, 16 + SALT_BYTES) !== 0) return 'bad'
  return bytes.readUInt16LE(8)
}
