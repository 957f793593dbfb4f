// The writer's side: lock, recovery, then drafts.
import { Committer, Poison } from './committer.ts'
import type { Draft, Reservation, SpoolOptions, SpoolStats, SpoolWriter } from './contract.ts'
import { BodyDraft } from './draft.ts'
import { codeOf, isShortage, SpoolError, textOf } from './fault.ts'
import type { Fs } from './fs.ts'
import { encodeNote, isId } from './frame.ts'
import { layoutOf, makeLayout, type Layout } from './layout.ts'
import { Ledger } from './ledger.ts'
import { limitsOf, type SpoolLimits } from './limits.ts'
import { recover } from './recovery.ts'
import { SharedSync } from './shared-sync.ts'

type Unlock = () => Promise<void>

/** Takes a lock of the spool; SpoolError `locked` names the directory. */
export async function lockSpool(fs: Fs, path: string, dir: string): Promise<Unlock> {
  try {
    return await fs.lock(path)
  } catch (error) {
    if (codeOf(error) !== 'ELOCKED') throw error
    throw new SpoolError('locked', `another process has the spool in ${dir} (${path})`, error)
  }
}

/** What the disk says while a spool is opened, as a SpoolError. */
export function openingError(dir: string, error: unknown): Error {
  if (error instanceof SpoolError) return error
  const fault = isShortage(error) ? 'full' : 'poisoned'
  return new SpoolError(fault, `the spool in ${dir} cannot be opened: ${textOf(error)}`, error)
}

/** Makes the directory if need be, locks it, recovers. Rejects `locked`, `full` or `poisoned`; RangeError for bad limits. */
export async function openWriter(options: SpoolOptions): Promise<SpoolWriter> {
  const limits = limitsOf(options.limits)
  const layout = layoutOf(options.dir)
  let unlock: Unlock | undefined
  try {
    await makeLayout(options.fs, layout)
    unlock = await lockSpool(options.fs, layout.writerLock, options.dir)
    return await start({ options, limits, layout, unlock })
  } catch (error) {
    await unlock?.()
    throw openingError(options.dir, error)
  }
}

interface Opened {
  options: SpoolOptions
  limits: SpoolLimits
  layout: Layout
  unlock: Unlock
}

async function start({ options, limits, layout, unlock }: Opened): Promise<SpoolWriter> {
  const { fs, dir, clock, random, observe = {} } = options
  const { nextSequence, needsSegment } = await recover({ fs, layout, clock, observe })
  const poison = new Poison((error) => observe.poisoned?.(error))
  const ledger = await Ledger.open({ fs, dir, clock, limits, broken: (error) => poison.by(error) })
  const committer = new Committer({ fs, log: layout.log, clock, random, limits, ledger, observe, nextSequence, poison })
  if (needsSegment) await startSegment(committer)
  return new Writer({ options, limits, layout, unlock }, { poison, ledger, committer })
}

async function startSegment(committer: Committer): Promise<void> {
  try {
    await committer.startSegment()
  } catch (error) {
    // A full disk must not keep the spool from starting; the next commit begins the segment.
    if (!(error instanceof SpoolError && error.fault === 'full')) throw error
  }
}

class Writer implements SpoolWriter {
  readonly #opened: Opened
  readonly #poison: Poison
  readonly #ledger: Ledger
  readonly #committer: Committer
  readonly #largeSync: SharedSync
  readonly #drafts = new Set<string>()
  readonly #commits = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(opened: Opened, parts: { poison: Poison; ledger: Ledger; committer: Committer }) {
    this.#opened = opened
    this.#poison = parts.poison
    this.#ledger = parts.ledger
    this.#committer = parts.committer
    this.#largeSync = new SharedSync(() => opened.options.fs.syncDirectory(opened.layout.large))
  }

  async reserve(bytes: number): Promise<Reservation> {
    this.#assertOpen()
    return this.#ledger.reserve(bytes)
  }

  async check(bytes: number): Promise<void> {
    this.#assertOpen()
    await this.#ledger.check(bytes)
  }

  begin(id: string): Draft {
    if (!isId(id)) throw new TypeError(`a spool id is a UUID in lower case, got ${JSON.stringify(id)}`)
    if (this.#drafts.has(id)) throw new TypeError(`${id} is under way already`)
    this.#assertOpen()
    this.#drafts.add(id)
    const { options, limits, layout } = this.#opened
    return new BodyDraft(id, {
      fs: options.fs,
      clock: options.clock,
      limits,
      ledger: this.#ledger,
      committer: this.#committer,
      poison: this.#poison,
      large: layout.large,
      largeSync: this.#largeSync,
      commits: this.#commits,
      isClosed: () => this.#closing !== undefined,
      ended: () => this.#drafts.delete(id),
    })
  }

  note(id: string, note: object): boolean {
    if (!isId(id)) throw new TypeError(`a spool id is a UUID in lower case, got ${JSON.stringify(id)}`)
    const { options, limits } = this.#opened
    const json = Buffer.from(JSON.stringify(note))
    if (json.length > limits.noteBytesMax) throw new RangeError(`a note of ${json.length} bytes is too long`)
    if (!this.#ledger.plenty) return false
    return this.#committer.note(encodeNote({ id, receivedAt: options.clock.now(), json }))
  }

  stats(): SpoolStats {
    const { committedMessages, queuedMessages, segment } = this.#committer
    return {
      poisoned: this.#poison.error !== undefined,
      ...this.#ledger.state,
      committedMessages,
      queuedMessages,
      segment,
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    try {
      await Promise.allSettled(this.#commits)
      await this.#committer.close()
    } finally {
      await this.#opened.unlock()
    }
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new SpoolError('closed', 'the spool is closed')
    if (this.#poison.error !== undefined) throw this.#poison.error
  }
}
