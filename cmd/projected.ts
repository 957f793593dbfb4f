// Questions to a log that cannot be asked: the store's projection of it answers, as new as indexerd has made it.

import {
  isEventType,
  type EventLog,
  type EventQuery,
  type LoggedEvent,
  type MailEvent,
  type Queryable,
} from '../internal/eventlog/eventlog.ts'
import { listEvents, type EventRow, type Store } from '../internal/store/store.ts'

/** Rows of one look at the store. */
const PAGE = 1000

/** `log` with the questions put to the store, which is opened at the first one. */
export function projected<L extends EventLog>(log: L, store: () => Promise<Store>): L & Queryable {
  return { ...log, query: async (wanted) => query(await store(), wanted) }
}

async function query(store: Store, wanted: EventQuery): Promise<LoggedEvent[]> {
  const { id: eventId, type, tenant, subject: messageId, entryId, traceId, fromMs, toMs, topic, fromOffset } = wanted
  const filter = {
    ...(eventId !== undefined && { eventId }),
    ...(type !== undefined && { types: [type] }),
    ...(tenant !== undefined && { tenant }),
    ...(messageId !== undefined && { messageId }),
    ...(entryId !== undefined && { entryId }),
    ...(traceId !== undefined && { traceId }),
    ...(fromMs !== undefined && { from: fromMs }),
    ...(toMs !== undefined && { until: toMs }),
    ...(topic !== undefined && { topic }),
    ...(fromOffset !== undefined && { offsetFrom: fromOffset }),
  }
  const newestFirst = wanted.newest === true
  const found: LoggedEvent[] = []
  let cursor: string | undefined
  do {
    const limit = Math.min(PAGE, wanted.limit - found.length)
    const page = await listEvents(store, filter, { limit, newestFirst, ...(cursor !== undefined && { cursor }) })
    found.push(...page.rows.flatMap(loggedEvent))
    cursor = page.next
  } while (cursor !== undefined && found.length < wanted.limit)
  return newestFirst ? found.toReversed() : found
}

/** A type that this release does not know is passed over, as in the log itself. */
function loggedEvent(row: EventRow): LoggedEvent[] {
  const { topic, partition, offset, appendedAt, id, type, source, subject, tenant, traceparent, replayId, data } = row
  if (!isEventType(type)) return []
  const time = new Date(row.time).toISOString()
  const replay = replayId === null ? {} : { replay: { id: replayId } }
  const event = { id, type, source, subject, time, tenant, traceparent, data, ...replay } as unknown as MailEvent
  return [{ topic, partition, offset, appendedAt, event }]
}
