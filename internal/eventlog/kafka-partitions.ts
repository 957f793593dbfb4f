// Which partition an event goes to: murmur2 of the key, as Java's producer does it, so that every client agrees.

/** The partition of `key` among `count` of them. */
export const partitionOf = (key: string | Buffer, count: number): number =>
  (murmur2(Buffer.isBuffer(key) ? key : Buffer.from(key)) & 0x7fffffff) % count

const SEED = 0x9747b28c
const M = 0x5bd1e995

/** Utils.murmur2 of Apache Kafka, a signed 32-bit number. kafkajs has it too, in 64-bit arithmetic that costs fifty times as much. */
function murmur2(key: Buffer): number {
  let hash = SEED ^ key.length
  const whole = key.length & ~3
  for (let at = 0; at < whole; at += 4) {
    const mixed = Math.imul(key.readInt32LE(at), M)
    hash = Math.imul(hash, M) ^ Math.imul(mixed ^ (mixed >>> 24), M)
  }
  if (whole < key.length) hash = Math.imul(hash ^ key.readUIntLE(whole, key.length - whole), M)
  hash = Math.imul(hash ^ (hash >>> 13), M)
  return hash ^ (hash >>> 15)
}
