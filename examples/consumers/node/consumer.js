// Reads the events of every topic. What it knows of them is in the AsyncAPI document that it is given.
//
//   node consumer.js BROKERS ASYNCAPI.json GROUP
//
// KAFKA_USERNAME, KAFKA_PASSWORD and KAFKA_CA (a file) are for brokers that want TLS and a login.

import { readFileSync } from 'node:fs'
import { Consumer, stringDeserializers } from '@platformatic/kafka'
import { Ajv2020 } from 'ajv/dist/2020.js'

const [brokers, documentFile, groupId] = process.argv.slice(2)
const document = JSON.parse(readFileSync(documentFile, 'utf8'))
const resolved = ({ $ref }) =>
  $ref
    .slice('#/'.length)
    .split('/')
    .reduce((at, name) => at[name], document)

// Formats are words for people here; new fields and keywords are no trouble.
const ajv = new Ajv2020({ strict: false, validateFormats: false })

/** Topic to the types in it; a type is told by those headers that are constant. */
const topics = new Map(
  Object.values(document.channels).map(({ address, messages }) => [
    address,
    Object.values(messages).map((message) => {
      const { name, contentType, headers, payload, bindings } = resolved(message)
      const constant = Object.entries(headers.properties).filter(([, { const: value }]) => value !== undefined)
      return {
        name,
        contentType,
        matches: (given) => constant.every(([header, { const: value }]) => given[header] === value),
        checks: { key: ajv.compile(bindings.kafka.key), headers: ajv.compile(headers), value: ajv.compile(payload) },
      }
    }),
  ]),
)

const consumer = new Consumer({
  clientId: 'example-node',
  groupId,
  bootstrapBrokers: brokers.split(','),
  deserializers: stringDeserializers,
  ...login(document.servers.secured),
})
const stream = await consumer.consume({
  topics: [...topics.keys()],
  mode: 'committed',
  fallbackMode: 'earliest',
  autocommit: false,
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stream.close())

/** Ids that were handled. A real consumer keeps them in its database, written in the transaction of its effects. */
const handled = new Set()
for await (const message of stream) {
  handle(message)
  await message.commit()
}
await consumer.close()

function handle({ topic, partition, offset, key, value, headers: pairs }) {
  const headers = Object.fromEntries(pairs)
  const type = topics.get(topic).find(({ matches }) => matches(headers))
  const place = { topic, partition, offset: Number(offset) }
  if (type === undefined) return print({ ...place, skipped: headers.ce_type ?? null })
  if (!headers['content-type']?.startsWith(type.contentType)) throw new Error(`content type of ${type.name}`)
  const data = JSON.parse(value)
  for (const [part, given] of Object.entries({ key, headers, value: data })) {
    const check = type.checks[part]
    if (!check(given)) throw new Error(`${part} of ${type.name}: ${ajv.errorsText(check.errors)}`)
  }
  const { ce_id: id, ce_tenant: tenant, ce_replayid: replay = null } = headers
  const duplicate = handled.has(id)
  if (!duplicate) handled.add(id) // This is where the effect would be.
  return print({ ...place, type: type.name, id, key, tenant, duplicate, replay })
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** TLS and the first kind of login that the document has for its secured server. */
function login(server) {
  const { KAFKA_USERNAME: username, KAFKA_PASSWORD: password, KAFKA_CA: ca } = process.env
  if (username === undefined) return {}
  const mechanism = { scramSha512: 'SCRAM-SHA-512' }[resolved(server.security[0]).type]
  return { tls: { ca: readFileSync(ca) }, sasl: { mechanism, username, password } }
}
