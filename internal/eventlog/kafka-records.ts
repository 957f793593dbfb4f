// Events as Kafka records and back.

import type { IHeaders, KafkaMessage, Message } from 'kafkajs'
import { CodecError, fromBinary, toBinary } from './codec.ts'
import { deadLetterHeaders, judged, originalHeaders, toldBy, type DeadLetter } from './dead-letters.ts'
import type { LoggedEvent } from './eventlog.ts'
import type { MailEvent } from './events.ts'

/** What a record of `bytes` costs beside key and value: framing and headers, rounded up. */
const RECORD_OVERHEAD_BYTES = 1024
/** The same of a dead letter, with the headers that tell why. */
const DEAD_RECORD_OVERHEAD_BYTES = 8 * 1024

/** The record of an event, and about how many bytes it takes in a request. */
export function recordOf(event: MailEvent, partition: number): { record: Message; bytes: number } {
  const { key, headers, value } = toBinary(event)
  return { record: { key, headers, value, partition }, bytes: Buffer.byteLength(value) + RECORD_OVERHEAD_BYTES }
}

/** What the record is to a consumer of events. */
export function eventOf(
  place: { topic: string; partition: number },
  message: KafkaMessage,
): readonly LoggedEvent[] | CodecError {
  return judged(() => {
    if (message.value === null) throw new CodecError('malformed', 'a tombstone: the value is null')
    const event = fromBinary(textsOf(message.headers), message.value.toString('utf8'))
    return { ...place, offset: Number(message.offset), event, appendedAt: Number(message.timestamp) }
  })
}

/** The dead letter of a record that a group could not read, in the partition where it stood, and about how many bytes it takes. */
export function deadRecordOf(
  dead: { item: KafkaMessage; error: CodecError },
  of: { group: string; topic: string; partition: number; attempts: number },
): { record: Message; bytes: number } {
  const { item: message, error } = dead
  const { group, topic, partition, attempts } = of
  const { key, value, offset, timestamp } = message
  const place = { topic, partition, offset: Number(offset) }
  const why = deadLetterHeaders(place, { error, group, appendedAt: Number(timestamp), attempts })
  const headers = { ...message.headers, ...why }
  return { record: { key, value, headers, partition }, bytes: (value?.length ?? 0) + DEAD_RECORD_OVERHEAD_BYTES }
}

/** The letter of a record among the dead letters; nothing if it is none of ours. */
export function letterOf(message: KafkaMessage): readonly DeadLetter[] {
  const { key, value, offset, timestamp, headers = {} } = message
  const told = toldBy(textsOf(headers))
  const record = { key, value, headers: originalHeaders(headers) }
  return told === undefined ? [] : [{ ...told, deadAt: Number(timestamp), at: Number(offset), record }]
}

/** Of a header that is there more than once the first counts. */
function textsOf(headers: IHeaders = {}): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const first = Array.isArray(value) ? value[0] : value
    if (first !== undefined) texts[name] = first.toString('utf8')
  }
  return texts
}
