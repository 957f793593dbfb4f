// CloudEvents 1.0: binary mode for the log (kafka-protocol-binding 3.2), structured JSON for exports and webhooks.
//
// Decoding is strict on what the product needs and open to the rest: unknown attributes are ignored, as the specification
// asks, and an unknown type or major version has a fault of its own, since it comes from a newer release and is no damage.

import { traceIdOf } from '../envelope/envelope.ts'
import { isEventType, keyOf, type EventType, type MailEvent } from './events.ts'
import { dataSchemaOf, validateData } from './schemas.ts'

const SPEC_VERSION = '1.0'
const JSON_TYPE = 'application/json'
export const STRUCTURED_TYPE = 'application/cloudevents+json'

/** `malformed`: no CloudEvent of ours; `unknown_type`, `unknown_version`: from a newer release; `data`: its schema forbids it. */
export type CodecFault = 'malformed' | 'unknown_type' | 'unknown_version' | 'data'

/** A record that cannot be read as an event. Reading it again does not help. */
export class CodecError extends Error {
  readonly fault: CodecFault

  constructor(fault: CodecFault, message: string) {
    super(message)
    this.name = 'CodecError'
    this.fault = fault
  }
}

/** One record in binary mode: Kafka's key, headers and value. */
export interface BinaryEvent {
  key: string
  headers: Record<string, string>
  /** JSON of the data. */
  value: string
}

type Attributes = Record<string, string>

/** The event in binary mode. Attributes are headers with `ce_`; the trace is also a plain header, where tracers look for it. */
export function toBinary(event: MailEvent): BinaryEvent {
  const headers: Attributes = { 'content-type': JSON_TYPE, traceparent: event.traceparent }
  for (const [name, value] of Object.entries(attributesOf(event))) headers[`ce_${name}`] = value
  return { key: keyOf(event), headers, value: JSON.stringify(event.data) }
}

/** The event of a record in either mode, told apart by the content type. Throws CodecError. */
export function fromBinary(headers: Readonly<Record<string, string>>, value: string): MailEvent {
  const contentType = headers['content-type'] ?? ''
  if (contentType.startsWith(STRUCTURED_TYPE)) return fromStructured(parsed(value))
  const attributes: Attributes = {}
  for (const [name, text] of Object.entries(headers)) {
    if (name.startsWith('ce_')) attributes[name.slice('ce_'.length)] = text
  }
  return eventOf(attributes, () => {
    if (contentType.startsWith(JSON_TYPE)) return parsed(value)
    throw new CodecError('malformed', `content-type ${JSON.stringify(contentType)}`)
  })
}

/** The event as one JSON value (content type application/cloudevents+json). */
export function toStructured(event: MailEvent): Record<string, unknown> {
  return { ...attributesOf(event), datacontenttype: JSON_TYPE, data: event.data }
}

/** The event of a structured JSON value. Throws CodecError. */
export function fromStructured(json: unknown): MailEvent {
  if (typeof json !== 'object' || json === null) throw new CodecError('malformed', 'not a JSON object')
  const { data, ...rest } = json as Record<string, unknown>
  const attributes: Attributes = {}
  for (const [name, value] of Object.entries(rest)) if (typeof value === 'string') attributes[name] = value
  return eventOf(attributes, () => data)
}

/** Context attributes and extensions; names are lower-case letters and digits (CloudEvents 1.0, naming conventions). */
function attributesOf(event: MailEvent): Attributes {
  const { id, source, type, subject, time, tenant, traceparent, replay } = event
  const dataschema = dataSchemaOf(type)
  const context = { specversion: SPEC_VERSION, id, source, type, subject, time, dataschema, partitionkey: keyOf(event) }
  return {
    ...context,
    tenant,
    traceparent,
    ...(replay === undefined ? {} : { replayid: replay.id, replayof: id }),
    ...(replay?.force === undefined ? {} : { force: replay.force }),
  }
}

const REQUIRED = ['id', 'source', 'type', 'subject', 'time', 'tenant', 'traceparent'] as const

function eventOf(attributes: Attributes, data: () => unknown): MailEvent {
  if (attributes['specversion'] !== SPEC_VERSION) throw new CodecError('malformed', 'specversion must be 1.0')
  // First of all: what else a newer release's event has is not ours to judge.
  const type = knownType(required(attributes, 'type'), attributes['dataschema'])
  const wanted = Object.fromEntries(REQUIRED.map((name) => [name, required(attributes, name)])) as Record<
    (typeof REQUIRED)[number],
    string
  >
  if (!Number.isFinite(Date.parse(wanted.time))) throw new CodecError('malformed', `time ${wanted.time}`)
  checkTrace(wanted.traceparent)
  return { ...wanted, type, data: checkedData(type, data()), ...replayOf(attributes) } as MailEvent
}

function required(attributes: Attributes, name: string): string {
  const value = attributes[name]
  if (value === undefined || value === '') throw new CodecError('malformed', `${name} is missing`)
  return value
}

function knownType(type: string, dataschema: string | undefined): EventType {
  if (!isEventType(type)) throw new CodecError('unknown_type', `event type ${type}`)
  if (dataschema !== undefined && dataschema !== dataSchemaOf(type)) {
    throw new CodecError('unknown_version', `dataschema ${dataschema}`)
  }
  return type
}

function checkTrace(traceparent: string): void {
  try {
    traceIdOf(traceparent)
  } catch (error) {
    throw new CodecError('malformed', (error as Error).message)
  }
}

function checkedData(type: EventType, data: unknown): unknown {
  try {
    validateData(type, data)
  } catch (error) {
    throw new CodecError('data', (error as Error).message)
  }
  return data
}

function replayOf({ replayid, force }: Attributes): Pick<MailEvent, 'replay'> {
  if (replayid === undefined) return {}
  return { replay: { id: replayid, ...(force === 'duplicate' ? { force } : {}) } }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CodecError('malformed', 'the value is not JSON')
  }
}
