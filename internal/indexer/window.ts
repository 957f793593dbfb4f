// One partition for as long as one assignment of it lasts: which of its offsets are under way. Work ends in any order; the
// checkpoint is the lowest offset that is not done, so a slow message holds back the checkpoint and nothing else.
//
// Each assignment has a window of its own, and work keeps the window that it began in. Why a checkpoint is then true whoever
// writes it, and when:
// - a window starts at a checkpoint, so all below its start is done;
// - the log hands it every event from there on, in order, and nothing that was fetched under another assignment;
// - an offset is finished in the window that it began in alone, by the transaction that has its effects, which may have those of
//   others of the window as well.
// So all below `low` is done, also when the partition has gone to another member meanwhile, and that member's checkpoint is as
// true. The store keeps the higher of the two. What both do is done once: the message is held, and its row says that it is done.

import { Line } from './waiting.ts'

/** Offsets between the slowest event and the newest one. After a crash or a rebalance at most so many are looked at again. */
export const WINDOW_MAX = 16_384

/** Everything below `offset` is done. `eventTime`: when the first event that is not had been appended, or else the last one that is. */
export interface Low {
  offset: number
  eventTime: number | null
}

export class Window {
  /** Aborts when the partition is given out anew: what has not begun is then begun by whoever has it. */
  readonly held: AbortSignal
  /** The checkpoint that was written last. */
  saved: number
  /** One commit at a time, so that a checkpoint counts exactly the commits before it. */
  readonly commits = new Line()
  /** When each was appended, in the order they began, which is the order of offsets. */
  readonly #active = new Map<number, number>()
  #next: number
  #newest: number | null = null

  /** `start`: the first offset that is not done. */
  constructor(start: number, held: AbortSignal) {
    this.#next = start
    this.saved = start
    this.held = held
  }

  /** False if the offset is under way or done already: a batch was read again. */
  begin(offset: number, appendedAt: number): boolean {
    if (offset < this.#next) return false
    this.#active.set(offset, appendedAt)
    this.#next = offset + 1
    this.#newest = appendedAt
    return true
  }

  finish(...offsets: readonly number[]): void {
    for (const offset of offsets) this.#active.delete(offset)
  }

  get idle(): boolean {
    return this.#active.size === 0
  }

  /** What `low` will be once `done` are done as well. */
  low(done: readonly number[] = []): Low {
    const besides = new Set(done)
    for (const [offset, eventTime] of this.#active) if (!besides.has(offset)) return { offset, eventTime }
    return { offset: this.#next, eventTime: this.#newest }
  }

  /** Whether one more would be too many. */
  get full(): boolean {
    const { value } = this.#active.keys().next()
    return value !== undefined && this.#next - value >= WINDOW_MAX
  }
}
