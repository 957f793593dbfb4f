import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import specification from '@asyncapi/specs/schemas/3.1.0-without-$id.json' with { type: 'json' }
import { Ajv } from 'ajv'
import { Ajv2020, type AnySchemaObject } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { asyncapiDocument, asyncapiText } from './asyncapi.ts'
import { fromBinary, toBinary } from './codec.ts'
import { EVENT_TYPES, TOPICS, topicOf, type EventType } from './events.ts'
import { sampleOf } from './samples.ts'

interface Message {
  headers: AnySchemaObject
  payload: AnySchemaObject
  bindings: { kafka: { key: AnySchemaObject } }
  examples: { headers: Record<string, string>; payload: unknown }[]
}
interface Document {
  channels: Record<string, { messages: Record<string, { $ref: string }> }>
  components: { messages: Record<EventType, Message> }
}

const document = asyncapiDocument() as unknown as Document
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const ajv = new Ajv2020({
  strict: true,
  formats: { uuid: UUID, 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) },
})

/** What `#/a/b` points at. */
const target = ($ref: string): unknown =>
  $ref
    .slice(2)
    .split('/')
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document)

test('schemas/asyncapi.json is committed as generated (make docs)', () => {
  expect(readFileSync(join(import.meta.dirname, '../../schemas/asyncapi.json'), 'utf8')).toBe(asyncapiText())
})

test("is what AsyncAPI's own schema asks for", () => {
  const valid = new Ajv({ strict: false, validateFormats: false }).compile(specification)
  expect(valid(document) || valid.errors).toBe(true)
  expect(valid({ ...document, servers: { secured: { host: 'x' } } })).toBe(false)
})

test('each topic is a channel with its types, and every reference leads somewhere', () => {
  expect(Object.keys(document.channels)).toEqual(TOPICS)
  for (const type of EVENT_TYPES) expect(document.channels[topicOf(type)]?.messages).toHaveProperty([type])
  const refs = [...asyncapiText().matchAll(/"\$ref": "([^"]+)"/g)].map(([, path = '']) => path)
  expect(refs.length).toBeGreaterThan(EVENT_TYPES.length)
  expect(refs.filter((path) => target(path) === undefined)).toEqual([])
})

describe.each(EVENT_TYPES)('%s', (type) => {
  const { headers, payload, bindings, examples } = document.components.messages[type]
  const [headersValid, payloadValid] = [ajv.compile(headers), ajv.compile(payload)]

  test('its examples are valid, and are events: one told, one told again', () => {
    const events = examples.map((example) => {
      expect(payloadValid(example.payload)).toBe(true)
      expect(headersValid(example.headers)).toBe(true)
      return fromBinary(example.headers, JSON.stringify(example.payload))
    })
    const replay = { id: expect.stringMatching(UUID) as unknown }
    expect(events).toEqual([sampleOf(type), { ...sampleOf(type), replay }])
  })

  test('its key is described, and is the one we write', () => {
    const keyValid = ajv.compile(bindings.kafka.key)
    expect(keyValid(toBinary(sampleOf(type)).key)).toBe(true)
    expect(keyValid('Any One')).toBe(false)
  })

  test('every header that we write is described, also those of a replay; without a required one it is refused', () => {
    const replayed = toBinary({ ...sampleOf(type), replay: { id: 'r', force: 'duplicate' } }).headers
    expect(Object.keys(replayed).filter((name) => headers['properties'][name] === undefined)).toEqual([])
    expect(headersValid(replayed)).toBe(true)
    for (const name of headers['required'] as string[]) {
      const { [name]: _gone, ...rest } = replayed
      expect(headersValid(rest)).toBe(false)
    }
  })
})
