import { describe, expect, test } from 'vitest'
import { asyncapiDocument } from './asyncapi.ts'
import {
  compatibilityProblems,
  documentProblems,
  folderProblems,
  type ComparedDocument,
  type ComparedSchema,
} from './compatibility.ts'
import { schemaFiles } from './schemas.ts'

const field = (schema: ComparedSchema): ComparedSchema => ({
  type: 'object',
  required: ['a'],
  properties: { a: schema },
})
const text = { type: 'string' }

describe('a schema may follow another', () => {
  test.each<[string, ComparedSchema, ComparedSchema, string[]]>([
    ['nothing changed', field(text), field(text), []],
    ['a new optional field', field(text), { ...field(text), properties: { a: text, b: text } }, []],
    ['another description', field(text), field({ ...text, description: 'new' }), []],
    ['a field removed', field(text), { type: 'object', required: [], properties: {} }, ['/: field a is removed']],
    [
      'a new required field',
      field(text),
      { type: 'object', required: ['a', 'b'], properties: { a: text, b: text } },
      ['/: field b is newly required'],
    ],
    [
      'a field that may now be missing',
      field(text),
      { ...field(text), required: [] },
      ['/: field a is no longer required'],
    ],
    [
      'a narrowed type',
      field({ type: ['string', 'null'] }),
      field(text),
      ['/a: type changes from null or string to string'],
    ],
    [
      'a widened type',
      field({ type: 'integer' }),
      field({ type: 'number' }),
      ['/a: type changes from integer to number'],
    ],
    ['a type where there was none', field({}), field(text), ['/a: type changes from any to string']],
    ['the same types in another order', field({ type: ['a', 'b'] }), field({ type: ['b', 'a'] }), []],
    ['a value removed', field({ enum: ['x', 'y'] }), field({ enum: ['x'] }), ['/a: value "y" is removed']],
    ['a value added: readers treat it as other', field({ enum: ['x'] }), field({ enum: ['x', 'y'] }), []],
    [
      'values where all were allowed',
      field(text),
      field({ ...text, enum: ['x'] }),
      ['/a: value "any other" is removed'],
    ],
    ['a new format', field(text), field({ ...text, format: 'uuid' }), ['/a: format becomes "uuid"']],
    ['a format taken away', field({ ...text, format: 'uuid' }), field(text), []],
    ['another pattern', field({ pattern: '^a' }), field({ pattern: '^b' }), ['/a: pattern becomes "^b"']],
    ['a higher minimum', field({ minimum: 0 }), field({ minimum: 1 }), ['/a: minimum becomes 1']],
    ['a lower minimum', field({ minimum: 1 }), field({ minimum: 0 }), []],
    ['a new maximum', field({}), field({ maxLength: 9 }), ['/a: maxLength becomes 9']],
    ['a higher maximum', field({ maxItems: 1 }), field({ maxItems: 2 }), []],
    ['a keyword that is not compared', field({}), field({ oneOf: [text] }), ['/a: oneOf changes']],
    ['the same such keyword', field({ oneOf: [text] }), field({ oneOf: [text], title: 'new' }), []],
    [
      'closed to other fields',
      field(text),
      { ...field(text), additionalProperties: false },
      ['/: other fields are newly forbidden'],
    ],
    [
      'deep within a list',
      field({ type: 'array', items: field(text) }),
      field({ type: 'array', items: field({ type: 'number' }) }),
      ['/a/items/a: type changes from string to number'],
    ],
  ])('%s', (_name, old, next, problems) => expect(compatibilityProblems(old, next)).toEqual(problems))

  test.each(schemaFiles())('$path may follow itself', ({ text }) => {
    const schema = JSON.parse(text) as ComparedSchema
    expect(compatibilityProblems(schema, schema)).toEqual([])
  })
})

describe('topics may follow others', () => {
  const document = () => structuredClone(asyncapiDocument()) as unknown as ComparedDocument
  /** The document with the value at `path` replaced, or removed. */
  function changed(path: readonly string[], value?: unknown): ComparedDocument {
    const copy = document()
    const name = path.at(-1) ?? ''
    const parent = path
      .slice(0, -1)
      .reduce((at, step) => at[step] as Record<string, unknown>, copy as unknown as Record<string, unknown>)
    if (value === undefined) delete parent[name]
    else parent[name] = value
    return copy
  }
  const [topic, type] = ['mail.ingest.v1', 'ingest.received']
  const message = ['components', 'messages', type]

  test.each<[string, ComparedDocument, string[]]>([
    ['nothing changed', document(), []],
    ['another text', changed(['info', 'description'], 'new'), []],
    ['a new topic', changed(['channels', 'mail.new.v1'], { address: 'mail.new.v1', messages: {} }), []],
    ['a new type in a topic', changed(['channels', topic, 'messages', 'new'], {}), []],
    ['a new header', changed([...message, 'headers', 'properties', 'ce_new'], { type: 'string' }), []],
    ['a topic removed', changed(['channels', topic]), [`topic ${topic} is removed`]],
    ['a topic renamed', changed(['channels', topic, 'address'], 'other'), [`topic ${topic} is renamed to other`]],
    [
      'a type moved to another topic',
      changed(['channels', topic, 'messages', type]),
      [`type ${type} is no longer in topic ${topic}`],
    ],
    ['a type removed', changed(message), [`type ${type} is removed`]],
    [
      'another key of the same form',
      changed([...message, 'bindings', 'kafka', 'key', 'description'], 'Id of the tenant.'),
      [`${type} key changes`],
    ],
    [
      'another content type',
      changed([...message, 'contentType'], 'text/xml'),
      [`${type} content type becomes text/xml`],
    ],
    [
      'a header removed',
      changed([...message, 'headers', 'properties', 'ce_replayid']),
      [`${type} headers /: field ce_replayid is removed`],
    ],
    [
      'another major version under the same name',
      changed([...message, 'headers', 'properties', 'ce_dataschema', 'const'], 'v2'),
      [`${type} headers /ce_dataschema: const becomes "v2"`],
    ],
    [
      'a field of the data removed',
      changed([...message, 'payload', 'properties', 'sha256']),
      [`${type} data /: field sha256 is removed`],
    ],
  ])('%s', (_name, next, problems) => expect(documentProblems(document(), next)).toEqual(problems))
})

describe('a folder of schemas may follow another', () => {
  const folder = (path: string, text: string) => new Map([[path, text]])
  const [schema, fixture] = ['schemas/events/x/v1.json', 'schemas/fixtures/x/v1/told.json']

  test.each<[string, string, string, string | undefined, string[]]>([
    ['a schema that may follow', schema, '{}', '{"title":"x"}', []],
    ['a schema that may not', schema, '{}', '{"type":"object"}', [`${schema}: /: type changes from any to object`]],
    ['a schema removed', schema, '{}', undefined, [`${schema}: removed`]],
    ['a record removed', fixture, '{}', undefined, [`${fixture}: removed`]],
    ['a record edited', fixture, '{}', '{ }', [`${fixture}: edited; add a file instead`]],
  ])('%s', (_name, path, old, next, problems) => {
    expect(folderProblems(folder(path, old), next === undefined ? new Map() : folder(path, next))).toEqual(problems)
  })

  test('what is new is not compared', () => {
    expect(folderProblems(new Map(), folder(schema, '{}'))).toEqual([])
  })
})
