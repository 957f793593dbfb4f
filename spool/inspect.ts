// The spool for tools: reads without any lock and changes nothing, while writer and reader may be at work. What it says was true when it
// looked; an entry that is gone a moment later has been handed on.
import type { Readable } from 'node:stream'
import type { AsideRecord } from './aside.ts'
import { asideIds, asideNames, TORN_TAIL } from './aside.ts'
import { bodyPlace, openBody, type BodyPlace } from './body.ts'
import type { SpoolEntry, SpoolNote } from './contract.ts'
import { isMissing, textOf } from './fault.ts'
import type { Fs } from './fs.ts'
import { HEADER_BYTES } from './frame.ts'
import { bytesOf, layoutOf, sizeOf, type Layout } from './layout.ts'
import { readPosition } from './position.ts'
import { Ranges } from './ranges.ts'
import { listSegments, type Segment } from './segment.ts'
import { Walk, type Found, type Frame } from './walk.ts'

export interface InspectedEntry extends SpoolEntry {
  /** `done`: handed on, its segment is still there. */
  state: 'pending' | 'done' | 'aside'
  segment: string
  offset: number
  /** Why it was set aside. */
  reason?: string
}

export interface AsideEntry extends InspectedEntry {
  state: 'aside'
  reason: string
  /** Wall clock, milliseconds since 1970. */
  asideAt: number
}

export interface Finding {
  /** Path below the spool directory. */
  file: string
  offset: number
  problem: string
  /** The entry that it concerns, where that is known. */
  id?: string
}

export interface Inspection {
  /** Entries in the log, oldest first; with `done`, also those that are done and not removed yet. */
  entries(options?: { done?: boolean }): AsyncIterable<InspectedEntry>
  aside(): AsyncIterable<AsideEntry>
  /** Notes in the log that are not done, oldest first. */
  notes(): AsyncIterable<SpoolNote>
  /** In any state; undefined if nothing in the directory is about it. */
  find(id: string): Promise<InspectedEntry | undefined>
  /** Bytes of the log that failed their checksum and are kept in aside/, until a person removes them. Torn tails are none. */
  damaged(): AsyncIterable<Finding>
  /** Everything that is not as it should be, what is damaged included. With `bodies`, every pending body is read against its SHA-256. */
  verify(options?: { bodies?: boolean }): AsyncIterable<Finding>
}

type Located = { found: Found; segment: Segment; isDone: boolean }

export function inspect({ fs, dir }: { fs: Fs; dir: string }): Inspection {
  const layout = layoutOf(dir)
  return {
    entries: ({ done = false } = {}) => entries(fs, layout, done),
    aside: () => aside(fs, layout),
    notes: () => notes(fs, layout),
    find: (id) => find(fs, layout, id),
    damaged: () => damaged(fs, layout),
    verify: ({ bodies = false } = {}) => verify(fs, layout, bodies),
  }
}

/** What is in the log, segment by segment, and at the end of each its tail, if it has one. */
async function* log(fs: Fs, layout: Layout): AsyncGenerator<Located> {
  const position = await readPosition(fs, layout)
  const segments = await listSegments(fs, layout.log).catch(noneIfMissing)
  for (const segment of segments) {
    const done = position.done.get(segment.name) ?? new Ranges()
    const tail = segment === segments.at(-1) ? 'tail of the newest segment, torn or being written' : 'tail'
    for await (const found of segmentLog(fs, layout, { segment, tail })) {
      yield { found, segment, isDone: found.kind === 'frame' && done.covers(found.frame.offset, found.frame.end) }
    }
  }
}

async function* segmentLog(
  fs: Fs,
  layout: Layout,
  { segment, tail }: { segment: Segment; tail: string },
): AsyncGenerator<Found> {
  try {
    const file = await fs.open(`${layout.log}/${segment.name}`, 'read')
    try {
      const walk = new Walk(file, segment)
      for (let found = await walk.next(true); found !== undefined; found = await walk.next(true)) {
        yield found
        if (found.kind === 'foreign') return
      }
      const size = await file.size()
      if (size > walk.offset) yield { kind: 'bad', offset: walk.offset, end: size, problem: tail, ids: walk.tailIds }
    } finally {
      await file.close()
    }
  } catch (error) {
    if (!isMissing(error)) throw error // removed while we looked
  }
}

async function* entries(fs: Fs, layout: Layout, withDone: boolean): AsyncGenerator<InspectedEntry> {
  for await (const { found, isDone } of log(fs, layout)) {
    if (isEntry(found) && (withDone || !isDone)) yield inspected(fs, layout, found.frame, isDone)
  }
}

const isEntry = (found: Found): found is Found & { kind: 'frame' } =>
  found.kind === 'frame' && found.frame.kind !== 'note'

async function* notes(fs: Fs, layout: Layout): AsyncGenerator<SpoolNote> {
  for await (const { found, isDone } of log(fs, layout)) {
    if (found.kind !== 'frame' || found.frame.kind !== 'note' || isDone) continue
    const { id, envelope: note, receivedAt } = found.frame
    yield { id, note, receivedAt }
  }
}

function inspected(fs: Fs, layout: Layout, frame: Frame, isDone: boolean): InspectedEntry {
  return { ...facts(frame), state: isDone ? 'done' : 'pending', open: () => openBody(fs, bodyPlace(layout, frame)) }
}

