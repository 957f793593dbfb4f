// What this process accepted of late, so that a sender that repeats itself can be told "(duplicate)". A courtesy: every message
// is spooled all the same, and the store decides what is a duplicate (R16).

import { createHash } from 'node:crypto'

/** About 100 bytes each. */
const RECENT_MAX = 50_000

export interface Received {
  tenants: readonly string[]
  headerMessageId: string
  /** Hex. */
  sha256: string
}

/** A table of the last `bound` (tenant, header Message-ID, content), least recently seen out first. */
export class RecentMessages {
  readonly #bound: number
  readonly #seen = new Set<string>()

  constructor(bound = RECENT_MAX) {
    this.#bound = bound
  }

  /** Remembers, and tells whether every tenant had it already. */
  note({ tenants, headerMessageId, sha256 }: Received): boolean {
    const known = tenants.map((tenant) => this.#touch(keyOf([tenant, headerMessageId, sha256])))
    return known.length > 0 && known.every(Boolean)
  }

  get size(): number {
    return this.#seen.size
  }

  #touch(key: string): boolean {
    const known = this.#seen.delete(key)
    this.#seen.add(key)
    if (this.#seen.size > this.#bound) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest)
        break
      }
    }
    return known
  }
}

/** 128 bits: a false "(duplicate)" will not happen, and would do no harm. */
const keyOf = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64').slice(0, 22)
