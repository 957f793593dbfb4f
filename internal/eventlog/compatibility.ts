// May a schema follow another, or a set of topics? Records of the old one stay in the log, and its readers meet records of the new.

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

/** Keywords that are compared one by one, and those that say nothing about records. Any other must stay as it is. */
const COMPARED = [
  'type',
  'properties',
  'required',
  'items',
  'enum',
  'additionalProperties',
  ...SHAPES,
  ...Object.keys(BOUNDS),
]
const WORDS = ['$schema', '$id', '$comment', 'title', 'description', 'examples', 'default', 'deprecated']

/** What breaks readers or the records that are there, each with its place (`/documents/items/id`); empty if `next` may follow. */
export function compatibilityProblems(old: ComparedSchema, next: ComparedSchema, at = ''): string[] {
  const problems = [typeProblems, valueProblems, fieldProblems, otherProblems].flatMap((each) => each(old, next))
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

/** What is not understood here is not let through. */
function otherProblems(old: ComparedSchema, next: ComparedSchema): string[] {
  const keywords = new Set([...Object.keys(old), ...Object.keys(next)])
  for (const known of [...COMPARED, ...WORDS]) keywords.delete(known)
  return [...keywords].filter((keyword) => !same(old[keyword], next[keyword])).map((keyword) => `${keyword} changes`)
}

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** The part of an AsyncAPI document that consumers build on. */
export interface ComparedDocument {
  channels: Readonly<Record<string, { address: string; messages: Readonly<Record<string, unknown>> }>>
  components: { messages: Readonly<Record<string, ComparedMessage>> }
}

interface ComparedMessage {
  contentType: string
  headers: ComparedSchema
  payload: ComparedSchema
  bindings: { kafka: { key: ComparedSchema } }
}

/** What breaks those who read the topics of `old`; empty if `next` may follow. */
export function documentProblems(old: ComparedDocument, next: ComparedDocument): string[] {
  const inTopics = Object.entries(old.channels).flatMap(([topic, { address, messages }]) => {
    const after = next.channels[topic]
    if (after === undefined) return [`topic ${topic} is removed`]
    const renamed = after.address === address ? [] : [`topic ${topic} is renamed to ${after.address}`]
    const gone = Object.keys(messages).filter((type) => after.messages[type] === undefined)
    return [...renamed, ...gone.map((type) => `type ${type} is no longer in topic ${topic}`)]
  })
  const inTypes = Object.entries(old.components.messages).flatMap(([type, message]) => {
    const after = next.components.messages[type]
    if (after === undefined) return [`type ${type} is removed`]
    return messageProblems(message, after).map((problem) => `${type} ${problem}`)
  })
  return [...inTopics, ...inTypes]
}

function messageProblems(old: ComparedMessage, next: ComparedMessage): string[] {
  return [
    ...(old.contentType === next.contentType ? [] : [`content type becomes ${next.contentType}`]),
    // Also in words: another id of the same form would put records elsewhere.
    ...(same(old.bindings.kafka.key, next.bindings.kafka.key) ? [] : ['key changes']),
    ...compatibilityProblems(old.headers, next.headers).map((problem) => `headers ${problem}`),
    ...compatibilityProblems(old.payload, next.payload).map((problem) => `data ${problem}`),
  ]
}

/** Files of schemas/ by their path. */
export type SchemaFolder = ReadonlyMap<string, string>

/** What breaks with a later state of the folder schemas/, each with its file; empty if `next` may follow. */
export function folderProblems(old: SchemaFolder, next: SchemaFolder): string[] {
  return [...old].flatMap(([path, text]) => {
    const after = next.get(path)
    if (after === undefined) return [`${path}: removed`]
    return fileProblems(path, text, after).map((problem) => `${path}: ${problem}`)
  })
}

function fileProblems(path: string, old: string, next: string): string[] {
  if (path.startsWith('schemas/fixtures/')) return old === next ? [] : ['edited; add a file instead']
  const [before, after] = [JSON.parse(old) as unknown, JSON.parse(next) as unknown]
  if (path === 'schemas/asyncapi.json') return documentProblems(before as ComparedDocument, after as ComparedDocument)
  return compatibilityProblems(before as ComparedSchema, after as ComparedSchema)
}
