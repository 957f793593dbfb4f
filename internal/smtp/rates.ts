// How much each of many may do in a minute, in memory that does not grow with their number.
//
// A token bucket, kept as one number for each key: when its bucket will be full again (the virtual scheduling form of GCRA,
// ITU-T I.371 annex A). A key may spend a minute's worth at once, and then as fast as the bucket fills.

const MINUTE_MS = 60_000
/** About 150 bytes each. */
const KEYS_MAX = 50_000
/** Keys that are compared to find the one to forget. */
const LOOKED_AT = 8
/** Sums of fractions of a millisecond are not exact. */
const ROUNDING_MS = 1e-6

/** Times are a monotonic clock's, milliseconds. Invariant: at most `keysMax` keys. */
export class Rates {
  readonly #msEach: number
  readonly #keysMax: number
  /** Least recently charged first. A key that is not here has a full bucket. */
  readonly #fullAt = new Map<string, number>()

  /** `perMinute` 0: no limit, and nothing is remembered. */
  constructor(perMinute: number, keysMax = KEYS_MAX) {
    this.#msEach = perMinute === 0 ? 0 : MINUTE_MS / perMinute
    this.#keysMax = keysMax
  }

  get size(): number {
    return this.#fullAt.size
  }

  /** There is one to take. */
  has(key: string, nowMs: number): boolean {
    return this.#debtMs(key, nowMs) + this.#msEach <= MINUTE_MS + ROUNDING_MS
  }

  /** Takes one, if there is one. */
  take(key: string, nowMs: number): boolean {
    if (!this.has(key, nowMs)) return false
    this.charge(key, 1, nowMs)
    return true
  }

  /** Takes `count`, also where there is less: what is known only afterwards is paid for afterwards. */
  charge(key: string, count: number, nowMs: number): void {
    if (this.#msEach === 0) return
    const fullAtMs = nowMs + this.#debtMs(key, nowMs) + count * this.#msEach
    if (!this.#fullAt.has(key) && this.#fullAt.size >= this.#keysMax && !this.#madeRoom(fullAtMs)) return
    this.#put(key, fullAtMs)
  }

  #debtMs(key: string, nowMs: number): number {
    return Math.max(0, (this.#fullAt.get(key) ?? 0) - nowMs)
  }

  #put(key: string, fullAtMs: number): void {
    this.#fullAt.delete(key)
    this.#fullAt.set(key, fullAtMs)
  }

  /** Of the oldest and a new one, the one that spent least is forgotten and the others stay another round: a flood of new keys
   *  cannot wash out those that spend much. False: it is the new one. */
  #madeRoom(newFullAtMs: number): boolean {
    const oldest = [...this.#fullAt.entries().take(LOOKED_AT)]
    const [least, leastMs] = oldest.reduce((lowest, each) => (each[1] < lowest[1] ? each : lowest))
    for (const [key, fullAtMs] of oldest) this.#put(key, fullAtMs)
    return leastMs <= newFullAtMs && this.#fullAt.delete(least)
  }
}
