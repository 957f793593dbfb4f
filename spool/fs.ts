// The disk as the spool sees it: the fewest calls that durability can be told in. nodeFs() is the real one; memfs.ts loses what was
// not synced. Every call rejects with an Error whose `code` is the errno name.
import * as fs from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/** `read`; `create`: must not exist; `replace`: emptied if it exists; `change`: exists, read and write. */
export type OpenMode = 'read' | 'create' | 'replace' | 'change'

export interface FsFile {
  /** Bytes read, 0 at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>
  /** Bytes written, possibly fewer than given. */
  write(pieces: readonly Uint8Array[], offset: number): Promise<number>
  truncate(sizeBytes: number): Promise<void>
  /** fdatasync: the bytes and the size are durable, the name is not. */
  datasync(): Promise<void>
  sync(): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface FsStat {
  sizeBytes: number
  device: number
  inode: number
}

export interface FsSpace {
  /** What an ordinary user may still write (statfs bavail, not bfree). */
  freeBytes: number
  capacityBytes: number
  freeInodes: number
  /** 0 where the file system does not count inodes. */
  inodes: number
}

export interface Fs {
  open(path: string, mode: OpenMode): Promise<FsFile>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  readdir(path: string): Promise<string[]>
  /** Makes one directory; EEXIST if something has that name. */
  mkdir(path: string): Promise<void>
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>
  stat(path: string): Promise<FsStat>
  statfs(path: string): Promise<FsSpace>
  /** Takes an exclusive lock that ends with the process, however it ends; ELOCKED if it is taken. Resolves with its release. */
  lock(path: string): Promise<() => Promise<void>>
}

const FLAGS = { read: 'r', create: 'wx', replace: 'w', change: 'r+' } as const satisfies Record<OpenMode, string>

// Mail is nobody else's business.
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

type Callback<T> = (error: Error | null, value: T) => void

// The callback calls of node:fs cost about half of what FileHandle does, and the fd lives exactly as long as the code says.
const call = <T>(run: (done: Callback<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => run((error, value) => (error ? reject(error) : resolve(value))))

class NodeFile implements FsFile {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  read(into: Uint8Array, offset: number): Promise<number> {
    return call((done) => fs.read(this.#fd, into, 0, into.length, offset, done))
  }

  write(pieces: readonly Uint8Array[], offset: number): Promise<number> {
    const [only] = pieces
    return only !== undefined && pieces.length === 1
      ? call((done) => fs.write(this.#fd, only, 0, only.length, offset, done))
      : call((done) => fs.writev(this.#fd, [...pieces], offset, done))
  }

  truncate(sizeBytes: number): Promise<void> {
    return call((done) => fs.ftruncate(this.#fd, sizeBytes, (error) => done(error, undefined)))
  }

  datasync(): Promise<void> {
    return call((done) => fs.fdatasync(this.#fd, (error) => done(error, undefined)))
  }

  sync(): Promise<void> {
    return call((done) => fs.fsync(this.#fd, (error) => done(error, undefined)))
  }

  async size(): Promise<number> {
    return (await call<fs.Stats>((done) => fs.fstat(this.#fd, done))).size
  }

  close(): Promise<void> {
    return call((done) => fs.close(this.#fd, (error) => done(error ?? null, undefined)))
  }
}

async function syncDirectory(path: string): Promise<void> {
  const fd = await call<number>((done) => fs.open(path, 'r', done))
  const directory = new NodeFile(fd)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const SQLITE_BUSY = 5

// Node has no flock. SQLite's exclusive lock is a fcntl lock of the kernel: it ends with the process, holds across containers, and
// SQLite itself keeps a second open in this process out. The file stays empty.
function lock(path: string): () => Promise<void> {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    const busy = error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
    throw busy ? Object.assign(new Error(`${path} is locked`, { cause: error }), { code: 'ELOCKED' }) : error
  }
  return async () => database.close()
}

/** The real disk. Paths are used as given. */
export function nodeFs(): Fs {
  return {
    open: async (path, mode) => new NodeFile(await call((done) => fs.open(path, FLAGS[mode], FILE_MODE, done))),
    rename: (from, to) => call((done) => fs.rename(from, to, (error) => done(error, undefined))),
    unlink: (path) => call((done) => fs.unlink(path, (error) => done(error, undefined))),
    readdir: (path) => call((done) => fs.readdir(path, done)),
    mkdir: (path) => call((done) => fs.mkdir(path, DIRECTORY_MODE, (error) => done(error, undefined))),
    syncDirectory,
    stat: async (path) => {
      const found = await call<fs.Stats>((done) => fs.stat(path, done))
      return { sizeBytes: found.size, device: found.dev, inode: found.ino }
    },
    statfs: async (path) => {
      const found = await call<fs.StatsFs>((done) => fs.statfs(path, done))
      return {
        freeBytes: found.bavail * found.bsize,
        capacityBytes: found.blocks * found.bsize,
        freeInodes: found.ffree,
        inodes: found.files,
      }
    },
    lock: async (path) => lock(path),
  }
}
