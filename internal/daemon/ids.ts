// Fresh ids. UUIDv7 by RFC 9562 5.7 and 6.2 (method 1: a counter fills the bits below the millisecond).

import { randomBytes, randomFillSync } from 'node:crypto'
import type { Clock, Ids } from '../ports/ports.ts'

const COUNTER_BITS = 12
const COUNTER_MAX = (1 << COUNTER_BITS) - 1

/** Ids of one process. When the clock steps back, or 4,096 ids fall into one millisecond, the last time goes on counting. */
export function systemIds(clock: Pick<Clock, 'now'>): Ids {
  let lastMs = 0
  let counter = 0
  const next = (): void => {
    const now = clock.now()
    if (now > lastMs) {
      lastMs = now
      counter = randomBytes(1).readUInt8() // a random start leaves room to count and hides how many came before
    } else if (counter < COUNTER_MAX) {
      counter += 1
    } else {
      lastMs += 1
      counter = 0
    }
  }
  return {
    entryId: () => {
      next()
      return uuidv7(lastMs, counter)
    },
    traceparent: () => `00-${nonZeroHex(16)}-${nonZeroHex(8)}-01`,
  }
}

/** Random bytes for salts and the names of temporary files. */
export const random = (size: number): Buffer => randomBytes(size)

function uuidv7(ms: number, counter: number): string {
  const bytes = randomFillSync(Buffer.alloc(16))
  bytes.writeUIntBE(ms, 0, 6)
  bytes.writeUInt16BE(0x7000 | counter, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** All zeros mean "invalid" in a traceparent (W3C Trace Context 3.2.2). */
function nonZeroHex(size: number): string {
  const bytes = randomBytes(size)
  return (bytes.some((byte) => byte !== 0) ? bytes : bytes.fill(1)).toString('hex')
}
