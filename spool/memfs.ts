// A disk in memory that forgets, for tests. What was not synced is lost at crash(), each write and each name independently of the others
// (the weak model of ALICE, OSDI 2014): a later write may survive an earlier one, a name its bytes, and bytes their name. The caller's
// `choose` decides. Calls can be made to fail, and the power to go after any call that changes something.
//
// What it holds back on purpose: an fsync that fails marks its bytes as clean, as Linux does, so that trying again seems to work.
import type { Fs, FsFile, FsSpace, OpenMode } from './fs.ts'

/** Something not synced: a write, a truncation, or a name. */
export interface Pending {
  path: string
  kind: 'write' | 'truncate' | 'name'
}

type Write = { at: number; bytes: Buffer }
type FileChange = Write | { size: number }

interface FileNode {
  kind: 'file'
  inode: number
  current: Buffer
  durable: Buffer
  pending: FileChange[]
}

interface DirectoryNode {
  kind: 'directory'
  inode: number
  current: Map<string, Node>
  durable: Map<string, Node>
  pending: NameChange[]
}

type Node = FileNode | DirectoryNode

/** Names that appear or disappear in one directory together; `after` is the other half of a rename between directories. */
interface NameChange {
  set?: [string, Node]
  remove?: string
  after?: { directory: DirectoryNode; change: NameChange }
}

export type FsCall =
  | 'open'
  | 'read'
  | 'write'
  | 'truncate'
  | 'datasync'
  | 'sync'
  | 'close'
  | 'rename'
  | 'unlink'
  | 'readdir'
  | 'mkdir'
  | 'syncDirectory'
  | 'stat'
  | 'statfs'

export interface Failure {
  call: FsCall
  /** Only calls on paths that contain this. */
  path?: string
  /** The first call that fails, from 1. */
  nth: number
  /** How many fail in a row; default 1. */
  times?: number
  /** An errno name, or a short write of half the bytes. */
  error: string
}

const CHANGES = new Set<FsCall>(['write', 'truncate', 'datasync', 'sync', 'rename', 'unlink', 'mkdir', 'syncDirectory'])
const SECTOR = 512

const failure = (code: string, what: string) => Object.assign(new Error(`${code}: ${what}`), { code })

export class MemFs implements Fs {
  space: FsSpace = { freeBytes: 1e12, capacityBytes: 1e12, freeInodes: 1e6, inodes: 1e6 }
  /** Every call as `call path`, oldest first. */
  readonly calls: string[] = []
  /** Calls so far that change something: the places where crashAfter can cut. */
  changes = 0
  device = 1
  #root: DirectoryNode
  #inodes = 1
  #off = false
  #crashAfter = Number.POSITIVE_INFINITY
  #failures: (Failure & { seen: number })[] = []
  readonly #locked = new Set<string>()

  constructor() {
    this.#root = this.#directory()
  }

  /** The power goes when so many changes have been made: everything after them fails and changes nothing. */
  crashAfter(changes: number): void {
    this.#crashAfter = changes
  }

  /** The process died and the machine did not: what was not synced is still seen, and still lost at a power cut. */
  restartProcess(): void {
    this.#off = false
    this.#crashAfter = Number.POSITIVE_INFINITY
    this.#locked.clear()
  }

  fail(failure: Failure): void {
    this.#failures.push({ ...failure, seen: 0 })
  }

  /** Everything that a power cut now might lose, in the order in which it was done. */
  pending(): Pending[] {
    const found: Pending[] = []
    this.#decide((pending) => found.push(pending) > 0)
    return found
  }

  /** The disk as it is found after a power cut now, where `choose` tells of each pending change whether it survives. This one is unharmed. */
  crash(choose: (pending: Pending, index: number) => boolean): MemFs {
    const after = new MemFs()
    let index = 0
    const kept = this.#decide((pending) => choose(pending, index++))
    after.#root = after.#settled(this.#root, kept, new Map())
    after.space = this.space
    after.device = this.device
    return after
  }

  /** Changes the bytes of a file behind everyone's back; corruption at rest. */
  edit(path: string, change: (bytes: Buffer) => Buffer): void {
    const file = this.#file(path)
    file.current = change(Buffer.from(file.current))
    file.durable = Buffer.from(file.current)
    file.pending = []
  }

