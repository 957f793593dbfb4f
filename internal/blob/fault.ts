// What can go wrong with an object store, whatever its engine.

export const BLOB_FAULTS = ['client', 'server', 'timeout', 'digest'] as const

/** Closed set of what can go wrong: `server` and `timeout` pass by themselves; `client` and `digest` are bugs or bad disks. */
export type BlobFault = (typeof BLOB_FAULTS)[number]

/** An operation on the store failed; `fault` says whether trying again helps. */
export class BlobError extends Error {
  readonly fault: BlobFault

  constructor(fault: BlobFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'BlobError'
    this.fault = fault
  }
}
