// Group commit: what comes while one commit runs goes together in the next. There is no timer, so one alone waits for nobody.

import type { Line } from './waiting.ts'

/** Most of one commit. */
const TOGETHER_MAX = 32

interface Waiting<T, R> {
  item: T
  done(result: R): void
  failed(error: unknown): void
}

export interface CommitsOptions<T, R> {
  /** Where commits take turns. */
  line: Line
  /** Commits all of them or none. The results are in their order. */
  commit(items: readonly T[]): Promise<readonly R[]>
  /** Whether an error would be that of each of them, so that there is no use in trying one by one. */
  isOfAll(error: unknown): boolean
}

/** Commits of one partition. One that fails does not take others down: those that failed together are tried one by one. */
export class Commits<T, R> {
  readonly #options: CommitsOptions<T, R>
  readonly #waiting: Waiting<T, R>[] = []
  /** So many of the next ones go one by one: they may be those that failed together. */
  #singly = 0

  constructor(options: CommitsOptions<T, R>) {
    this.#options = options
  }

  /** Resolves once it is committed. Rejects with the error of its commit. */
  add(item: T): Promise<R> {
    return new Promise((done, failed) => {
      this.#waiting.push({ item, done, failed })
      // A turn for each, of which those find nothing to do whose item went along before.
      void this.#options.line.run(() => this.#next())
    })
  }

  async #next(): Promise<void> {
    const some = this.#waiting.splice(0, this.#singly > 0 ? 1 : TOGETHER_MAX)
    this.#singly = Math.max(0, this.#singly - 1)
    if (some.length > 0) await this.#together(some)
  }

  async #together(some: readonly Waiting<T, R>[]): Promise<void> {
    try {
      const results = await this.#options.commit(some.map(({ item }) => item))
      for (const [at, each] of some.entries()) each.done(results[at] as R)
    } catch (error) {
      if (some.length > 1 && !this.#options.isOfAll(error)) {
        for (const each of some) await this.#together([each])
        return
      }
      if (some.length > 1) this.#singly = some.length
      for (const each of some) each.failed(error)
    }
  }
}
