// Events as Kafka records and back.

import type { IHeaders, KafkaMessage, Message } from 'kafkajs'
import type { Log } from '../ports/ports.ts'
import { CodecError, fromBinary, toBinary } from './codec.ts'
import type { LoggedEvent } from './eventlog.ts'
import type { MailEvent } from './events.ts'

/** What a record of `bytes` costs beside key and value: framing and headers, rounded up. */
const RECORD_OVERHEAD_BYTES = 1024

/** The record of an event, and about how many bytes it takes in a request. */
export function recordOf(event: MailEvent, partition: number): { record: Message; bytes: number } {
  const { key, headers, value } = toBinary(event)
  return { record: { key, headers, value, partition }, bytes: Buffer.byteLength(value) + RECORD_OVERHEAD_BYTES }
}

/** The event of a record; undefined, and told, if it cannot be read: a newer release's must not stop us, nor damage. */
export function eventOf(place: { topic: string; partition: number }, message: KafkaMessage, log: Log): LoggedEvent[] {
  const offset = Number(message.offset)
  try {
    const event = fromBinary(textsOf(message.headers ?? {}), message.value?.toString('utf8') ?? '')
    return [{ ...place, offset, event, appendedAt: Number(message.timestamp) }]
  } catch (error) {
    const fault = error instanceof CodecError ? error.fault : 'malformed'
    log.warn({ ...place, offset, fault, error: (error as Error).message }, 'event skipped')
    return []
  }
}

/** Of a header that is there more than once the first counts. */
function textsOf(headers: IHeaders): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const first = Array.isArray(value) ? value[0] : value
    if (first !== undefined) texts[name] = first.toString('utf8')
  }
  return texts
}
