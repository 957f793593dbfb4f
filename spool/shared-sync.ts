/**
 * Lets all that ask while one sync runs share the next one: a sync covers what happened before it began, and only that. A failed sync is
 * the last: what it lost may be of those that wait for the next one, which would succeed all the same.
 */
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
    this.#running = this.#run()
    return this.#running
  }

  async #run(): Promise<void> {
    await this.#sync()
    this.#running = undefined // after a failure it stays, and all that come are told of it
  }

  async #afterRunning(running: Promise<void>): Promise<void> {
    await running
    this.#next = undefined
    await this.#start()
  }
}
