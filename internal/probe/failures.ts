// How a probe can fail: the label of a metric, the word in the log.

/** What each means. */
export const FAILURES = {
  unreachable: 'no connection to the front door, or one that broke',
  refused: 'the front door answered otherwise than 250',
  late: 'accepted, and not at the far end within the deadline',
  spoiled: 'at the far end, but quarantined, failed or taken for a duplicate',
} as const
export type Failure = keyof typeof FAILURES

export class ProbeError extends Error {
  readonly failure: Failure

  constructor(failure: Failure, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ProbeError'
    this.failure = failure
  }
}