function facts({ id, envelope, bodyBytes: sizeBytes, sha256, receivedAt, segment, offset }: Frame) {
  return { id, envelope, sizeBytes, sha256, receivedAt, segment, offset }
}

async function* aside(fs: Fs, layout: Layout): AsyncGenerator<AsideEntry> {
  for (const id of await asideIds(fs, layout).catch(noneIfMissing)) {
    const entry = await asideEntry(fs, layout, id)
    if (entry !== undefined) yield entry
  }
}

async function asideEntry(fs: Fs, layout: Layout, id: string): Promise<AsideEntry | undefined> {
  const record = await readRecord(fs, `${layout.aside}/${id}.json`)
  if (record?.entry === undefined) return undefined
  const { entry: frame, reason, at: asideAt } = record
  return { ...facts(frame), state: 'aside', reason, asideAt, open: () => openAside(fs, layout, frame) }
}

function openAside(fs: Fs, layout: Layout, frame: Frame): Readable {
  const { id, bodyBytes: bytes, sha256 } = frame
  const place: BodyPlace =
    frame.kind === 'large'
      ? { id, path: `${layout.aside}/${id}.body`, offset: 0, bytes, sha256, whole: true }
      : {
          id,
          path: `${layout.aside}/${id}.frame`,
          offset: HEADER_BYTES + frame.envelopeBytes,
          bytes,
          sha256,
          whole: true,
        }
  return openBody(fs, place)
}

async function* damaged(fs: Fs, layout: Layout): AsyncGenerator<Finding> {
  for (const name of await asideNames(fs, layout).catch(noneIfMissing)) {
    const record = await readRecord(fs, `${layout.aside}/${name}.json`)
    if (record?.bytes === undefined || record.reason === TORN_TAIL) continue
    yield* badFindings(`aside/${name}.bytes`, {
      offset: 0,
      end: record.bytes,
      problem: record.reason,
      ids: record.ids ?? [],
    })
  }
}

async function readRecord(fs: Fs, path: string): Promise<AsideRecord | undefined> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of bytesOf(fs, path, 0, Number.MAX_SAFE_INTEGER)) chunks.push(chunk)
    return JSON.parse(Buffer.concat(chunks).toString()) as AsideRecord
  } catch (error) {
    if (isMissing(error) || error instanceof SyntaxError) return undefined
    throw error
  }
}

async function find(fs: Fs, layout: Layout, id: string): Promise<InspectedEntry | undefined> {
  const kept = await asideEntry(fs, layout, id)
  if (kept !== undefined) return kept
  for await (const { found, isDone } of log(fs, layout)) {
    if (isEntry(found) && found.frame.id === id) return inspected(fs, layout, found.frame, isDone)
  }
  return undefined
}

async function* verify(fs: Fs, layout: Layout, bodies: boolean): AsyncGenerator<Finding> {
  const { problem } = await readPosition(fs, layout)
  if (problem !== undefined) yield { file: 'reader.pos', offset: 0, problem }
  yield* damaged(fs, layout)
  const unnamed = new Set(await fs.readdir(layout.large).catch(noneIfMissing))
  for await (const { found, segment, isDone } of log(fs, layout)) {
    const file = `log/${segment.name}`
    if (found.kind === 'foreign')
      yield { file, offset: 0, problem: `format version ${found.version} is not known here` }
    else if (found.kind === 'bad') yield* badFindings(file, found)
    else {
      unnamed.delete(found.frame.id)
      if (!isDone && isEntry(found)) yield* bodyFindings(fs, layout, { frame: found.frame, file, bodies })
    }
  }
  // A body that is on its way in has no frame yet.
  for (const name of unnamed)
    yield { file: `large/${name}`, offset: 0, problem: 'no frame names it: on its way in, or never acknowledged' }
}

function* badFindings(file: string, found: Omit<Found & { kind: 'bad' }, 'kind'>): Generator<Finding> {
  const problem = `${found.end - found.offset} bytes are no frame: ${found.problem}`
  if (found.ids.length === 0) yield { file, offset: found.offset, problem }
  for (const id of found.ids) yield { file, offset: found.offset, problem, id }
}

async function* bodyFindings(
  fs: Fs,
  layout: Layout,
  { frame, file, bodies }: { frame: Frame; file: string; bodies: boolean },
): AsyncGenerator<Finding> {
  const { id, offset } = frame
  const place = bodyPlace(layout, frame)
  const size = place.whole ? await sizeOf(fs, place.path) : place.bytes
  if (size === undefined) yield { file: `large/${id}`, offset: 0, problem: 'the body is missing', id }
  else if (size !== place.bytes)
    yield { file: `large/${id}`, offset: 0, problem: `the body has ${size} of ${place.bytes} bytes`, id }
  else if (bodies) {
    const problem = await readThrough(openBody(fs, place))
    if (problem !== undefined)
      yield { file: place.whole ? `large/${id}` : file, offset: place.whole ? 0 : offset, problem, id }
  }
}

async function readThrough(body: Readable): Promise<string | undefined> {
  try {
    for await (const _ of body);
    return undefined
  } catch (error) {
    return textOf(error)
  }
}

function noneIfMissing(error: unknown): [] {
  if (isMissing(error)) return []
  throw error
}
