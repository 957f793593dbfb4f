// reader.pos: what is done, so that a restart does not do it again. One line with the CRC-32 of the rest, then JSON. A position that
// cannot be read is as good as none: everything still in the log is handed on once more.
import { crc32 } from 'node:zlib'
import { codeOf } from './fault.ts'
import type { Fs } from './fs.ts'
import { bytesOf, putFile, type Layout } from './layout.ts'
import { Ranges, type Range } from './ranges.ts'

export const POSITION_NAME = 'reader.pos'
const VERSION = 1

export interface Position {
  /** By segment name. A segment that is not named has not been read. */
  done: Map<string, Ranges>
  /** Done entries whose file in large/ may still be there, with their segment. */
  unlink: Map<string, string>
}

interface Stored {
  version: number
  segments: { name: string; done: Range[] }[]
  unlink: [string, string][]
}

/** `problem` says why a file that is there could not be used. */
export async function readPosition(fs: Fs, layout: Layout): Promise<Position & { problem?: string }> {
  const none = { done: new Map<string, Ranges>(), unlink: new Map<string, string>() }
  const chunks: Buffer[] = []
  try {
    for await (const chunk of bytesOf(fs, `${layout.dir}/${POSITION_NAME}`, 0, Number.MAX_SAFE_INTEGER))
      chunks.push(chunk)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return none
    throw error
  }
  const text = Buffer.concat(chunks).toString()
  const crc = text.slice(0, 8)
  const json = text.slice(9)
  if (crc !== checksum(json)) return { ...none, problem: `${POSITION_NAME} fails its checksum` }
  const stored = JSON.parse(json) as Stored
  if (stored.version !== VERSION) return { ...none, problem: `${POSITION_NAME} has version ${stored.version}` }
  return {
    done: new Map(stored.segments.map(({ name, done }) => [name, new Ranges(done)])),
    unlink: new Map(stored.unlink),
  }
}

/** Takes the position as it is now, and makes it durable. */
export function writePosition(fs: Fs, layout: Layout, { done, unlink }: Position): Promise<void> {
  const segments = [...done].map(([name, ranges]) => ({ name, done: ranges.list() }))
  const json = JSON.stringify({ version: VERSION, segments, unlink: [...unlink] } satisfies Stored)
  const bytes = Buffer.from(`${checksum(json)}\n${json}`)
  return putFile(fs, { directory: layout.dir, name: POSITION_NAME, by: 'reader', chunks: [bytes] })
}

const checksum = (text: string) => crc32(text).toString(16).padStart(8, '0')