  bytes(path: string): Buffer {
    return Buffer.from(this.#file(path).current)
  }

  /** Paths of all files. */
  files(directory = ''): string[] {
    const node = directory === '' ? this.#root : this.#directoryAt(directory)
    return [...node.current].flatMap(([name, child]) =>
      child.kind === 'file' ? [`${directory}/${name}`] : this.files(`${directory}/${name}`),
    )
  }

  async open(path: string, mode: OpenMode): Promise<FsFile> {
    await this.#call('open', path)
    const { directory, name } = this.#parent(path)
    let node = directory.current.get(name)
    if (node?.kind === 'directory') throw failure('EISDIR', path)
    if (node === undefined) {
      if (mode === 'read' || mode === 'change') throw failure('ENOENT', path)
      node = { kind: 'file', inode: this.#inodes++, current: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [] }
      this.#apply(directory, { set: [name, node] })
    } else if (mode === 'create') throw failure('EEXIST', path)
    else if (mode === 'replace') this.#change(node, { size: 0 })
    return this.#handle(node, path)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call('rename', from)
    const source = this.#parent(from)
    const target = this.#parent(to)
    const node = source.directory.current.get(source.name)
    if (node === undefined) throw failure('ENOENT', from)
    if (source.directory === target.directory) {
      this.#apply(source.directory, { set: [target.name, node], remove: source.name })
      return
    }
    const change: NameChange = { set: [target.name, node] }
    this.#apply(target.directory, change)
    // No file system loses a file in a rename: the old name goes only where the new one stays.
    this.#apply(source.directory, { remove: source.name, after: { directory: target.directory, change } })
  }

  async unlink(path: string): Promise<void> {
    await this.#call('unlink', path)
    const { directory, name } = this.#parent(path)
    if (!directory.current.has(name)) throw failure('ENOENT', path)
    this.#apply(directory, { remove: name })
  }

  async readdir(path: string): Promise<string[]> {
    await this.#call('readdir', path)
    return [...this.#directoryAt(path).current.keys()]
  }

  async mkdir(path: string): Promise<void> {
    await this.#call('mkdir', path)
    const { directory, name } = this.#parent(path)
    if (directory.current.has(name)) throw failure('EEXIST', path)
    this.#apply(directory, { set: [name, this.#directory()] })
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#call('syncDirectory', path)
    const directory = this.#directoryAt(path)
    const covered = new Map(directory.current)
    const before = new Set(directory.pending)
    await aWhile()
    directory.durable = covered
    directory.pending = directory.pending.filter((change) => !before.has(change))
  }

  async stat(path: string) {
    await this.#call('stat', path)
    const node = this.#nodeAt(path)
    if (node === undefined) throw failure('ENOENT', path)
    return { sizeBytes: node.kind === 'file' ? node.current.length : 0, device: this.device, inode: node.inode }
  }

  async statfs(path: string): Promise<FsSpace> {
    await this.#call('statfs', path)
    return this.space
  }

  async lock(path: string): Promise<() => Promise<void>> {
    if (this.#locked.has(path)) throw failure('ELOCKED', path)
    this.#locked.add(path)
    return async () => void this.#locked.delete(path)
  }

  #handle(node: FileNode, path: string): FsFile {
    const sync = async (call: 'datasync' | 'sync') => {
      try {
        await this.#call(call, path)
      } catch (error) {
        node.pending = [] // clean, and on no disk
        throw error
      }
      const covered = Buffer.from(node.current)
      const before = new Set(node.pending)
      await aWhile()
      node.durable = covered
      node.pending = node.pending.filter((change) => !before.has(change))
    }
    return {
      read: async (into, offset) => {
        await this.#call('read', path)
        return node.current.copy(into, 0, Math.min(offset, node.current.length))
      },
      write: async (pieces, offset) => {
        const all = Buffer.concat(pieces)
        const short = await this.#call('write', path)
        const bytes = short ? all.subarray(0, Math.ceil(all.length / 2)) : all
        this.#change(node, { at: offset, bytes })
        return bytes.length
      },
      truncate: async (size) => {
        await this.#call('truncate', path)
        this.#change(node, { size })
      },
      datasync: () => sync('datasync'),
      sync: () => sync('sync'),
      size: async () => node.current.length,
      close: async () => void (await this.#call('close', path)),
    }
  }

  /** Counts the call, and fails it if that is due; true if a write is to be short. */
  async #call(call: FsCall, path: string): Promise<boolean> {
    await Promise.resolve()
    if (this.#off) throw failure('EIO', 'the power is off')
    this.calls.push(`${call} ${path}`)
    const concerned = this.#failures.filter((failing) => failing.call === call && path.includes(failing.path ?? ''))
    for (const failing of concerned) failing.seen++
    const due = concerned.find(({ seen, nth, times = 1 }) => seen >= nth && seen < nth + times)
    if (due !== undefined && due.error !== 'short') throw failure(due.error, `${call} ${path}`)
    if (CHANGES.has(call)) {
      if (this.changes >= this.#crashAfter) {
        this.#off = true
        throw failure('EIO', 'the power is off')
      }
      this.changes++
    }
    return due !== undefined
  }

  #directory(): DirectoryNode {
    return { kind: 'directory', inode: this.#inodes++, current: new Map(), durable: new Map(), pending: [] }
  }

  #apply(directory: DirectoryNode, change: NameChange): void {
    changeNames(directory.current, change)
    directory.pending.push(change)
  }

  #change(file: FileNode, change: FileChange): void {
    file.current = changed(file.current, change)
    file.pending.push(change)
  }

  #nodeAt(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of path.split('/').filter((part) => part !== '')) {
      node = node?.kind === 'directory' ? node.current.get(name) : undefined
    }
    return node
  }

