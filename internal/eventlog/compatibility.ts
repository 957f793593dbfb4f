// May a schema follow another? Records of the old one stay in the log, and readers of the old one meet records of the new.

/** The part of JSON Schema that events use. */
export interface ComparedSchema {
  type?: string | readonly string[]
  properties?: Readonly<Record<string, ComparedSchema>>
  required?: readonly string[]
  items?: ComparedSchema
  enum?: readonly unknown[]
  additionalProperties?: unknown
  [keyword: string]: unknown
}

/** Bounds on values: a new or tighter one forbids what is in the log. The number says which way is tighter. */
const BOUNDS: Readonly<Record<string, 1 | -1>> = {
  minimum: 1,
  exclusiveMinimum: 1,
  minLength: 1,
  minItems: 1,
  maximum: -1,
  exclusiveMaximum: -1,
  maxLength: -1,
  maxItems: -1,
}

/** Keywords that must stay, or go: another value forbids what is in the log. */
const SHAPES = ['const', 'pattern', 'format'] as const

/** What breaks readers or the records that are there, each with its place (`/documents/items/id`); empty if `next` may follow. */
export function compatibilityProblems(old: ComparedSchema, next: ComparedSchema, at = ''): string[] {
  const problems = [...typeProblems(old, next), ...valueProblems(old, next), ...fieldProblems(old, next)]
  const here = problems.map((problem) => `${at || '/'}: ${problem}`)
  const inFields = Object.entries(old.properties ?? {}).flatMap(([name, field]) => {
    const after = next.properties?.[name]
    return after === undefined ? [] : compatibilityProblems(field, after, `${at}/${name}`)
  })
  const inItems = old.items && next.items ? compatibilityProblems(old.items, next.items, `${at}/items`) : []
  return [...here, ...inFields, ...inItems]
}

function fieldProblems(old: ComparedSchema, next: ComparedSchema): string[] {
  const [fields, required] = [Object.keys(old.properties ?? {}), old.required ?? []]
  const removed = fields.filter((name) => next.properties?.[name] === undefined)
  const demanded = (next.required ?? []).filter((name) => !required.includes(name))
  const dropped = required.filter((name) => !(next.required ?? []).includes(name) && !removed.includes(name))
  const closed = next.additionalProperties === false && old.additionalProperties !== false
  return [
    ...removed.map((name) => `field ${name} is removed`),
    ...demanded.map((name) => `field ${name} is newly required`),
    ...dropped.map((name) => `field ${name} is no longer required`),
    ...(closed ? ['other fields are newly forbidden'] : []),
  ]
}

/** Narrowed, old records break; widened, old readers do. */
function typeProblems(old: ComparedSchema, next: ComparedSchema): string[] {
  const [before, after] = [typesOf(old), typesOf(next)]
  return before === after ? [] : [`type changes from ${before} to ${after}`]
}

const typesOf = ({ type }: ComparedSchema): string =>
  type === undefined ? 'any' : [type].flat().toSorted().join(' or ')

function valueProblems(old: ComparedSchema, next: ComparedSchema): string[] {
  const shapes = SHAPES.filter((keyword) => next[keyword] !== undefined && next[keyword] !== old[keyword])
  const bounds = Object.entries(BOUNDS).filter(([keyword, tighter]) => {
    const [before, after] = [old[keyword], next[keyword]]
    return typeof after === 'number' && (typeof before !== 'number' || (after - before) * tighter > 0)
  })
  // Readers treat what they do not know as "other", so values may come, but none may go.
  const values = new Set(next.enum)
  const gone = next.enum === undefined ? [] : (old.enum ?? ['any other']).filter((value) => !values.has(value))
  return [
    ...shapes.map((keyword) => `${keyword} becomes ${JSON.stringify(next[keyword])}`),
    ...bounds.map(([keyword]) => `${keyword} becomes ${JSON.stringify(next[keyword])}`),
    ...gone.map((value) => `value ${JSON.stringify(value)} is removed`),
  ]
}
