// What can go wrong in the store, as a closed set; the text is for people.

/** `conflict`: exists already, or is still in use. `unavailable`: locked, full or out of reach; try again later. */
export type StoreReason = 'conflict' | 'not_found' | 'invalid' | 'unavailable'

export class StoreError extends Error {
  readonly reason: StoreReason

  constructor(reason: StoreReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreError'
    this.reason = reason
  }
}

/** Whether trying again later may help. */
export const isUnavailable = (error: unknown): error is StoreError =>
  error instanceof StoreError && error.reason === 'unavailable'
