// What can go wrong with an event log, whatever its engine.

export const EVENT_LOG_FAULTS = ['busy', 'full', 'readonly', 'too_large', 'server', 'closed'] as const

/**
 * `busy`: another writer holds it; `full`: no space; `readonly`: no right to write; `too_large`: an event that the log does not
 * take, as it is set up now; `closed`: we closed it; `server`: any other.
 */
export type EventLogFault = (typeof EVENT_LOG_FAULTS)[number]

/** An operation on the log failed. All faults but `too_large` and `closed` pass once the engine is well again. */
export class EventLogError extends Error {
  readonly fault: EventLogFault

  constructor(fault: EventLogFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EventLogError'
    this.fault = fault
  }
}
