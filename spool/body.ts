// The bytes of an entry, checked as they pass.
import { createHash, hash } from 'node:crypto'
import { Readable } from 'node:stream'
import { isMissing, SpoolError, textOf } from './fault.ts'
import type { Fs } from './fs.ts'
import { HEADER_BYTES } from './frame.ts'
import { bytesOf, type Layout } from './layout.ts'
import type { Frame } from './walk.ts'

export interface BodyPlace {
  id: string
  path: string
  offset: number
  bytes: number
  sha256: string
  /** The file holds nothing else, so a longer one is damaged too. */
  whole: boolean
}

/** Where the body of a frame in the log is. */
export function bodyPlace(layout: Layout, frame: Frame): BodyPlace {
  const { id, bodyBytes: bytes, sha256 } = frame
  if (frame.kind === 'large') return { id, path: `${layout.large}/${id}`, offset: 0, bytes, sha256, whole: true }
  const offset = frame.offset + HEADER_BYTES + frame.envelopeBytes
  return { id, path: `${layout.log}/${frame.segment}`, offset, bytes, sha256, whole: false }
}

export function openBody(fs: Fs, place: BodyPlace): Readable {
  return Readable.from(checked(fs, place), { objectMode: false })
}

/** The body itself, if that is what was accepted. If not, openBody() finds out what is wrong on the disk. */
export function checkedBody(body: Buffer | undefined, sha256: string): Buffer | undefined {
  return body !== undefined && hash('sha256', body) === sha256 ? body : undefined
}

/** Holds the last chunk back until all is checked, so that a damaged body is never seen whole. */
async function* checked(fs: Fs, place: BodyPlace): AsyncGenerator<Uint8Array> {
  const { path, offset, bytes, sha256, whole } = place
  const hash = createHash('sha256')
  let held: Buffer | undefined
  let length = 0
  try {
    for await (const chunk of bytesOf(fs, path, offset, offset + bytes + (whole ? 1 : 0))) {
      if (held !== undefined) yield held
      held = chunk
      length += chunk.length
      hash.update(chunk)
    }
  } catch (error) {
    throw isMissing(error) ? new SpoolError('damaged', `${place.id}: ${textOf(error)}`, error) : error
  }
  if (length !== bytes) throw new SpoolError('damaged', `${place.id}: ${path} has ${length} of ${bytes} bytes`)
  if (hash.digest('hex') !== sha256) throw new SpoolError('damaged', `${place.id}: ${path} does not match its SHA-256`)
  if (held !== undefined) yield held
}
