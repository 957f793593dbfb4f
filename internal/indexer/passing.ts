// The bytes of a message on their way from the object store to its parser: hashed as they pass, and scanned beside.

import { createHash, hash } from 'node:crypto'
import { Transform, type Readable } from 'node:stream'
import type { Found } from '../blob/blob.ts'
import type { ScanBeside } from './scan.ts'

/** What is known of the bytes by now. */
export interface Passing {
  /** Hex SHA-256, once all have passed. */
  digest: string | undefined
  /** What the object store failed with in the middle of them. */
  error: unknown
}

/** The object's bytes, as it has them. */
export function passed(found: Found, passing: Passing, beside: ScanBeside | undefined): Readable | Buffer {
  const { bytes, body } = found
  if (bytes === undefined) return hashed(body, passing, beside)
  passing.digest = hash('sha256', bytes, 'hex')
  beside?.take(bytes, () => beside.end())
  return bytes
}

function hashed(body: Readable, passing: Passing, beside: ScanBeside | undefined): Readable {
  const hashing = createHash('sha256')
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hashing.update(chunk)
      if (beside === undefined) done(null, chunk)
      else beside.take(chunk, () => done(null, chunk))
    },
    flush(done) {
      passing.digest = hashing.digest('hex')
      beside?.end()
      done()
    },
  })
  body.on('error', (error) => {
    passing.error = error
    through.destroy(error)
  })
  through.on('close', () => {
    body.destroy()
    beside?.close()
  })
  return body.pipe(through)
}
