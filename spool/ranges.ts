// Which bytes of a segment are done: disjoint ranges in order, neighbours merged. There is at most one range more than there are
// entries not done between them, so the reader's window bounds it.

export type Range = [start: number, end: number]

export class Ranges {
  readonly #ranges: Range[]

  constructor(ranges: readonly Range[] = []) {
    this.#ranges = ranges.map(([start, end]) => [start, end])
  }

  /** Adds [start, end), which overlaps no range but may touch some, or repeats one. */
  add(start: number, end: number): void {
    let index = this.#ranges.length
    while (index > 0 && (this.#ranges[index - 1]?.[0] ?? 0) > start) index--
    const before = this.#ranges[index - 1]
    if (before !== undefined && before[1] >= start) before[1] = Math.max(before[1], end)
    else this.#ranges.splice(index++, 0, [start, end])
    const grown = this.#ranges[index - 1]
    const after = this.#ranges[index]
    if (grown === undefined || after === undefined || after[0] > grown[1]) return
    grown[1] = Math.max(grown[1], after[1])
    this.#ranges.splice(index, 1)
  }

  /** Makes everything before `end` one range. */
  cover(end: number): void {
    const kept = this.#ranges.filter((range) => range[1] > end)
    const reach = kept[0] !== undefined && kept[0][0] <= end ? (kept.shift()?.[1] ?? end) : end
    this.#ranges.splice(0, this.#ranges.length, [0, reach], ...kept)
  }

  /** The first byte at or after `offset` that is in no range. */
  after(offset: number): number {
    for (const [start, end] of this.#ranges) {
      if (start > offset) break
      if (end > offset) return end
    }
    return offset
  }

  covers(start: number, end: number): boolean {
    return this.after(start) >= end
  }

  /** The first byte behind all of them; 0 where there is none. */
  get end(): number {
    return this.#ranges.at(-1)?.[1] ?? 0
  }

  list(): Range[] {
    return this.#ranges.map(([start, end]) => [start, end])
  }
}
