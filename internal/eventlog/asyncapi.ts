// schemas/asyncapi.json: the topics for teams that consume them, with everything a client needs. AsyncAPI 3.1, Kafka bindings 0.5.0.

import { toBinary } from './codec.ts'
import { CATALOGUE, EVENT_TYPES, TOPICS, type EventType, type MailEvent, type Topic } from './events.ts'
import { sampleOf } from './samples.ts'
import { dataSchemaOf } from './schemas.ts'
import { deliveryRules, evolutionRules } from './rules.ts'
import { wantedTopics } from './topics.ts'

const BINDING_VERSION = '0.5.0'
/** Major versions of topics and types carry what breaks; this counts what is added to the document. */
const DOCUMENT_VERSION = '1.0.0'

const DESCRIPTION = `Every fact about a message of inbound mail. Records are CloudEvents 1.0 in binary mode: the value is the data as JSON,
attributes are headers of UTF-8 text. The key, the headers and the value of each type have a schema here.

## For consumers

${deliveryRules()}

## What may change

${evolutionRules()}`

const CREDENTIALS: Readonly<Record<string, string>> = {
  scramSha512: 'The login that the operator gave you; it needs READ and DESCRIBE on the topics and READ on your group.',
  scramSha256: 'As scramSha512, where the brokers offer only this.',
  plain: 'As scramSha512, where the brokers offer only this; over TLS alone.',
}

/** What each attribute says; headers are UTF-8 texts. */
const HEADERS: Readonly<Record<string, { description: string; format?: string }>> = {
  'content-type': {
    description: 'application/json: binary mode. application/cloudevents+json would be structured mode.',
  },
  traceparent: { description: 'W3C trace context of the trace in which the message was received.' },
  ce_specversion: { description: 'Always 1.0.' },
  ce_id: { description: 'Id of the event: the same when it is told again.', format: 'uuid' },
  ce_source: { description: '/ingest/<deployment>/<stage>.' },
  ce_type: { description: 'Type of the event.' },
  ce_subject: { description: 'Id of the message, and then the key; or of the refusal.', format: 'uuid' },
  ce_time: { description: 'When it happened, UTC.', format: 'date-time' },
  ce_dataschema: { description: 'Name of the JSON Schema of the data, with its major version.' },
  ce_partitionkey: { description: 'The key of the record.' },
  ce_tenant: { description: 'Slug of the tenant.' },
  ce_traceparent: { description: 'As traceparent.' },
  ce_replayid: { description: 'Which replay told the event again. Only on replays.' },
  ce_replayof: { description: 'Id of the event told again. Only on replays.' },
  ce_force: {
    description:
      'duplicate: work is wanted on what would count as a duplicate, or what a policy set aside. Only on replays.',
  },
}

/** What the key of a record is. */
const KEYS = {
  subject: { type: 'string', format: 'uuid', description: 'Id of the message.' },
  tenant: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]*$', description: 'Slug of the tenant.' },
} as const

/** The document as a value. */
export function asyncapiDocument(): Record<string, unknown> {
  return {
    asyncapi: '3.1.0',
    info: { title: 'Inbound mail events', version: DOCUMENT_VERSION, description: DESCRIPTION },
    defaultContentType: 'application/json',
    servers: {
      secured: {
        ...server('kafka-secure', 'SASL over TLS.'),
        security: Object.keys(CREDENTIALS).map((name) => ref(`components/securitySchemes/${name}`)),
      },
      plain: server('kafka', 'Without TLS and login, inside a trusted network.'),
    },
    channels: Object.fromEntries(TOPICS.map((topic) => [topic, channel(topic)])),
    operations: Object.fromEntries(TOPICS.map((topic) => [`publish.${topic}`, operation(topic)])),
    components: {
      messages: Object.fromEntries(EVENT_TYPES.map((type) => [type, message(type)])),
      securitySchemes: Object.fromEntries(
        Object.entries(CREDENTIALS).map(([type, description]) => [type, { type, description }]),
      ),
    },
  }
}

/** The document as it must be committed. */
export const asyncapiText = (): string => `${JSON.stringify(asyncapiDocument(), undefined, 2)}\n`

const typesOf = (topic: Topic): EventType[] => EVENT_TYPES.filter((type) => CATALOGUE[type].topic === topic)
const ref = (path: string) => ({ $ref: `#/${path}` })

/** Where it is depends on the deployment, so the document has a variable for it. */
function server(protocol: 'kafka' | 'kafka-secure', description: string): Record<string, unknown> {
  const broker = { description: 'host:port of any broker; clients find the others.', default: 'localhost:9092' }
  return { host: '{broker}', protocol, description, variables: { broker } }
}

function channel(topic: Topic): Record<string, unknown> {
  const shape = wantedTopics({ prefix: '', replication: 3 }).find(({ name }) => name === topic)
  const kafka = {
    topic,
    partitions: shape?.partitions,
    replicas: shape?.replication,
    topicConfiguration: {
      'cleanup.policy': ['delete'],
      'retention.ms': Number(shape?.config['retention.ms']),
    },
    bindingVersion: BINDING_VERSION,
  }
  return {
    address: topic,
    description:
      'Numbers are the defaults; a deployment may choose others, and put a prefix before the name (KAFKA_TOPIC_PREFIX).',
    messages: Object.fromEntries(typesOf(topic).map((type) => [type, ref(`components/messages/${type}`)])),
    bindings: { kafka },
  }
}

function operation(topic: Topic): Record<string, unknown> {
  return {
    action: 'send',
    summary: 'The product appends; consumers receive.',
    channel: ref(`channels/${topic}`),
    messages: typesOf(topic).map((type) => ref(`channels/${topic}/messages/${type}`)),
  }
}

function message(type: EventType): Record<string, unknown> {
  const { headers } = toBinary(sampleOf(type))
  const { description, data, key } = CATALOGUE[type]
  return {
    name: type,
    title: type,
    summary: description,
    contentType: 'application/json',
    headers: headerSchema(type, Object.keys(headers)),
    payload: data,
    correlationId: {
      location: '$message.header#/traceparent',
      description: 'The trace of the message, from MAIL FROM on.',
    },
    bindings: { kafka: { key: { ...KEYS[key] }, bindingVersion: BINDING_VERSION } },
    examples: [
      example('told', sampleOf(type)),
      example('told again by a replay', { ...sampleOf(type), replay: { id: REPLAY_ID } }),
    ],
  }
}

const REPLAY_ID = '019a8b2c-4d5e-7f60-8a1b-2c3d4e5f6072'

function example(name: string, event: MailEvent): Record<string, unknown> {
  const { headers, value } = toBinary(event)
  return { name, headers, payload: JSON.parse(value) as unknown }
}

/** What every event of ours has is required; what only replays have is not. */
function headerSchema(type: EventType, required: readonly string[]): Record<string, unknown> {
  const fixed: Readonly<Record<string, string>> = {
    ce_type: type,
    ce_dataschema: dataSchemaOf(type),
    ce_specversion: '1.0',
  }
  const properties = Object.entries(HEADERS).map(([name, about]) => {
    const value = fixed[name]
    return [name, { type: 'string', ...about, ...(value !== undefined && { const: value }) }]
  })
  return { type: 'object', required, properties: Object.fromEntries(properties) }
}
