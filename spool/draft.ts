// A body on its way in: in memory while it is small, in large/<id> from there on.
import { createHash, type Hash } from 'node:crypto'
import type { Committer, Poison } from './committer.ts'
import type { Draft, Receipt, SpoolClock } from './contract.ts'
import { codeOf, isMissing, isShortage, SpoolError, textOf } from './fault.ts'
import type { Fs, FsFile } from './fs.ts'
import { encodeFrame } from './frame.ts'
import { bytesOf, writeAll } from './layout.ts'
import type { Ledger } from './ledger.ts'
import type { SpoolLimits } from './limits.ts'
import type { SharedSync } from './shared-sync.ts'

export interface DraftOptions {
  fs: Fs
  clock: SpoolClock
  limits: SpoolLimits
  ledger: Ledger
  committer: Committer
  poison: Poison
  /** The directory large/, and the sync that all drafts share. */
  large: string
  largeSync: SharedSync
  /** Has the writer been closed? */
  isClosed: () => boolean
  /** Commits that close() waits for. */
  commits: Set<Promise<unknown>>
  ended: () => void
}

/** `idle` takes chunks and may commit; every other state refuses both. */
type State = 'idle' | 'busy' | 'committed' | 'ended'

export class BodyDraft implements Draft {
  readonly #id: string
  readonly #options: DraftOptions
  readonly #hash: Hash = createHash('sha256')
  #state: State = 'idle'
  #failed: Error | undefined
  #working: Promise<unknown> | undefined
  #chunks: Uint8Array[] = []
  #bytes = 0
  #file: FsFile | undefined
  #hasFile = false
  #written = 0

  constructor(id: string, options: DraftOptions) {
    this.#id = id
    this.#options = options
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#alone(async () => {
      this.#hash.update(chunk)
      this.#bytes += chunk.length
      this.#chunks.push(chunk)
      if (this.#bytes > this.#options.limits.inlineBytesMax) await this.#spill()
    })
  }

  async *content(): AsyncGenerator<Uint8Array> {
    if (this.#failed !== undefined) throw this.#failed
    if (this.#state !== 'idle') throw new Error(`a draft shows its content between its calls: it is ${this.#state}`)
    if (!this.#hasFile) return yield* this.#chunks
    let left = this.#bytes
    for await (const piece of bytesOf(this.#options.fs, `${this.#options.large}/${this.#id}`, 0, this.#bytes)) {
      left -= piece.length
      yield piece
    }
    if (left > 0) throw new SpoolError('damaged', `${this.#id}: ${left} bytes of its body are gone`)
  }

  async commit(envelope: object): Promise<Receipt> {
    const json = Buffer.from(JSON.stringify(envelope))
    if (json.length > this.#options.limits.envelopeBytesMax)
      throw new RangeError(`an envelope of ${json.length} bytes is too long`)
    const commit = this.#alone(async () => {
      const sha256 = this.#hash.digest()
      if (this.#hasFile) await this.#finishFile()
      const body = this.#hasFile ? undefined : this.#chunks
      const receivedAt = this.#options.clock.now()
      const frame = encodeFrame({ id: this.#id, receivedAt, envelope: json, body, bodyBytes: this.#bytes, sha256 })
      this.#chunks = []
      await this.#options.committer.append(frame)
      this.#end('committed')
      return { id: this.#id, sizeBytes: this.#bytes, sha256: sha256.toString('hex') }
    })
    this.#options.commits.add(commit)
    try {
      return await commit
    } finally {
      this.#options.commits.delete(commit)
    }
  }

  async abort(): Promise<void> {
    await Promise.allSettled([this.#working])
    if (this.#state === 'idle') await this.#drop()
  }

  /** One call at a time, and none after the first failure. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#failed !== undefined) throw this.#failed
    if (this.#state !== 'idle')
      throw new Error(`a draft takes one call at a time, and none after its end: it is ${this.#state}`)
    if (this.#options.poison.error !== undefined) throw this.#options.poison.error
    if (this.#options.isClosed()) throw new SpoolError('closed', 'the spool is closed')
    this.#state = 'busy'
    const working = this.#settled(work)
    this.#working = working
    return working
  }

  async #settled<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      // A chunk that is no Uint8Array says nothing of the disk.
      const isBug = error instanceof TypeError || error instanceof RangeError
      this.#failed = error instanceof SpoolError || isBug ? error : this.#options.poison.by(error)
      await this.#drop()
      throw this.#failed
    } finally {
      if (this.#state === 'busy') this.#state = 'idle'
    }
  }

  async #spill(): Promise<void> {
    const { fs, large } = this.#options
    try {
      if (this.#file === undefined) {
        this.#file = await fs.open(`${large}/${this.#id}`, 'create')
        this.#hasFile = true
      }
      const chunks = this.#chunks
      this.#chunks = []
      await writeAll(this.#file, chunks, this.#written)
      this.#written = this.#bytes
    } catch (error) {
      // A used id is the caller's mistake and no sign of a bad disk.
      if (codeOf(error) === 'EEXIST') throw new SpoolError('damaged', `${this.#id} has a body already`, error)
      if (!isShortage(error)) throw error
      this.#options.ledger.ranOut()
      throw new SpoolError('full', `no room for a large body: ${textOf(error)}`, error)
    }
  }

  /** The bytes, then the name: both durable before a frame may name the file. */
  async #finishFile(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    try {
      await file?.sync()
    } finally {
      await file?.close()
    }
    await this.#options.largeSync.sync()
  }

  #end(state: 'committed' | 'ended'): void {
    this.#state = state
    this.#chunks = []
    this.#options.ended()
  }

  /** Removes the file, which no frame names. Not when poisoned: then a frame may be in the log, and recovery sees which is true. */
  async #drop(): Promise<void> {
    const { fs, large, poison } = this.#options
    const file = this.#file
    this.#file = undefined
    this.#end('ended')
    try {
      await file?.close()
      if (this.#hasFile && poison.error === undefined) await fs.unlink(`${large}/${this.#id}`)
    } catch (error) {
      if (!isMissing(error)) this.#failed = poison.by(error) // missing: after close(), the next writer has set it aside
    }
  }
}
