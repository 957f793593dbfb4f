// What can go wrong with an event log, whatever its engine.

export const EVENT_LOG_FAULTS = ['busy', 'full', 'readonly', 'server', 'closed'] as const

/** `busy`: another writer holds it; `full`: no space; `readonly`: no right to write; `closed`: we closed it; `server`: any other. */
export type EventLogFault = (typeof EVENT_LOG_FAULTS)[number]

/** An operation on the log failed. All faults but `closed` pass once the engine is well again. */
export class EventLogError extends Error {
  readonly fault: EventLogFault

  constructor(fault: EventLogFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EventLogError'
    this.fault = fault
  }
}
