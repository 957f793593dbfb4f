// The `.json` object once more, as a short word of ASCII in the user metadata of the `.eml` object: who reads the bytes then has
// the envelope with them. It only saves a request: where the word is not, or is not whole, the `.json` object says the same.

import { deflateSync, inflateSync } from 'node:zlib'

type Facts = Readonly<Record<string, string>>

/** Name of the word. */
const NAME = 'envelope'
/** S3 takes 2 KB of user metadata for an object, names and values together. Whether their prefix counts it does not say. */
export const FACTS_BYTES_MAX = 2048
const PREFIX = 'x-amz-meta-'

const bytesOf = (facts: Facts): number =>
  Object.entries(facts).reduce((sum, [name, value]) => sum + PREFIX.length + name.length + Buffer.byteLength(value), 0)

/** `facts` and, where there is room for it, what the `.json` object says: deflated (RFC 1950 2.2) and in base64. */
export function withEnvelope(facts: Facts, json: Buffer): Record<string, string> {
  const all = { ...facts, [NAME]: deflateSync(json).toString('base64') }
  return bytesOf(all) <= FACTS_BYTES_MAX ? all : { ...facts }
}

/** The bytes of the `.json` object; undefined where they are not among `facts`, are damaged or more than `bytesMax`. */
export function envelopeAlong(facts: Facts | undefined, bytesMax: number): Buffer | undefined {
  const word = facts?.[NAME]
  if (word === undefined) return undefined
  try {
    // Damage does not pass for an envelope: the deflated bytes end with their checksum (RFC 1950 2.2).
    return inflateSync(Buffer.from(word, 'base64'), { maxOutputLength: bytesMax })
  } catch {
    return undefined
  }
}
