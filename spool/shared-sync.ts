/** Lets all that ask while one sync runs share the next one: a sync covers what happened before it began, and only that. */
export class SharedSync {
  readonly #sync: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(sync: () => Promise<void>) {
    this.#sync = sync
  }

  sync(): Promise<void> {
    if (this.#running === undefined) return this.#start()
    this.#next ??= this.#afterRunning(this.#running)
    return this.#next
  }

  #start(): Promise<void> {
    this.#running = this.#sync().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #afterRunning(running: Promise<void>): Promise<void> {
    // Its failure belongs to the caller that began it; those who wait get the result of their own sync.
    await Promise.allSettled([running])
    this.#next = undefined
    await this.#start()
  }
}
