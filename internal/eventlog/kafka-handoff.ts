// From a library that pushes batches to a caller that asks for them: one batch at a time, no queue between the two.

interface Offer<T> {
  value: T
  finished(again: boolean): void
}

/** One giver and one taker. A batch counts as finished when its taker comes back for the next. */
export class Handoff<T> {
  #offered: Offer<T> | undefined
  #taken: Offer<T> | undefined
  #wake: (() => void) | undefined
  #ended = false
  #error: Error | undefined

  /** `done` is true when the taker came back for more, false if that will not happen any more. `withdraw` takes back what is not taken. */
  offer(value: T): { done: Promise<boolean>; withdraw(): void } {
    if (this.#ended) return { done: Promise.resolve(false), withdraw: () => undefined }
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const offer = { value, finished: resolve }
    // Only a giver that was replaced leaves one behind.
    this.#offered?.finished(false)
    this.#offered = offer
    this.#wake?.()
    const withdraw = () => {
      if (this.#offered === offer) this.#offered = undefined
      resolve(false)
    }
    return { done: promise, withdraw }
  }

  /** Takes back what is not taken, whoever offered it. */
  drop(): void {
    this.#offered?.finished(false)
    this.#offered = undefined
  }

  /** The next batch; undefined after the end. Rejects once with the error that ended it. */
  async take(): Promise<T | undefined> {
    this.#taken?.finished(true)
    this.#taken = undefined
    while (this.#offered === undefined && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      await promise
    }
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) return undefined
    this.#taken = this.#offered
    this.#offered = undefined
    return this.#taken?.value
  }

  get ended(): boolean {
    return this.#ended
  }

  /** No more batches; the first reason counts. */
  end(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#offered?.finished(false)
    this.#taken?.finished(false)
    this.#wake?.()
  }
}
