// How much the disk can still take, counting what was promised to bodies that are on their way in.
import type { Reservation, SpoolClock } from './contract.ts'
import { codeOf, SpoolError, textOf } from './fault.ts'
import type { Fs, FsSpace } from './fs.ts'
import type { SpoolLimits } from './limits.ts'

interface LedgerOptions {
  fs: Fs
  dir: string
  clock: SpoolClock
  limits: SpoolLimits
  /** Any error of the disk that is not a question of space. */
  broken: (error: unknown) => SpoolError
}

const GONE = new Set(['ENOENT', 'ENOTDIR', 'ESTALE'])

export class Ledger {
  readonly #options: LedgerOptions
  readonly #home: string
  #space: FsSpace
  #readAt: number
  #reading: Promise<void> | undefined
  #reserved = 0
  #short = false

  /** Remembers which directory (device and inode) the spool was opened in: mail must not land below an empty mount point. */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const home = await identityOf(options)
    return new Ledger(options, home, await options.fs.statfs(options.dir))
  }

  private constructor(options: LedgerOptions, home: string, space: FsSpace) {
    this.#options = options
    this.#home = home
    this.#space = space
    this.#readAt = options.clock.monotonic()
    this.#judge()
  }

  get state() {
    const { freeBytes, capacityBytes } = this.#space
    return { short: this.#short, freeBytes, capacityBytes, reservedBytes: this.#reserved }
  }

  /** Rejects `full` if `bytes` do not fit above the floor, `mounted` if the directory is another one. */
  async check(bytes: number): Promise<void> {
    await this.#refresh()
    this.#mustFit(bytes)
  }

  async #refresh(): Promise<void> {
    if (this.#options.clock.monotonic() - this.#readAt < this.#options.limits.spaceAgeMs) return
    await (this.#reading ??= this.#read().finally(() => (this.#reading = undefined)))
  }

  #mustFit(bytes: number): void {
    this.#judge()
    if (this.#short) throw new SpoolError('full', 'the spool is short of disk space')
    if (this.#left() - bytes < this.#options.limits.freeMinBytes) {
      throw new SpoolError('full', `${bytes} bytes do not fit on the spool's disk`)
    }
  }

  /** As far as is known there is more space than is needed to take mail again: what can be done without, is not written below that. */
  get plenty(): boolean {
    return !this.#short && this.#left() >= this.#options.limits.freeResumeBytes
  }

  async reserve(bytes: number): Promise<Reservation> {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`cannot reserve ${bytes} bytes`)
    await this.#refresh()
    // In one step: of several that wait here, each must see what those before it took.
    this.#mustFit(bytes)
    this.#reserved += bytes
    let held = bytes
    return {
      bytes,
      release: () => {
        this.#reserved -= held
        held = 0
      },
    }
  }

  /** The disk said no, whatever statfs thought (a quota, another user of it): short until statfs is asked again. */
  ranOut(): void {
    this.#short = true
    this.#space = { ...this.#space, freeBytes: 0 }
    this.#readAt = this.#options.clock.monotonic()
  }

  /** Rejects `mounted` unless the directory is the one that was opened. */
  async verifyHome(): Promise<void> {
    const found = await identityOf(this.#options)
    if (found !== this.#home) {
      throw new SpoolError('mounted', `${this.#options.dir} is not the directory that the spool was opened in`)
    }
  }

  #left(): number {
    return this.#space.freeBytes - this.#reserved
  }

  #judge(): void {
    const { freeMinBytes, freeResumeBytes, freeInodesMin } = this.#options.limits
    const noInodes = this.#space.inodes > 0 && this.#space.freeInodes < freeInodesMin
    const floor = this.#short ? freeResumeBytes : freeMinBytes
    this.#short = noInodes || this.#left() < floor
  }

  async #read(): Promise<void> {
    await this.verifyHome()
    try {
      this.#space = await this.#options.fs.statfs(this.#options.dir)
    } catch (error) {
      throw this.#options.broken(error)
    }
    this.#readAt = this.#options.clock.monotonic()
  }
}

async function identityOf({ fs, dir, broken }: LedgerOptions): Promise<string> {
  try {
    const { device, inode } = await fs.stat(dir)
    return `${device}:${inode}`
  } catch (error) {
    if (GONE.has(codeOf(error))) throw new SpoolError('mounted', `${dir} is gone: ${textOf(error)}`, error)
    throw broken(error)
  }
}