  #directoryAt(path: string): DirectoryNode {
    const node = this.#nodeAt(path)
    if (node?.kind !== 'directory') throw failure(node === undefined ? 'ENOENT' : 'ENOTDIR', path)
    return node
  }

  #file(path: string): FileNode {
    const node = this.#nodeAt(path)
    if (node?.kind !== 'file') throw failure('ENOENT', path)
    return node
  }

  #parent(path: string): { directory: DirectoryNode; name: string } {
    const cut = path.lastIndexOf('/')
    return { directory: this.#directoryAt(path.slice(0, cut)), name: path.slice(cut + 1) }
  }

  /** Asks about every pending change, from the root down; answers with those that survive. */
  #decide(choose: (pending: Pending) => boolean): Set<NameChange | FileChange> {
    const kept = new Set<NameChange | FileChange>()
    const seen = new Set<Node>()
    const visit = (node: Node, path: string) => {
      if (seen.has(node)) return
      seen.add(node)
      if (node.kind === 'file') {
        for (const change of node.pending) {
          if ('size' in change) {
            if (choose({ path, kind: 'truncate' })) kept.add(change)
          } else for (const sector of sectors(change)) if (choose({ path, kind: 'write' })) kept.add(sector)
        }
        return
      }
      for (const change of node.pending) {
        const name = change.set?.[0] ?? change.remove ?? ''
        if (choose({ path: `${path}/${name}`, kind: 'name' })) kept.add(change)
      }
      for (const [name, child] of [...node.durable, ...node.pending.flatMap(({ set }) => (set ? [set] : []))])
        visit(child, `${path}/${name}`)
    }
    visit(this.#root, '')
    return kept
  }

  #settled<T extends Node>(node: T, kept: Set<NameChange | FileChange>, copies: Map<Node, Node>): T {
    const known = copies.get(node)
    if (known !== undefined) return known as T
    if (node.kind === 'file') {
      let bytes = node.durable
      for (const change of node.pending) {
        const parts = 'size' in change ? [change] : sectors(change)
        for (const part of parts) if (kept.has(part)) bytes = changed(bytes, part)
      }
      const copy: FileNode = {
        kind: 'file',
        inode: this.#inodes++,
        current: Buffer.from(bytes),
        durable: Buffer.from(bytes),
        pending: [],
      }
      copies.set(node, copy)
      return copy as T
    }
    const names = new Map(node.durable)
    for (const change of node.pending) if (kept.has(change) && isFree(change, kept)) changeNames(names, change)
    const copy = this.#directory()
    copies.set(node, copy)
    for (const [name, child] of names) copy.current.set(name, this.#settled(child, kept, copies))
    copy.durable = new Map(copy.current)
    return copy as T
  }
}

/** A sync takes time, and covers only what was there when it began. */
async function aWhile(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve()
}

/** A name that went by a rename to another directory goes only if the new one is durable or survives too. */
function isFree({ after }: NameChange, kept: Set<NameChange | FileChange>): boolean {
  return after === undefined || !after.directory.pending.includes(after.change) || kept.has(after.change)
}

const SECTORS = new WeakMap<Write, Write[]>()

/** A write reaches the disk sector by sector, in any order. */
function sectors(change: Write): Write[] {
  let parts = SECTORS.get(change)
  if (parts !== undefined) return parts
  parts = []
  for (let from = 0; from < change.bytes.length;) {
    const to = Math.min(change.bytes.length, from + SECTOR - ((change.at + from) % SECTOR))
    parts.push({ at: change.at + from, bytes: change.bytes.subarray(from, to) })
    from = to
  }
  SECTORS.set(change, parts)
  return parts
}

function changed(bytes: Buffer, change: FileChange): Buffer {
  if ('size' in change) {
    return change.size <= bytes.length
      ? bytes.subarray(0, change.size)
      : Buffer.concat([bytes, Buffer.alloc(change.size - bytes.length)])
  }
  const grown = Buffer.alloc(Math.max(bytes.length, change.at + change.bytes.length))
  bytes.copy(grown)
  change.bytes.copy(grown, change.at)
  return grown
}

function changeNames(names: Map<string, Node>, { set, remove }: NameChange): void {
  if (remove !== undefined) names.delete(remove)
  if (set !== undefined) names.set(...set)
}
