// JSON Schemas 2020-12 of the events' data: one object serves types, checks, the committed files and the documents.

import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { CATALOGUE, EVENT_TYPES, type EventType } from './events.ts'

/** Where the schemas have their names; a name, not an address to fetch from. */
const BASE = 'https://mail-ingest.invalid/'

/** Major version of every type so far. A breaking change adds a type with the next one and tells both for a retention period. */
const MAJOR = 1

const pathOf = (type: EventType) => `schemas/events/${type}/v${MAJOR}.json`

/** The `dataschema` attribute of a type: the `$id` of its JSON Schema. */
export const dataSchemaOf = (type: EventType): string => BASE + pathOf(type)

export interface SchemaFile {
  /** From the root of the repository. */
  path: string
  text: string
}

/** The files under schemas/, as they must be committed. */
export function schemaFiles(): SchemaFile[] {
  return EVENT_TYPES.map((type) => {
    const { description, data } = CATALOGUE[type]
    const head = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: dataSchemaOf(type),
      title: type,
      description,
    }
    return { path: pathOf(type), text: `${JSON.stringify({ ...head, ...data }, undefined, 2)}\n` }
  })
}

const validators = new Map(EVENT_TYPES.map((type) => [type, Compile(CATALOGUE[type].data as TSchema)]))

/** Throws a TypeError that names the first wrong field, unless `data` is what the schema of `type` says. */
export function validateData(type: EventType, data: unknown): void {
  const validator = validators.get(type)
  if (validator === undefined) throw new TypeError(`no event type ${type}`)
  if (validator.Check(data)) return
  const [first] = validator.Errors(data)
  throw new TypeError(`data of ${type}: ${first?.instancePath ?? ''} ${first?.message ?? 'is wrong'}`)
}
