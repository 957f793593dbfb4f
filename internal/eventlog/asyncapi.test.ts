import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020, type AnySchemaObject } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { asyncapiDocument, asyncapiText } from './asyncapi.ts'
import { fromBinary, toBinary } from './codec.ts'
import { EVENT_TYPES, TOPICS, topicOf, type EventType } from './events.ts'
import { sampleOf } from './samples.ts'

interface Message {
  headers: AnySchemaObject
  payload: AnySchemaObject
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

test('each topic is a channel with its types, and every reference leads somewhere', () => {
  expect(Object.keys(document.channels)).toEqual(TOPICS)
  for (const type of EVENT_TYPES) expect(document.channels[topicOf(type)]?.messages).toHaveProperty([type])
  const refs = [...asyncapiText().matchAll(/"\$ref": "([^"]+)"/g)].map(([, path = '']) => path)
  expect(refs.length).toBeGreaterThan(EVENT_TYPES.length)
  expect(refs.filter((path) => target(path) === undefined)).toEqual([])
})

describe.each(EVENT_TYPES)('%s', (type) => {
  const { headers, payload, examples } = document.components.messages[type]
  const [headersValid, payloadValid] = [ajv.compile(headers), ajv.compile(payload)]

  test('its example is valid, and is an event', () => {
    expect(examples).toHaveLength(1)
    for (const example of examples) {
      expect(payloadValid(example.payload)).toBe(true)
      expect(headersValid(example.headers)).toBe(true)
      expect(fromBinary(example.headers, JSON.stringify(example.payload))).toEqual(sampleOf(type))
    }
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
