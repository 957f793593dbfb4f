// Which keys there are. The set is what every engine takes as it is: no quoting on S3, no surprise as a path.

import { KEY_PART } from '../config/config.ts'
import { BlobError } from './fault.ts'

/** Bytes of a key; keys are ASCII. S3 takes 1024; a path on Linux 4096 with the directory before it. */
export const KEY_BYTES_MAX = 512

/** Throws `client` unless `key` is relative, at most 512 bytes, of the allowed characters and without empty or dotted parts. */
export function checkKey(key: string): void {
  const fits = key.length <= KEY_BYTES_MAX && key.split('/').every((part) => KEY_PART.test(part))
  if (!fits) throw new BlobError('client', `not an object key: ${JSON.stringify(key.slice(0, KEY_BYTES_MAX))}`)
}
