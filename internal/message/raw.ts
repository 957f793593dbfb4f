// The raw bytes of a message where its parser has them: in memory, or in a file.

import { createReadStream } from 'node:fs'

export type Raw = { bytes: Uint8Array } | { path: string }

/** Bytes of a message that comes in memory. Of a larger one a process has only what it reads. */
export const RAW_BYTES_MAX = 256 * 1024

/** Bytes from `start` up to `end`, which is not part of them: those in memory at once. */
export function readRaw(
  raw: Raw,
  { start, end }: { start: number; end: number },
): Iterable<Buffer> | AsyncIterable<Buffer> {
  if (end <= start) return []
  if ('path' in raw) return createReadStream(raw.path, { start, end: end - 1, highWaterMark: RAW_BYTES_MAX })
  const { buffer, byteOffset } = raw.bytes
  return [Buffer.from(buffer, byteOffset + start, end - start)]
}
