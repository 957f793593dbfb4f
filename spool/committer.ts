// The one place that appends to the log. All frames that wait go out in one write and one fdatasync, then each commit resolves; while
// one sync runs, the next batch gathers. So there is no timer, and the disk sets the pace. Notes go out between batches, in a write of their
// own and without a sync, so that none can fail a commit for want of its few bytes.
import type { SpoolClock, SpoolObserver } from './contract.ts'
import { isNoSpace, isShortage, SpoolError, textOf } from './fault.ts'
import type { Fs, FsFile } from './fs.ts'
import { SALT_BYTES, sealFrame } from './frame.ts'
import { writeAll } from './layout.ts'
import type { Ledger } from './ledger.ts'
import type { SpoolLimits } from './limits.ts'
import { encodeSegmentHeader, newSegment, SEGMENT_HEADER_BYTES, type Segment } from './segment.ts'

interface CommitterOptions {
  fs: Fs
  log: string
  clock: SpoolClock
  random: (bytes: number) => Uint8Array
  limits: SpoolLimits
  ledger: Ledger
  observe: Partial<SpoolObserver>
  /** Greater than that of any segment there is. */
  nextSequence: number
  poison: Poison
}

/** Shared by all that write: the first error that leaves the disk in doubt ends writing for all. */
export class Poison {
  #error: SpoolError | undefined
  readonly #tell: (error: SpoolError) => void

  constructor(tell: (error: SpoolError) => void) {
    this.#tell = tell
  }

  get error(): SpoolError | undefined {
    return this.#error
  }

  /** The error to reject with. fsync is never tried again after it failed: the kernel has marked the lost pages clean. */
  by(cause: unknown): SpoolError {
    if (this.#error === undefined) {
      this.#error = new SpoolError(
        'poisoned',
        `the spool takes nothing more until it is restarted: ${textOf(cause)}`,
        cause,
      )
      this.#tell(this.#error)
    }
    return this.#error
  }
}

interface Waiting {
  frame: Buffer
  resolve: () => void
  reject: (error: Error) => void
}

interface OpenSegment {
  segment: Segment
  file: FsFile
  path: string
  /** Where the next frame goes: the end of the last whole one. */
  end: number
  /** The segment's name is durable. */
  named: boolean
  /** Notes are behind the last sync. */
  unsynced: boolean
}

