import { describe, expect, test } from 'vitest'
import { compatibilityProblems, type ComparedSchema } from './compatibility.ts'
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
