// The reader's side: yields entries in order, remembers what is done, and removes what is done.
import { asideIds, isKept, keepBytes, keepEntry } from './aside.ts'
import { bodyPlace, checkedBody, openBody } from './body.ts'
import type { ReaderStats, SpoolEntry, SpoolNote, SpoolOptions, SpoolReader } from './contract.ts'
import { isShortage, SpoolError, textOf } from './fault.ts'
import { Follow, type Item } from './follow.ts'
import { layoutOf, makeLayout, sizeOf, syncLayout, type Layout } from './layout.ts'
import { limitsOf, type SpoolLimits } from './limits.ts'
import { readPosition, type Position } from './position.ts'
import { Survey } from './survey.ts'
import { sweep } from './sweep.ts'
import { lockSpool, openingError } from './writer.ts'

/** Makes the directory if need be and locks it. Rejects `locked`, `full` or `poisoned`; RangeError for bad limits. */
export async function openReader(options: SpoolOptions): Promise<SpoolReader> {
  const limits = limitsOf(options.limits)
  const layout = layoutOf(options.dir)
  let unlock: (() => Promise<void>) | undefined
  try {
    await makeLayout(options.fs, layout)
    unlock = await lockSpool(options.fs, layout.readerLock, options.dir)
    const position = await startingPosition(options, layout)
    const survey = new Survey({ fs: options.fs, layout, done: new Map(position.done) })
    await survey.advance()
    const aside = (await asideIds(options.fs, layout)).length
    return new Reader({ options, limits, layout, unlock, position, survey, aside })
  } catch (error) {
    await unlock?.()
    throw openingError(options.dir, error)
  }
}

async function startingPosition({ fs, observe }: SpoolOptions, layout: Layout): Promise<Position> {
  const { problem, done, unlink } = await readPosition(fs, layout)
  if (problem !== undefined) observe?.damaged?.(problem)
  // Segments that the last run removed are forgotten only once their removal is durable; bodies that it moved count as moved only then.
  await syncLayout(fs, layout)
  const names = new Set(await fs.readdir(layout.log))
  return { done: new Map([...done].filter(([name]) => names.has(name))), unlink }
}

interface Opened {
  options: SpoolOptions
  limits: SpoolLimits
  layout: Layout
  unlock: () => Promise<void>
  position: Position
  survey: Survey
  aside: number
}

class Reader implements SpoolReader {
  readonly #opened: Opened
  readonly #follow: Follow
  /** Yielded and not done, oldest first. An id normally comes once; if it comes again, each done() settles one. */
  readonly #window = new Map<string, Item[]>()
  #windowEntries = 0
  /** Taken from the log, not yet seen through. */
  #held: Item | undefined
  #aside: number
  #fault: SpoolError | undefined
  #woken = false
  #cutWait: (() => void) | undefined
  /** Something is done that the position file does not know. */
  #dirty = false
  #sweeping: Promise<void> | undefined
  readonly #counting: Promise<void>
  readonly #closed = new AbortController()
  #closing: Promise<void> | undefined

