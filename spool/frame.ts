// One entry on disk: a header of fixed size, the envelope as JSON, and the body, unless that is in a file of its own. A note is a frame whose
// envelope is all there is.
//
//   0 magic 4 | 4 version 1 | 5 kind 1 | 6 zero 2 | 8 salt 16 | 24 id 16 | 40 received, ms 8 | 48 envelope length 4 | 52 inline length 4
//   56 body size 8 | 64 SHA-256 of the body 32 | 96 CRC-32 of envelope and inline body 4 | 100 CRC-32 of the header so far 4
//
// Numbers are little-endian. The CRC of the payload is in the header and so under the header's own: a frame needs no trailer.
import { crc32 } from 'node:zlib'

export const FRAME_VERSION = 1
export const HEADER_BYTES = 104
export const SALT_BYTES = 16
const MAGIC = Buffer.from('SPLF')
const KINDS = ['inline', 'large', 'note'] as const
const SALT_AT = 8
const CRC_AT = 100
/** No envelope on disk is longer: what a reader must be ready to hold. */
export const ENVELOPE_BYTES_LIMIT = 16 * 1024 * 1024

export interface FrameHeader {
  /** A large body is in large/<id>; a note has none. */
  kind: (typeof KINDS)[number]
  id: string
  receivedAt: number
  envelopeBytes: number
  inlineBytes: number
  bodyBytes: number
  sha256: string
  payloadCrc: number
}

export interface NewFrame {
  id: string
  receivedAt: number
  envelope: Uint8Array
  /** The pieces of the body, or nothing where it is in a file of its own. */
  body: readonly Uint8Array[] | undefined
  bodyBytes: number
  sha256: Uint8Array
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** UUIDs in lower case (RFC 9562 4): also safe as file names. */
export const isId = (id: string) => UUID.test(id)

function idOf(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** A note without its salt, as encodeFrame() makes an entry. */
export function encodeNote(note: { id: string; receivedAt: number; json: Uint8Array }): Buffer {
  const { id, receivedAt, json: envelope } = note
  const bytes = encodeFrame({ id, receivedAt, envelope, body: [], bodyBytes: 0, sha256: new Uint8Array(32) })
  bytes[5] = KINDS.indexOf('note')
  return bytes
}

/** The frame without its salt: sealFrame() completes it once the segment is known that it goes to. */
export function encodeFrame(frame: NewFrame): Buffer {
  const inlineBytes = frame.body === undefined ? 0 : frame.bodyBytes
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + frame.envelope.length + inlineBytes)
  bytes.fill(0, 0, HEADER_BYTES)
  MAGIC.copy(bytes, 0)
  bytes[4] = FRAME_VERSION
  bytes[5] = frame.body === undefined ? 1 : 0
  bytes.write(frame.id.replaceAll('-', ''), 24, 'hex')
  bytes.writeUIntLE(frame.receivedAt, 40, 6)
  bytes.writeUInt32LE(frame.envelope.length, 48)
  bytes.writeUInt32LE(inlineBytes, 52)
  bytes.writeUIntLE(frame.bodyBytes, 56, 6)
  bytes.set(frame.sha256, 64)
  let at = HEADER_BYTES
  for (const piece of [frame.envelope, ...(frame.body ?? [])]) {
    bytes.set(piece, at)
    at += piece.length
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(HEADER_BYTES)), 96)
  return bytes
}

/** Puts the segment's salt into the frame and the CRC over the header. */
export function sealFrame(bytes: Buffer, salt: Uint8Array): void {
  bytes.set(salt, SALT_AT)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT)
}

/** The header at the start of `bytes`, or nothing: wrong magic, salt, CRC, or a version that this code does not know. */
export function decodeHeader(bytes: Buffer, salt: Uint8Array): FrameHeader | undefined {
  if (bytes.length < HEADER_BYTES || bytes.compare(MAGIC, 0, 4, 0, 4) !== 0) return undefined
  if (bytes.compare(salt, 0, SALT_BYTES, SALT_AT, SALT_AT + SALT_BYTES) !== 0) return undefined
  if (crc32(bytes.subarray(0, CRC_AT)) !== bytes.readUInt32LE(CRC_AT)) return undefined
  const kind = KINDS[bytes.readUInt8(5)]
  if (bytes[4] !== FRAME_VERSION || kind === undefined) return undefined
  if (bytes.readUInt32LE(48) > ENVELOPE_BYTES_LIMIT) return undefined
  return {
    kind,
    id: idOf(bytes.toString('hex', 24, 40)),
    receivedAt: bytes.readUIntLE(40, 6),
    envelopeBytes: bytes.readUInt32LE(48),
    inlineBytes: bytes.readUInt32LE(52),
    bodyBytes: bytes.readUIntLE(56, 6),
    sha256: bytes.toString('hex', 64, 96),
    payloadCrc: bytes.readUInt32LE(96),
  }
}

/** What a search for the next frame looks for: the magic; the salt follows at SALT_AT. */
export function findMagic(bytes: Buffer, from: number): number {
  return bytes.indexOf(MAGIC, from)
}
