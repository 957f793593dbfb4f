// Where things are in a spool directory, and the one way in which small files become durable there.
import { codeOf } from './fault.ts'
import type { Fs } from './fs.ts'

export interface Layout {
  dir: string
  log: string
  large: string
  aside: string
  writerLock: string
  readerLock: string
}

export function layoutOf(dir: string): Layout {
  return {
    dir,
    log: `${dir}/log`,
    large: `${dir}/large`,
    aside: `${dir}/aside`,
    writerLock: `${dir}/writer.lock`,
    readerLock: `${dir}/reader.lock`,
  }
}

async function makeDirectory(fs: Fs, path: string): Promise<void> {
  try {
    await fs.mkdir(path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
}

const parentOf = (path: string) =>
  path.slice(0, Math.max(path.lastIndexOf('/'), 0)) || (path.startsWith('/') ? '/' : '.')

/** Makes the directories and their names durable. Repeatable: a directory that exists may still have a name that was never synced. */
export async function makeLayout(fs: Fs, layout: Layout): Promise<void> {
  await makeDirectory(fs, layout.dir)
  for (const path of [layout.log, layout.large, layout.aside]) await makeDirectory(fs, path)
  await fs.syncDirectory(layout.dir)
  await fs.syncDirectory(parentOf(layout.dir))
}

/** Makes durable what a process that died has left: names that it made or moved, on which this one is about to decide. Under the lock. */
export async function syncLayout(fs: Fs, layout: Layout): Promise<void> {
  for (const path of [layout.log, layout.large, layout.aside]) await fs.syncDirectory(path)
}

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Writes all of it at `offset`, going on after short writes. */
export async function writeAll(
  file: { write(pieces: readonly Uint8Array[], offset: number): Promise<number> },
  pieces: readonly Uint8Array[],
  offset: number,
): Promise<void> {
  let left = [...pieces].filter((piece) => piece.length > 0)
  let at = offset
  while (left.length > 0) {
    const written = await file.write(left, at)
    if (written <= 0) throw Object.assign(new Error('write took no bytes'), { code: 'EIO' })
    at += written
    left = afterBytes(left, written)
  }
}

function afterBytes(pieces: Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes
  let index = 0
  for (; index < pieces.length; index++) {
    const length = pieces[index]?.length ?? 0
    if (skip < length) break
    skip -= length
  }
  const rest = pieces.slice(index)
  if (skip > 0 && rest[0] !== undefined) rest[0] = rest[0].subarray(skip)
  return rest
}

export interface NewFile {
  directory: string
  name: string
  /** Tells apart two processes that write the same name: part of the temporary name. */
  by: 'writer' | 'reader'
  chunks: Chunks
}

/** Puts a file in place whole or not at all, replacing one of that name: write, fsync, rename, fsync of the directory. */
export async function putFile(fs: Fs, { directory, name, by, chunks }: NewFile): Promise<void> {
  const temporary = `${directory}/${name}.${by}.tmp`
  const file = await fs.open(temporary, 'replace')
  let isWhole = false
  try {
    let at = 0
    for await (const chunk of chunks) {
      await writeAll(file, [chunk], at)
      at += chunk.length
    }
    await file.sync()
    isWhole = true
  } finally {
    await file.close()
    if (!isWhole) await fs.unlink(temporary) // on a full disk it would keep what is short
  }
  await fs.rename(temporary, `${directory}/${name}`)
  await fs.syncDirectory(directory)
}

const COPY_BYTES = 256 * 1024

/** The bytes of a file from `offset` up to `end`, or to its end if that comes first. */
export async function* bytesOf(fs: Fs, path: string, offset: number, end: number): AsyncGenerator<Buffer> {
  const file = await fs.open(path, 'read')
  try {
    for (let at = offset; at < end;) {
      const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, end - at))
      const length = await file.read(buffer, at)
      if (length === 0) return
      yield buffer.subarray(0, length)
      at += length
    }
  } finally {
    await file.close()
  }
}

/** Is there a file of that name? */
export async function sizeOf(fs: Fs, path: string): Promise<number | undefined> {
  try {
    return (await fs.stat(path)).sizeBytes
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
