// Directories whose names survive a power cut: a new name is durable once the directory that holds it was fsynced.

import { mkdir, open, opendir, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Directories known to be durable; the oldest is forgotten first, and then synced once more when it is met again. */
const KNOWN_MAX = 4096

/** A temporary file of this age, in milliseconds, belongs to no put under way. */
const LEFTOVER_AGE_MS = 3_600_000

/** Mail is its owner's: nobody else on the machine reads it. */
const MODE = 0o700

export interface Directories {
  /** Makes `path` and its parents down from the root's parent; resolves when all their names are durable. */
  make(path: string): Promise<void>
  /** Renames and makes the new name durable. */
  rename(from: string, to: string): Promise<void>
  /** fsync of a directory. Calls that wait while one is under way share the next. */
  sync(path: string): Promise<void>
}

/** Durable directories below `root`. Rejects with the file system's errors. */
export function durableDirectories(root: string): Directories {
  const known = new Map<string, Promise<void>>()
  const sync = sharedSync()

  const makeOne = async (path: string) => {
    if (path === root) {
      const first = (await mkdir(path, { recursive: true, mode: MODE })) ?? path
      for (let each = path; each.length >= first.length; each = dirname(each)) await sync(dirname(each))
      return
    }
    await make(dirname(path))
    await mkdir(path, { mode: MODE }).catch(existing)
    // Also if it was there: another process may have made it and not synced it yet.
    await sync(dirname(path))
  }
  const make = async (path: string): Promise<void> => {
    const made = known.get(path) ?? makeOne(path)
    known.set(path, made)
    if (known.size > KNOWN_MAX) known.delete(known.keys().next().value ?? '')
    try {
      await made
    } catch (error) {
      known.delete(path)
      throw error
    }
  }
  return {
    make,
    sync,
    async rename(from, to) {
      try {
        await rename(from, to)
      } catch (error) {
        // The directory went away behind our back (a tenant was erased): the next try makes it again.
        for (let path = dirname(to); path.length > root.length; path = dirname(path)) known.delete(path)
        throw error
      }
      await sync(dirname(to))
    },
  }
}

const existing = (error: unknown) => {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
}

/**
 * fsync by path, at most one under way for each: a call that comes during one needs the next, and shares it. Where one fails those
 * who wait fail with it: after a failed fsync the next may succeed although what it should have written is lost.
 */
export function sharedSync(sync = syncNow): (path: string) => Promise<void> {
  const lanes = new Map<string, { running: Promise<void>; next?: Promise<void> }>()
  const begin = (path: string): Promise<void> => {
    const lane: { running: Promise<void>; next?: Promise<void> } = { running: sync(path) }
    lanes.set(path, lane)
    const settled = () => {
      if (lane.next === undefined) lanes.delete(path)
    }
    void lane.running.then(settled, () => lanes.delete(path))
    return lane.running
  }
  return (path) => {
    const lane = lanes.get(path)
    if (lane === undefined) return begin(path)
    lane.next ??= lane.running.then(() => begin(path))
    return lane.next
  }
}

async function syncNow(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Unlinks what killed processes left in `dir`, judged by age against `nowMs`. */
export async function removeLeftovers(dir: string, nowMs: number): Promise<void> {
  for await (const entry of await opendir(dir)) {
    const path = join(dir, entry.name)
    try {
      if (nowMs - (await stat(path)).mtimeMs > LEFTOVER_AGE_MS) await unlink(path)
    } catch (error) {
      // Its owner finished meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}
