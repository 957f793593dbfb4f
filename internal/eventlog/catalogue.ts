// docs/events.md, made from the vocabulary, so that the document cannot say anything else than the code.

import { STRUCTURED_TYPE, toBinary, toStructured } from './codec.ts'
import { CATALOGUE, EVENT_TYPES, TOPICS, type EventType } from './events.ts'
import { sampleOf } from './samples.ts'
import { deliveryRules, evolutionRules } from './rules.ts'
import { dataSchemaOf } from './schemas.ts'

const INTRODUCTION = `# Events

Generated from \`internal/eventlog\` by \`make docs\`; do not edit.

Every fact about a message is an event in the log: a [CloudEvents 1.0](https://cloudevents.io) record with JSON data.
`

const SEMANTICS = `## Delivery

${deliveryRules()}

## What may change

${evolutionRules()}

\`make check\` compares the schemas, keys, headers and topics with those of the commit before, of the main branch and of the last
release, and refuses what never comes. Records as they once stood in the log are kept in \`schemas/fixtures/\`; they are never edited, and each
must still be read.

## Consumers

[asyncapi.json](../schemas/asyncapi.json) is all that a consumer needs: topics, keys, headers, schemas, examples and the rules above. In
[examples/consumers](../examples/consumers/README.md) are three small programs that were written with it alone, in Node, Python and
Java, each with its language's usual client; they run on a real broker in \`make test\`.
`

/** What docs/events.md says. `reasons`: a heading each, with reasons and their meanings, which other packages own. */
export function eventCatalogueMarkdown(
  reasons: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
): string {
  const parts = [INTRODUCTION, overview(), SEMANTICS, attributes(), ...EVENT_TYPES.map(typeSection)]
  for (const [heading, of] of Object.entries(reasons)) parts.push(reasonSection(heading, of))
  return parts.join('\n')
}

function overview(): string {
  const rows = EVENT_TYPES.map(
    (type) => `| [\`${type}\`](#${anchor(type)}) | \`${topicOf(type)}\` | ${CATALOGUE[type].description} |`,
  )
  return `## Types

The key of every record is the message id; in \`mail.refusals.v1\` it is the tenant. Topics: ${TOPICS.map((topic) => `\`${topic}\``).join(', ')}.

| type | topic | says |
| --- | --- | --- |
${rows.join('\n')}
`
}

const topicOf = (type: EventType) => CATALOGUE[type].topic
const anchor = (type: EventType) => type.replaceAll('.', '')

function attributes(): string {
  const { headers } = toBinary(sampleOf('ingest.received'))
  return `## Attributes

In binary mode attributes are headers with the prefix \`ce_\` and the record's value is the data; \`traceparent\` is also a plain header.
Exports use structured mode (\`${STRUCTURED_TYPE}\`), where they are members beside \`data\`.

${fenced(headers)}
`
}

function typeSection(type: EventType): string {
  const { description, data } = CATALOGUE[type]
  return `## ${type}

${description} Topic \`${topicOf(type)}\`, schema [\`${dataSchemaOf(type)}\`](../${dataSchemaOf(type).replace(/^https:\/\/[^/]+\//, '')}).

| field | type | meaning |
| --- | --- | --- |
${fieldRows(data).join('\n')}

${fenced(toStructured(sampleOf(type)))}
`
}

function reasonSection(heading: string, reasons: Readonly<Record<string, string>>): string {
  const rows = Object.entries(reasons).map(([reason, meaning]) => `| \`${reason}\` | ${meaning} |`)
  return `## ${heading}

| reason | meaning |
| --- | --- |
${rows.join('\n')}
`
}

/** The part of JSON Schema that the vocabulary uses. */
interface Schema {
  type?: string
  format?: string
  description?: string
  required?: readonly string[]
  properties?: Readonly<Record<string, Schema>>
  items?: Schema
}

function fieldRows(schema: Schema, parent = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const optional = schema.required?.includes(name) ? '' : ', optional'
    const path = parent + name
    const row = `| \`${path}\` | ${field.format ?? field.type ?? ''}${optional} | ${field.description ?? ''} |`
    return [row, ...fieldRows(field.items ?? {}, `${path}[].`)]
  })
}

const fenced = (value: unknown) => ['```json', JSON.stringify(value, undefined, 2), '```'].join('\n')
