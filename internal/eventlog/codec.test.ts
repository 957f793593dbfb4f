import { CloudEvent, Kafka } from 'cloudevents'
import { describe, expect, test } from 'vitest'
import { CodecError, fromBinary, fromStructured, toBinary, toStructured } from './codec.ts'
import { EVENT_TYPES, keyOf, type MailEvent } from './events.ts'
import { sampleOf } from './samples.ts'

const replayed: MailEvent = { ...sampleOf('ingest.received'), replay: { id: 'r-1', force: 'duplicate' } }
const events = [...EVENT_TYPES.map(sampleOf), replayed]

const faultOf = (work: () => unknown) => {
  try {
    return work()
  } catch (error) {
    return error instanceof CodecError ? error.fault : String(error)
  }
}

const theirsOf = (key: string, headers: Record<string, string>, value: string) => {
  const message = { key, headers, value, body: value, timestamp: '' }
  return Kafka.toEvent(message) as CloudEvent<unknown>
}

describe.each(events.map((event) => [event.replay === undefined ? event.type : 'a replay', event] as const))(
  '%s',
  (_name, event) => {
    test('passes both modes unchanged', () => {
      const { headers, value } = toBinary(event)
      expect(fromBinary(headers, value)).toEqual(event)
      expect(fromStructured(JSON.parse(JSON.stringify(toStructured(event))))).toEqual(event)
      const structured = { 'content-type': 'application/cloudevents+json; charset=utf-8' }
      expect(fromBinary(structured, JSON.stringify(toStructured(event)))).toEqual(event)
    })

    test('the cloudevents package reads what we write in binary mode', () => {
      const { key, headers, value } = toBinary(event)
      const theirs = theirsOf(key, headers, value)
      expect(theirs.validate()).toBe(true)
      expect(theirs).toMatchObject({ ...toStructured(event), data: event.data })
    })

    test('the cloudevents package reads what we write in structured mode', () => {
      const value = JSON.stringify(toStructured(event))
      const headers = { 'content-type': 'application/cloudevents+json' }
      const theirs = theirsOf(keyOf(event), headers, value)
      expect(theirs).toMatchObject(toStructured(event))
    })

    test('we read what the cloudevents package writes', () => {
      const theirs = new CloudEvent(toStructured(event))
      const binary = Kafka.binary(theirs)
      expect(fromBinary(binary.headers as Record<string, string>, JSON.stringify(binary.value))).toEqual(event)
      const structured = Kafka.structured(theirs)
      expect(fromBinary(structured.headers as Record<string, string>, structured.value)).toEqual(event)
    })
  },
)

test('binary mode: key, attributes with ce_, and the trace also where tracers look (kafka-protocol-binding 3.1, 3.2)', () => {
  const event = sampleOf('ingest.received')
  const { key, headers } = toBinary(event)
  expect(key).toBe(event.subject)
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    ce_specversion: '1.0',
    ce_partitionkey: event.subject,
    ce_tenant: 'acme',
    ce_dataschema: 'https://mail-ingest.invalid/schemas/events/ingest.received/v1.json',
    traceparent: event.traceparent,
    ce_traceparent: event.traceparent,
  })
})

describe('what is no event of ours is refused', () => {
  const { headers, value } = toBinary(sampleOf('ingest.received'))
  test.each<[string, string, Record<string, string>, string?]>([
    ['malformed', 'no id', { ce_id: '' }],
    ['malformed', 'no trace', { ce_traceparent: '' }],
    ['malformed', 'a trace that is none', { ce_traceparent: '00-zz-00-01' }],
    ['malformed', 'no subject', { ce_subject: '' }],
    ['malformed', 'another version of CloudEvents', { ce_specversion: '0.3' }],
    ['malformed', 'a time that is none', { ce_time: 'yesterday' }],
    ['malformed', 'another content type', { 'content-type': 'text/plain' }],
    ['malformed', 'data that is not JSON', {}, '{'],
    ['unknown_type', 'a type of a newer release', { ce_type: 'domain.mx_lost' }],
    ['unknown_version', 'a major version of a newer release', { ce_dataschema: 'https://mail-ingest.invalid/v2.json' }],
    ['data', 'data without a required field', {}, '{}'],
    ['data', 'a null value is a tombstone', {}, 'null'],
  ])('%s: %s', (fault, _what, change, other) => {
    expect(faultOf(() => fromBinary({ ...headers, ...change }, other ?? value))).toBe(fault)
  })

  test.each([[undefined], [null], ['text'], [[]], [{}]])('structured %j', (json) => {
    expect(faultOf(() => fromStructured(json))).toBe('malformed')
  })

  test('attributes and fields that we do not know are ignored', () => {
    const more = JSON.stringify({ ...(JSON.parse(value) as object), added: 1 })
    expect(fromBinary({ ...headers, ce_sequence: '7' }, more)).toMatchObject({ type: 'ingest.received' })
  })
})
