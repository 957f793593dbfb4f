// A spool in memory that keeps the ledger's promises and forgets everything.

import { createHash } from 'node:crypto'
import type { Envelope } from '../../envelope/envelope.ts'
import type { Draft, Reservation, Spool } from '../body.ts'
import type { Kept } from './disk.ts'

const full = () => Object.assign(new Error('no space'), { fault: 'full' })

export class StandInSpool implements Spool {
  readonly kept: Kept[] = []
  reservedBytes = 0
  readonly #capacityBytes: number

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes
  }

  async reserve(bytes: number): Promise<Reservation> {
    await this.check(bytes)
    this.reservedBytes += bytes
    let held = bytes
    return {
      release: () => {
        this.reservedBytes -= held
        held = 0
      },
    }
  }

  async check(bytes: number): Promise<void> {
    if (this.reservedBytes + bytes > this.#capacityBytes) throw full()
  }

  begin(id: string): Draft {
    const chunks: Buffer[] = []
    return {
      write: async (chunk) => void chunks.push(Buffer.from(chunk)),
      content: async function* () {
        yield* chunks
      },
      abort: async () => void chunks.splice(0),
      commit: async (envelope) => {
        const bytes = Buffer.concat(chunks)
        this.kept.push({ id, envelope: envelope as Envelope, bytes })
        return { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
      },
    }
  }
}
