// Refusals on their way from the spool to the log: beside the mail, never in its way. They are few, small, and worth no waiting: when the log
// does not take them, so many wait, in order; of more, those that have waited longest are let go and counted.

import { Counter, type Registry } from '@prometheus-io/client'
import { traceIdOf, type Refusal } from '../envelope/envelope.ts'
import { EventLogError, makeEvent, validateData, type EventLog, type MailEvent } from '../eventlog/eventlog.ts'
import type { Log } from '../ports/ports.ts'
import { Stopped, type Target } from './backoff.ts'

/** What the spool took along. */
export interface Note {
  id: string
  note: unknown
  /** Milliseconds since 1970. */
  receivedAt: number
}

export interface RefusalsOptions {
  log: Pick<EventLog, 'append'>
  logger: Log
  registry: Registry
  /** `source` of the events. */
  source: string
  target: Target
  done: (id: string) => Promise<void>
  /** Told of what no further try mends: bugs, and a spool that cannot be told. */
  failed(error: unknown): void
}

export interface RefusalLane {
  /** Takes a note out of the spool. It is done with once it is published, or let go. */
  offer(note: Note): void
  /** Resolves when nothing is under way any more, after a stop. */
  ended(): Promise<void>
}

const WAITING_MAX = 500
/** Events of one append. */
const APPEND_MAX = 100

interface Waiting {
  id: string
  event: MailEvent<'ingest.refused'>
}

export function refusalLane(options: RefusalsOptions): RefusalLane {
  const { log, logger, target, done, source } = options
  const lost = lostRefusals(options.registry)
  const underWay = new Set<Promise<void>>()
  const waiting: Waiting[] = []
  let publishing = false
  /** Something was let go and nothing published since. */
  let trouble = false

  const begin = (work: () => Promise<void>) => {
    const task = work().catch((error: unknown) => {
      if (!(error instanceof Stopped)) options.failed(error)
    })
    underWay.add(task)
    void task.then(() => underWay.delete(task))
  }
  const letGo = async (ids: readonly string[], why: string) => {
    logger[trouble ? 'debug' : 'warn']({ refusals: ids.length, why }, 'refusals let go')
    trouble = true
    lost.inc(ids.length)
    for (const id of ids) await done(id)
  }
  const publish = async (batch: readonly Waiting[]) => {
    const ids = batch.map(({ id }) => id)
    const append = () => log.append(batch.map(({ event }) => event))
    try {
      await target.reach(ids[0] ?? '', append, isFinal)
    } catch (error) {
      if (!isFinal(error)) throw error
      return await letGo(ids, (error as Error).message)
    }
    trouble = false
    for (const id of ids) await done(id)
  }
  const publishAll = async () => {
    publishing = true
    try {
      while (waiting.length > 0) await publish(waiting.splice(0, APPEND_MAX))
    } finally {
      publishing = false
    }
  }
  return {
    offer({ id, note }) {
      const event = refusedEvent(note, source)
      if (event === undefined) return begin(() => letGo([id], 'it cannot be read'))
      waiting.push({ id, event })
      const surplus = waiting.splice(0, Math.max(0, waiting.length - WAITING_MAX)).map((each) => each.id)
      if (surplus.length > 0) begin(() => letGo(surplus, 'too many wait for the event log'))
      if (!publishing) begin(publishAll)
    },
    async ended() {
      await Promise.all(underWay)
    },
  }
}

const isFinal = (error: unknown): boolean => error instanceof EventLogError && error.fault === 'too_large'

/** Undefined: it is none of ours. */
function refusedEvent(note: unknown, source: string): MailEvent<'ingest.refused'> | undefined {
  try {
    const { traceparent, ...data } = (note ?? {}) as Refusal
    traceIdOf(traceparent)
    validateData('ingest.refused', data)
    return makeEvent('ingest.refused', { source, time: data.at, traceparent, data })
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

/** Declares the metric in `registry`; once for each registry. */
export function lostRefusals(registry: Registry): Counter {
  const lost = new Counter({
    name: 'mail_ingest_refusals_lost_total',
    help: 'Refusals in the spool that never became an event: the log did not take them for long, or at all.',
    registers: [registry],
  })
  lost.inc(0)
  return lost
}
