// aside/: what cannot be handed on, kept for a person. Nothing is ever deleted from here by the spool.
//
//   <id>.json .frame .body      an entry that was set aside: the reason, its frame, and its body where that had a file of its own
//   <segment>-<offset>.json .bytes    bytes of the log that are no frame
//   <name>.partial .partial.json      a file of large/ that no frame names: it was never acknowledged
import { isMissing, isNoSpace } from './fault.ts'
import type { Fs } from './fs.ts'
import { isId } from './frame.ts'
import { bytesOf, putFile, sizeOf, type Layout } from './layout.ts'
import type { Frame } from './walk.ts'

interface Place {
  fs: Fs
  layout: Layout
  by: 'writer' | 'reader'
  /** Wall clock, milliseconds since 1970. */
  now: number
}

export interface AsideRecord {
  version: 1
  reason: string
  /** Wall clock, milliseconds since 1970. */
  at: number
  segment?: string
  offset?: number
  bytes?: number
  /** Entries whose headers are readable in a bad stretch of the log. */
  ids?: string[]
  entry?: Frame
}

const RECORD = /^(.*)\.json$/

function putRecord(
  { fs, layout, by, now }: Place,
  name: string,
  facts: Omit<AsideRecord, 'version' | 'at'>,
): Promise<void> {
  const record: AsideRecord = { version: 1, at: now, ...facts }
  const chunks = [Buffer.from(`${JSON.stringify(record, undefined, 2)}\n`)]
  return putFile(fs, { directory: layout.aside, name: `${name}.json`, by, chunks })
}

/** Keeps an entry: durable when it resolves. Repeatable from any point. */
export async function keepEntry(place: Place, frame: Frame, reason: string): Promise<void> {
  const { fs, layout, by } = place
  try {
    const chunks = bytesOf(fs, `${layout.log}/${frame.segment}`, frame.offset, frame.end)
    await putFile(fs, { directory: layout.aside, name: `${frame.id}.frame`, by, chunks })
  } catch (error) {
    if (!isMissing(error)) throw error // a segment that its writer has taken back: the record below still has the envelope
  }
  await putRecord(place, frame.id, { reason, segment: frame.segment, offset: frame.offset, entry: frame })
  if (frame.kind === 'large') await moveIn(place, frame.id, 'body')
}

async function moveIn({ fs, layout }: Place, name: string, suffix: 'body' | 'partial'): Promise<void> {
  try {
    await fs.rename(`${layout.large}/${name}`, `${layout.aside}/${name}.${suffix}`)
  } catch (error) {
    if (!isMissing(error)) throw error // moved by the run before, or removed by a reader that is done with it
  }
  await fs.syncDirectory(layout.aside)
  await fs.syncDirectory(layout.large)
}

/** Was this entry kept by an earlier run that did not live to say so? */
export async function isKept(fs: Fs, layout: Layout, id: string): Promise<boolean> {
  return (await sizeOf(fs, `${layout.aside}/${id}.json`)) !== undefined
}

export interface BadStretch {
  segment: string
  offset: number
  end: number
  reason: string
  ids: string[]
}

/** Keeps a copy of bytes of the log; false if there is no room for it, and then the bytes must stay where they are. */
export async function keepBytes(place: Place, { segment, offset, end, reason, ids }: BadStretch): Promise<boolean> {
  const { fs, layout, by } = place
  const name = `${segment.replace(/\.seg$/, '')}-${offset}`
  if ((await sizeOf(fs, `${layout.aside}/${name}.json`)) !== undefined) return true
  try {
    const chunks = bytesOf(fs, `${layout.log}/${segment}`, offset, end)
    await putFile(fs, { directory: layout.aside, name: `${name}.bytes`, by, chunks })
    await putRecord(place, name, { reason, segment, offset, bytes: end - offset, ids })
    return true
  } catch (error) {
    if (isNoSpace(error)) return false
    // A segment that its writer has taken back: nothing in it was acknowledged.
    if (isMissing(error) && (await sizeOf(fs, `${layout.log}/${segment}`)) === undefined) return true
    throw error
  }
}

/** Moves a file of large/ that no frame names. */
export async function keepOrphan(place: Place, name: string): Promise<void> {
  if ((await sizeOf(place.fs, `${place.layout.large}/${name}`)) === undefined) return
  try {
    await putRecord(place, `${name}.partial`, { reason: 'no frame names this file: it was never acknowledged' })
  } catch (error) {
    if (!isNoSpace(error)) throw error // the name alone says as much
  }
  await moveIn(place, name, 'partial')
}

/** The ids of the entries set aside. */
export async function asideIds(fs: Fs, layout: Layout): Promise<string[]> {
  return (await fs.readdir(layout.aside)).flatMap((name) => RECORD.exec(name)?.[1] ?? []).filter(isId)
}
