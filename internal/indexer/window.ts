// Which offsets of one partition are under way. Work ends in any order; the checkpoint is the lowest offset that is not done, so
// a slow message holds back the checkpoint and nothing else.

/** Offsets between the slowest event and the newest one. After a crash at most so many are looked at again. */
export const WINDOW_MAX = 16_384

export class Window {
  /** In the order they began, which is the order of offsets. */
  readonly #active = new Set<number>()
  #next: number

  /** `start`: the first offset that is not done. */
  constructor(start: number) {
    this.#next = start
  }

  /** False if the offset is under way or done already: a batch was read again. */
  begin(offset: number): boolean {
    if (offset < this.#next) return false
    this.#active.add(offset)
    this.#next = offset + 1
    return true
  }

  finish(offset: number): void {
    this.#active.delete(offset)
  }

  /** Everything below is done. */
  get low(): number {
    return this.lowWithout(undefined)
  }

  /** What `low` will be once `offset` is done. */
  lowWithout(offset: number | undefined): number {
    for (const active of this.#active) if (active !== offset) return active
    return this.#next
  }

  /** Whether one more would be too many. */
  get full(): boolean {
    const { value } = this.#active.values().next()
    return value !== undefined && this.#next - value >= WINDOW_MAX
  }
}