  constructor(opened: Opened) {
    const { options, layout, limits, position } = opened
    this.#opened = opened
    this.#aside = opened.aside
    this.#follow = new Follow({
      fs: options.fs,
      layout,
      clock: options.clock,
      doubtMs: limits.doubtMs,
      done: position.done,
      bad: (tracked, bad) => {
        this.#damaged(
          `${tracked.segment.name} at ${bad.offset}: ${bad.end - bad.offset} bytes set aside: ${bad.problem}`,
        )
        return keepBytes(this.#place(), { segment: tracked.segment.name, reason: bad.problem, ...bad })
      },
      damaged: (what) => this.#damaged(what),
    })
    // What the last run was done with but did not live to remove.
    if (position.unlink.size > 0) this.#changed()
    this.#counting = this.#count()
  }

  async *entries(signal: AbortSignal): AsyncGenerator<SpoolEntry | SpoolNote> {
    const cut = () => this.wake()
    signal.addEventListener('abort', cut)
    try {
      while (!signal.aborted) {
        this.#assertOpen()
        this.#woken = false
        const item = this.#windowEntries < this.#opened.limits.windowEntries ? await this.#next() : undefined
        if (item === undefined) await this.#wait()
        else yield this.#yielded(item)
      }
    } finally {
      signal.removeEventListener('abort', cut)
    }
  }

  wake(): void {
    this.#woken = true
    this.#cutWait?.()
  }

  async done(id: string): Promise<void> {
    this.#assertOpen()
    const item = this.#window.get(id)?.[0]
    if (item !== undefined) this.#settle(item, item.frame.kind === 'large')
  }

  async setAside(id: string, reason: string): Promise<void> {
    this.#assertOpen()
    const item = this.#window.get(id)?.[0]
    if (item === undefined) return
    await this.#guard(() => keepEntry(this.#place(), item.frame, reason))
    this.#aside++
    if (this.#window.get(id)?.[0] === item) this.#settle(item, false)
  }

  stats(): ReaderStats {
    const { pendingMessages, pendingBytes } = this.#opened.survey
    const oldest = this.#window.values().find(([item]) => item?.frame.kind !== 'note')
    return {
      pendingMessages,
      pendingBytes,
      oldestReceivedAt: oldest?.[0]?.frame.receivedAt,
      asideMessages: this.#aside,
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#closed.abort()
    this.wake()
    try {
      await this.#sweeping
      await this.#counting
      if (this.#dirty && this.#fault === undefined) await this.#sweep()
    } finally {
      await this.#unlock()
    }
  }

  async #unlock(): Promise<void> {
    try {
      await this.#follow.close()
    } finally {
      await this.#opened.unlock()
    }
  }

  #assertOpen(): void {
    if (this.#fault !== undefined) throw this.#fault
    if (this.#closing !== undefined) throw new SpoolError('closed', 'the spool reader is closed')
  }

  #place() {
    const { options, layout } = this.#opened
    return { fs: options.fs, layout, by: 'reader' as const, now: options.clock.now() }
  }

  #damaged(what: string): void {
    this.#opened.options.observe?.damaged?.(what)
  }

  /** A shortage passes, so only this call fails; after any other error of the disk the reader does not go on. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof SpoolError) throw error
      if (isShortage(error))
        throw new SpoolError('full', `the spool is short of disk space or file handles: ${textOf(error)}`, error)
      this.#fault = new SpoolError('poisoned', `the spool cannot be read on: ${textOf(error)}`, error)
      this.wake()
      throw this.#fault
    }
  }

  /** The next entry, or nothing for now: the log ends here, or what it takes to go on is short and will be there again. */
  async #next(): Promise<Item | undefined> {
    try {
      return await this.#guard(() => this.#take())
    } catch (error) {
      if (error instanceof SpoolError && error.fault === 'full') return undefined
      throw error
    }
  }

  async #take(): Promise<Item | undefined> {
    for (;;) {
      const item = this.#held ?? (await this.#follow.next())
      if (item === undefined) break
      this.#held = item
      const { frame, tracked } = item
      this.#opened.position.done.set(frame.segment, tracked.done)
      this.#opened.survey.met(tracked.segment, frame)
      const isWhole = frame.kind !== 'large' || (await this.#hasBody(item))
      this.#held = undefined
      if (isWhole) return item
    }
    if (this.#follow.whole().length > 0) this.#changed()
    return undefined
  }

  async #count(): Promise<void> {
    while (this.#closing === undefined && this.#fault === undefined) {
      await this.#sleep(this.#opened.limits.surveyMs, this.#closed.signal)
      // Only the numbers suffer: the reading itself meets the same disk and reports it.
      if (this.#closing === undefined)
        await this.#opened.survey.advance().catch((error: unknown) => this.#damaged(textOf(error)))
    }
  }

  /** Is the large body there in full length? If not, finds out why, and is done with the frame. */
  async #hasBody(item: Item): Promise<boolean> {
    const { options, layout } = this.#opened
    const { frame, tracked } = item
    const size = await sizeOf(options.fs, `${layout.large}/${frame.id}`)
    if (size === frame.bodyBytes) return true
    const isCut = ((await sizeOf(options.fs, `${layout.log}/${frame.segment}`)) ?? 0) < frame.end
    // Cut: the writer took the frame back, which it does only with one that was never acknowledged.
    const isOver = isCut || (size === undefined && (await isKept(options.fs, layout, frame.id)))
    if (!isOver) {
      const reason = size === undefined ? 'the body is missing' : `the body has ${size} of ${frame.bodyBytes} bytes`
      this.#damaged(`${frame.id}: ${reason}`)
      await keepEntry(this.#place(), frame, reason)
      this.#aside++
    }
    this.#opened.survey.settled(frame)
    tracked.done.add(frame.offset, frame.end)
    this.#changed()
    return false
  }

  #yielded(item: Item): SpoolEntry | SpoolNote {
    const { kind, id, envelope, bodyBytes, sha256, receivedAt } = item.frame
    const same = this.#window.get(id)
    if (same === undefined) this.#window.set(id, [item])
    else same.push(item)
    this.#windowEntries++
    if (kind === 'note') return { id, note: envelope, receivedAt }
    const { options, layout } = this.#opened
    const open = () => openBody(options.fs, bodyPlace(layout, item.frame))
    const bytes = checkedBody(this.#follow.body(item.frame), sha256)
    return { id, envelope, sizeBytes: bodyBytes, sha256, receivedAt, open, bytes }
  }

  #settle({ frame, tracked }: Item, unlink: boolean): void {
    const same = this.#window.get(frame.id)
    same?.shift()
    if (same?.length === 0) this.#window.delete(frame.id)
    const wasFull = this.#windowEntries-- === this.#opened.limits.windowEntries
    if (unlink && same?.length === 0) this.#opened.position.unlink.set(frame.id, frame.segment)
    tracked.done.add(frame.offset, frame.end)
    this.#opened.survey.settled(frame)
    this.#changed()
    if (wasFull) this.wake()
  }

  #changed(): void {
    this.#dirty = true
    this.#sweeping ??= this.#sweepLater()
      .catch(() => {
        this.#dirty = true // a shortage: again later. Anything else #guard has kept as the fault, which every call rejects with
      })
      .finally(() => {
        this.#sweeping = undefined
        if (this.#dirty && this.#fault === undefined && this.#closing === undefined) this.#changed()
      })
  }

  async #sweepLater(): Promise<void> {
    await this.#sleep(this.#opened.limits.positionDelayMs, this.#closed.signal)
    if (this.#closing === undefined) await this.#sweep()
  }

  async #sweep(): Promise<void> {
    const { options, layout, position } = this.#opened
    this.#dirty = false
    const gone = await this.#guard(() => sweep({ fs: options.fs, layout, position, whole: this.#follow.whole() }))
    for (const { segment } of gone) this.#follow.tracked.delete(segment.name)
  }

  async #wait(): Promise<void> {
    if (this.#woken) return
    const wait = new AbortController()
    this.#cutWait = () => wait.abort()
    await this.#sleep(this.#opened.limits.pollMs, wait.signal)
    this.#cutWait = undefined
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#opened.options.clock.sleep(ms, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}
