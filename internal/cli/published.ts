// Mail that left the spool and has no row yet: the event log knows it.

import { traceIdOf } from '../envelope/envelope.ts'
import type { Context } from './context.ts'
import { search } from './events.ts'
import { exitFor } from './exit.ts'
import { onItsWay, type MessageJson } from './message-row.ts'

const EVENTS_MAX = 1000

/** Messages that `ingest.received` told of, by message, entry or trace id. None where there is no log yet. */
export async function published(context: Context, id: string): Promise<MessageJson[]> {
  let log
  try {
    log = await context.engines.log('read')
  } catch (error) {
    if (exitFor(error) !== 'unavailable') throw error
    return []
  }
  const events = await search(log, { types: ['ingest.received'], id }, { limit: EVENTS_MAX })
  return events.flatMap(({ event }) => {
    if (event.type !== 'ingest.received') return []
    const { messageId, entryId, tenant, receivedAt, sizeBytes, sha256, rawKey, metaKey } = event.data
    const traceId = traceIdOf(event.traceparent)
    return [onItsWay({ id: messageId, entryId, tenant, receivedAt, sizeBytes, sha256, traceId, rawKey, metaKey })]
  })
}
