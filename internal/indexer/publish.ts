// The outbox on its way to the log: in the order it was written, taken out once the log has it.
//
// One process of all publishes at a time, the others wait for their turn: two would append one message's events in turns. A
// publisher that lost its turn may still be at its last append. What it appends is then in the log twice, in the same order each
// time, so the first of each event stand in the right order. Twice is harmless, since ids are stable.
//
// An event that the log never takes would hold up all others. It is set aside in the outbox, with the reason.

import { EventLogError, type EventLog, type MailEvent } from '../eventlog/eventlog.ts'
import { traced, type Clock, type Log, type Tracer } from '../ports/ports.ts'
import { deliveredOutbox, nextOutbox, refuseOutbox, type OutboxRow, type Store } from '../store/store.ts'
import { Bell, pause, pauseMs, Stopped } from './waiting.ts'

/** Names the turn. */
export const PUBLISHER = 'outbox publisher'

/** Events of one append. */
const BATCH_MAX = 200
/** After a ring or a batch, for the commits that follow it: each append is a request for each partition, each removal an fsync. */
const GATHER_MS = 100
/** How often an empty outbox is looked at without a ring: other processes write to it, and their events wait half of it. */
const LOOK_MS = 200

export interface PublisherOptions {
  log: Pick<EventLog, 'append'>
  store: Store
  clock: Clock
  logger: Log
  tracer: Tracer
  signal: AbortSignal
  /** Rung after each commit. */
  bell: Bell
}

/** Publishes whenever it is this process's turn, until the signal aborts. */
export async function publishOutbox(options: PublisherOptions): Promise<void> {
  const { store, clock, logger, signal } = options
  for (let tries = 1; !signal.aborted; tries++) {
    try {
      await store.singleRunner(PUBLISHER, (turn) => publishUntil(turn, options), signal)
      tries = 0
    } catch (error) {
      if (signal.aborted) return
      logger.warn({ err: error, tries }, 'there is no turn to publish outbox events; trying again')
      await pause(clock, pauseMs(tries, PUBLISHER), signal).catch((stopped: unknown) => {
        if (!signal.aborted) throw stopped
      })
    }
  }
}

/** Resolves when `turn` is over. */
async function publishUntil(turn: AbortSignal, options: PublisherOptions): Promise<void> {
  const { clock, logger, bell } = options
  let tries = 0
  try {
    while (!turn.aborted) {
      try {
        const sent = await publishOnce(options)
        tries = 0
        if (sent === BATCH_MAX) continue
        if (sent === 0) await bell.wait(clock, LOOK_MS, turn)
        await pause(clock, GATHER_MS, turn)
      } catch (error) {
        if (turn.aborted) return
        tries += 1
        logger.warn({ err: error, tries }, 'outbox events cannot be published; trying again')
        await pause(clock, pauseMs(tries, PUBLISHER), turn)
      }
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  }
}

/** How many rows were dealt with. */
async function publishOnce(options: PublisherOptions): Promise<number> {
  const rows = await nextOutbox(options.store, BATCH_MAX)
  if (rows.length === 0) return 0
  try {
    await deliver(rows, options)
  } catch (error) {
    if (!isLasting(error)) throw error
    // One of them, or more. What was appended already is so again, in the same order.
    for (const row of rows) await deliverOrRefuse(row, options)
  }
  return rows.length
}

async function deliver(rows: readonly OutboxRow[], { log, store, tracer }: PublisherOptions): Promise<void> {
  const events = rows.map(eventOf)
  const spans = events.map(({ traceparent }) => tracer.span('publish', traceparent))
  await traced(spans, () => log.append(events))
  await deliveredOutbox(
    store,
    rows.map(({ seq }) => seq),
  )
}

async function deliverOrRefuse(row: OutboxRow, options: PublisherOptions): Promise<void> {
  try {
    await deliver([row], options)
  } catch (error) {
    if (!isLasting(error)) throw error
    await refuseOutbox(options.store, row.seq, error.message)
    const { id, type, subject: messageId, tenant } = eventOf(row)
    options.logger.error({ err: error, id, type, messageId, tenant }, 'the log never takes an event; it is set aside')
  }
}

const eventOf = ({ payload }: OutboxRow): MailEvent => payload as unknown as MailEvent

/** Whether trying again is of no use: the event is too large, or its data is not what its schema says. */
const isLasting = (error: unknown): error is Error =>
  error instanceof TypeError || (error instanceof EventLogError && error.fault === 'too_large')