export class Committer {
  readonly #options: CommitterOptions
  #queue: Waiting[] = []
  #queuedBytes = 0
  #notes: Buffer[] = []
  #notesBytes = 0
  #running: Promise<void> | undefined
  #open: OpenSegment | undefined
  #sequence: number
  #closed = false
  committedMessages = 0

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#sequence = options.nextSequence
  }

  get queuedMessages(): number {
    return this.#queue.length
  }

  get segment(): string | undefined {
    return this.#open?.segment.name
  }

  /** Resolves when the frame is durable; rejects `full` (and then it is not in the log) or `poisoned` (and then it may be). */
  append(frame: Buffer): Promise<void> {
    const { poison, limits } = this.#options
    if (poison.error !== undefined) return Promise.reject(poison.error)
    if (this.#closed) return Promise.reject(new SpoolError('closed', 'the spool is closed'))
    if (this.#queuedBytes + frame.length > limits.queueBytesMax) {
      return Promise.reject(new SpoolError('full', 'too many bytes wait for the disk'))
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ frame, resolve, reject })
      this.#queuedBytes += frame.length
      this.#start()
    })
  }

  /** Writes the frame soon, without a sync. False: it is dropped. */
  note(frame: Buffer): boolean {
    const { poison, limits } = this.#options
    if (poison.error !== undefined || this.#closed) return false
    if (this.#notesBytes + frame.length > limits.notesBytesMax) return false
    this.#notes.push(frame)
    this.#notesBytes += frame.length
    this.#start()
    return true
  }

  /** Begins a segment of its own without waiting for a frame, so that a reader knows the one before it to be complete. */
  async startSegment(): Promise<void> {
    await this.#append([])
  }

  /** Waits for what is queued, then closes the segment. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
    const open = this.#open
    this.#open = undefined
    try {
      await open?.file.close()
    } catch (error) {
      throw this.#options.poison.by(error)
    }
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => (this.#running = undefined))
  }

  async #run(): Promise<void> {
    await Promise.resolve() // commits of the same moment share the first write
    while (this.#queue.length > 0 || this.#notes.length > 0) {
      if (this.#queue.length > 0) await this.#commitBatch(this.#takeBatch())
      if (this.#notes.length > 0) await this.#writeNotes()
    }
  }

  async #commitBatch(batch: Waiting[]): Promise<void> {
    try {
      await this.#append(batch.map(({ frame }) => frame))
      this.committedMessages += batch.length
      for (const { resolve } of batch) resolve()
      this.#options.observe.committed?.(batch.length)
    } catch (error) {
      const rejected = error instanceof Error ? error : new Error(textOf(error))
      for (const { reject } of batch) reject(rejected)
      if (this.#options.poison.error !== undefined) this.#rejectAll(this.#options.poison.error)
    }
  }

  /** Never rejects: a note that cannot be written is dropped. An error that leaves the disk in doubt ends writing as any other does. */
  async #writeNotes(): Promise<void> {
    const { observe, poison } = this.#options
    const notes = this.#notes
    this.#notes = []
    this.#notesBytes = 0
    try {
      const open = await this.#write(notes)
      open.unsynced = true
      observe.committed?.(notes.length)
    } catch {
      observe.notesDropped?.(notes.length)
      if (poison.error !== undefined) this.#rejectAll(poison.error)
    }
  }

  #takeBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const { frame } of this.#queue) {
      if (count > 0 && bytes + frame.length > this.#options.limits.batchBytesMax) break
      bytes += frame.length
      count++
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  #rejectAll(error: SpoolError): void {
    const all = this.#queue
    this.#queue = []
    this.#queuedBytes = 0
    for (const { reject } of all) reject(error)
  }

  async #append(frames: Buffer[]): Promise<void> {
    await this.#makeDurable(await this.#write(frames))
  }

  /** Appends the frames to a segment that has room, and resolves with that; they are not durable then. */
  async #write(frames: Buffer[]): Promise<OpenSegment> {
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0)
    const open = await this.#segmentFor(bytes)
    for (const frame of frames) sealFrame(frame, open.segment.salt)
    const pieces = open.end === 0 ? [encodeSegmentHeader(open.segment), ...frames] : frames
    try {
      await writeAll(open.file, pieces, open.end)
    } catch (error) {
      if (isNoSpace(error)) throw await this.#cutBack(open, error)
      throw this.#options.poison.by(error)
    }
    open.end += pieces.reduce((sum, piece) => sum + piece.length, 0)
    return open
  }

  async #makeDurable(open: OpenSegment): Promise<void> {
    const { fs, log, clock, observe, poison } = this.#options
    const start = clock.monotonic()
    try {
      await open.file.datasync()
      if (!open.named) await fs.syncDirectory(log)
    } catch (error) {
      throw poison.by(error)
    }
    open.named = true
    open.unsynced = false
    observe.fsync?.(clock.monotonic() - start)
  }

  async #segmentFor(bytes: number): Promise<OpenSegment> {
    const open = this.#open
    const fits = open !== undefined && open.end + bytes <= this.#options.limits.segmentBytes
    if (open !== undefined && (fits || open.end <= SEGMENT_HEADER_BYTES)) return open
    await this.#options.ledger.verifyHome()
    // Only the newest segment may end in bytes that a crash has torn.
    if (open?.unsynced === true) await this.#makeDurable(open)
    const next = await this.#create()
    this.#open = next
    try {
      await open?.file.close()
    } catch (error) {
      throw this.#options.poison.by(error)
    }
    return next
  }

  async #create(): Promise<OpenSegment> {
    const { fs, log, random, poison, ledger } = this.#options
    const segment = newSegment(this.#sequence, random(SALT_BYTES))
    const path = `${log}/${segment.name}`
    try {
      const file = await fs.open(path, 'create')
      this.#sequence++
      return { segment, file, path, end: 0, named: false, unsynced: false }
    } catch (error) {
      if (!isShortage(error)) throw poison.by(error)
      if (isNoSpace(error)) ledger.ranOut()
      throw new SpoolError('full', `no new log segment: ${textOf(error)}`, error)
    }
  }

  /**
   * Takes back what the failed write left behind the last whole frame. The next batch gets a new segment, since a reader may already
   * have passed the cut; a segment without a whole frame goes altogether.
   */
  async #cutBack(open: OpenSegment, cause: unknown): Promise<SpoolError> {
    const { fs, ledger, poison } = this.#options
    ledger.ranOut()
    this.#open = undefined
    try {
      if (open.end === 0) await fs.unlink(open.path)
      else {
        await open.file.truncate(open.end)
        await open.file.datasync()
      }
      await open.file.close()
    } catch (error) {
      return poison.by(error)
    }
    return new SpoolError('full', `the spool's disk is full: ${textOf(cause)}`, cause)
  }
}
