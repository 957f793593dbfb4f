// Secrets of credentials, hashed slowly by scrypt (RFC 7914 6): `scrypt:N:r:p:salt:hash`, the last two in base64url. The parameters
// are kept with each hash, so that new ones can be made harder while the old ones go on to be understood.

import { scrypt, timingSafeEqual } from 'node:crypto'

interface Cost {
  /** Power of two; memory is 128 * N * r octets. */
  N: number
  r: number
  p: number
}

/** 16 MiB for one check; five times over, which makes it as dear as OWASP's first choice. */
const COST: Cost = { N: 16_384, r: 8, p: 5 }
const HASH_BYTES = 32
export const SALT_BYTES = 16
/** Above this a hash would take more than its share of a small machine: it is not one of ours. */
const MEMORY_BYTES_MAX = 128 * 1024 * 1024

/** Hashes a new secret; `salt` is SALT_BYTES random octets. */
export async function hashSecret(secret: string, salt: Buffer): Promise<string> {
  const hash = await derive(secret, salt, COST)
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64url'), hash.toString('base64url')].join(':')
}

/** What takes as long to check as the hash of a credential, and fits no secret: for names that nobody has. */
const NOBODY = ['scrypt', COST.N, COST.r, COST.p, 'A'.repeat(22), 'A'.repeat(43)].join(':')

/** Whether `secret` is the one that `hash` was made from. Without a hash it works as long and says no. Rejects where `hash` is not ours. */
export async function checkSecret(secret: string, hash: string | undefined): Promise<boolean> {
  const [, N, r, p, salt = '', wanted = ''] =
    /^scrypt:(\d+):(\d+):(\d+):([\w-]+):([\w-]{43})$/.exec(hash ?? NOBODY) ?? []
  if (wanted === '') throw new TypeError('a credential with a hash of another kind')
  const derived = await derive(secret, Buffer.from(salt, 'base64url'), { N: Number(N), r: Number(r), p: Number(p) })
  return timingSafeEqual(derived, Buffer.from(wanted, 'base64url')) && hash !== undefined
}

function derive(secret: string, salt: Buffer, cost: Cost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, HASH_BYTES, { ...cost, maxmem: MEMORY_BYTES_MAX }, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}
