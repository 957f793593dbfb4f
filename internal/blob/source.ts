// The bytes of an upload on their way into a store, held to what was promised of them.

import { createHash } from 'node:crypto'
import { BlobError } from './fault.ts'
import type { Upload } from './blob.ts'

/**
 * The upload's chunks. Throws `digest` if they are fewer, more, or others than promised, and `client` with the cause if the
 * source fails. The last chunk is held back until all is known to be right, so wrong bytes are never passed on to their end.
 */
export async function* promisedBytes(key: string, upload: Upload): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let length = 0
  let held: Uint8Array | undefined
  for await (const chunk of sourceOf(upload)) {
    length += chunk.byteLength
    if (length > upload.sizeBytes) throw new BlobError('digest', `${key}: more than ${upload.sizeBytes} bytes came`)
    hash.update(chunk)
    if (held !== undefined) yield held
    held = chunk
  }
  if (length !== upload.sizeBytes) throw new BlobError('digest', `${key}: ${length} of ${upload.sizeBytes} bytes came`)
  if (hash.digest('hex') !== upload.sha256) throw new BlobError('digest', `${key}: the bytes that came are others`)
  if (held !== undefined) yield held
}

/** An error of the source becomes the cause of a `client` fault, so it is not taken for the store's. */
async function* sourceOf(upload: Upload): AsyncGenerator<Uint8Array> {
  const source = upload.open()
  try {
    for await (const chunk of source) yield chunk as Uint8Array
  } catch (cause) {
    throw new BlobError('client', `the source of the bytes failed: ${String(cause)}`, { cause })
  } finally {
    source.destroy()
  }
}
