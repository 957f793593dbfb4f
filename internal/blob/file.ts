// Objects as files: key `acme/2026/01/02/x.eml` is the file of that name in the store's directory, readable as it is.
//
// The order of a put: bytes to a temporary file in the same file system, fsync, read back and compare, rename, fsync of the
// directory. So a name that is there has all its bytes, after any crash, and a put that resolved stays. Nothing is retried
// here: after a failed fsync the pages count as clean, so only a whole new file may be believed.
// A root that vanishes while we run is not made anew: it may be a mount that went away. Nor is an object missing then: what is not
// found counts as missing only in a root that holds the directory of temporary files, as every root does that was put to.

import { open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import type { Clock, Ids } from '../ports/ports.ts'
import { BlobError, checkKey, type BlobStore, type Stored, type Upload, type Verified } from './blob.ts'
import { durableDirectories, removeLeftovers, type Directories } from './directories.ts'
import { promisedBytes } from './source.ts'
import { walk } from './walk.ts'

export interface FileBlobsOptions {
  /** Made at the first use if it is not there. */
  dir: string
  clock: Pick<Clock, 'now'>
  /** Names of temporary files; unique among all processes that write to `dir`. */
  ids: Pick<Ids, 'entryId'>
}

/** Bytes read back at a time. */
const READ_BYTES = 256 * 1024

/** A dot keeps it apart from every key. */
const TEMPORARY = '.tmp'

/** Object store on a directory of a local file system. Trouble of the disk is `server`: trying again may help. */
export function fileBlobs({ dir: given, clock, ids }: FileBlobsOptions): BlobStore {
  // Paths below it are made by joining, which normalises; the root must compare equal to what they end in.
  const dir = resolve(given)
  const directories = durableDirectories(dir)
  let ready: Promise<void> | undefined
  const prepare = async () => {
    await directories.make(join(dir, TEMPORARY))
    await removeLeftovers(join(dir, TEMPORARY), clock.now())
  }
  const prepared = async () => {
    ready ??= prepare()
    try {
      await ready
    } catch (error) {
      ready = undefined
      throw error
    }
  }
  const found = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    const result = await unlessMissing(work)
    if (result === undefined) await stat(join(dir, TEMPORARY))
    return result
  }

  return {
    put: (key, upload) =>
      guarded(key, async () => {
        await prepared()
        const temporary = join(dir, TEMPORARY, ids.entryId())
        return place({ key, path: join(dir, key), temporary, directories }, upload)
      }),
    get: (key) => guarded(key, () => found(() => openObject(key, join(dir, key)))),
    head: (key) => guarded(key, () => found(async () => storedOf(key, await stat(join(dir, key))))),
    list: (prefix) => listed(dir, prefix),
    delete: (key) =>
      guarded(key, async () => {
        const gone = await found(async () => unlink(join(dir, key)).then(() => true))
        if (gone) await directories.sync(dirname(join(dir, key)))
      }),
  }
}

/** Where one put goes. */
interface Place {
  key: string
  path: string
  temporary: string
  directories: Directories
}

async function place({ key, path, temporary, directories }: Place, upload: Upload): Promise<Verified> {
  try {
    const handle = await open(temporary, 'wx+', 0o600)
    try {
      await writeVerified(handle, key, upload)
    } finally {
      await handle.close()
    }
    await directories.make(dirname(path))
    await directories.rename(temporary, path)
    return { ...storedOf(key, await stat(path)), etag: upload.sha256 }
  } catch (error) {
    // Best effort: what stays is removed by age at the next start, and the first error says more than a second one.
    await unlink(temporary).catch((_leftover: unknown) => undefined)
    throw error
  }
}

/** Writes the promised bytes, syncs them, and compares what is stored with what was promised. */
async function writeVerified(handle: FileHandle, key: string, upload: Upload): Promise<void> {
  for await (const chunk of promisedBytes(key, upload)) {
    for (let at = 0; at < chunk.byteLength;) at += (await handle.write(chunk, at)).bytesWritten
  }
  await handle.sync()
  if ((await digestOf(handle, upload.sizeBytes)) !== upload.sha256) {
    throw new BlobError('digest', `${key}: the bytes read back are others`)
  }
}

async function digestOf(handle: FileHandle, length: number): Promise<string> {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(length, 1)))
  for (let at = 0; at < length;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) break
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return hash.digest('hex')
}

async function openObject(key: string, path: string): Promise<{ stored: Stored; body: Readable }> {
  const handle = await open(path, 'r')
  try {
    const stored = storedOf(key, await handle.stat())
    return { stored, body: asBlobErrors(handle.createReadStream()) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** A read error of the disk reaches the caller as `server`; destroying the body closes the file. */
function asBlobErrors(source: Readable): Readable {
  const body = new PassThrough()
  source.on('error', (error) => body.destroy(asBlobError(error)))
  body.on('close', () => source.destroy())
  return source.pipe(body)
}

async function* listed(dir: string, prefix: string): AsyncIterable<Stored> {
  try {
    for await (const key of walk(dir, prefix)) {
      const stored = await unlessMissing(async () => storedOf(key, await stat(join(dir, key))))
      if (stored !== undefined) yield stored
    }
  } catch (error) {
    throw asBlobError(error)
  }
}

function storedOf(key: string, facts: { isFile(): boolean; size: number; mtimeMs: number }): Stored {
  if (!facts.isFile()) throw Object.assign(new Error(`${key} is no file`), { code: 'ENOENT' })
  return { key, sizeBytes: facts.size, modifiedAt: Math.floor(facts.mtimeMs) }
}

async function guarded<T>(key: string, work: () => Promise<T>): Promise<T> {
  checkKey(key)
  try {
    return await work()
  } catch (error) {
    throw asBlobError(error)
  }
}

async function unlessMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** ENOSPC, EACCES, EROFS, EIO, EMFILE, ENOTDIR: all of them are the operator's to mend, and then the next try succeeds. */
function asBlobError(error: unknown): BlobError {
  if (error instanceof BlobError) return error
  return new BlobError('server', `object directory: ${(error as Error).message}`, { cause: error })
}
