import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { eventCatalogueMarkdown } from './catalogue.ts'
import { EVENT_TYPES } from './events.ts'
import { sampleOf } from './samples.ts'
import { dataSchemaOf, schemaFiles, validateData } from './schemas.ts'

const ROOT = join(import.meta.dirname, '../..')
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const ajv = new Ajv2020({
  strict: true,
  formats: { uuid: UUID, 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) },
})

describe.each(schemaFiles())('$path', ({ path, text }) => {
  test('is committed as generated (make docs)', () => {
    expect(readFileSync(join(ROOT, path), 'utf8')).toBe(text)
  })

  test('another validator accepts the sample, and refuses it with any required field missing', () => {
    const schema = JSON.parse(text) as { $id: string; title: string; required: string[] }
    const type = EVENT_TYPES.find((each) => dataSchemaOf(each) === schema.$id)
    expect(type).toBe(schema.title)
    if (type === undefined) return
    const { data } = sampleOf(type)
    const valid = ajv.compile(schema)
    expect(valid(data)).toBe(true)
    validateData(type, data)
    for (const field of schema.required) {
      const { [field as keyof typeof data]: _gone, ...rest } = data
      expect(valid(rest)).toBe(false)
      expect(() => validateData(type, rest)).toThrow(TypeError)
    }
  })
})

test('schemas/events holds nothing else', () => {
  const there = readdirSync(join(ROOT, 'schemas/events'), { recursive: true, withFileTypes: true })
  const files = there
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name).slice(ROOT.length + 1))
  expect(files.sort()).toEqual(
    schemaFiles()
      .map(({ path }) => path)
      .sort(),
  )
})

test('the document names every type, every field and every reason that it is given', () => {
  const text = eventCatalogueMarkdown({
    'Reasons of quarantine': { parse_timeout: 'The parser gave no result in time.' },
  })
  for (const type of EVENT_TYPES) {
    expect(text).toContain(`## ${type}\n`)
    for (const field of Object.keys(sampleOf(type).data)) expect(text).toContain(`| \`${field}\` |`)
  }
  expect(text).toContain('`documents[].sha256`')
  expect(text).toContain('| `parse_timeout` | The parser gave no result in time. |')
})
