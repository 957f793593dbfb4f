// The reader's way through the log: segment after segment, frame after frame, waiting where a writer may still be at work.
//
// Only the newest segment may end in bytes that are no frame yet. A writer never appends to a segment once there is a newer one, and
// makes a newer one only after it has cut what it takes back; so the reader looks for a newer segment first, and then once more at the
// end of this one. Bytes that are no frame and have one behind them are no end: writes come one after the other, each from its front.
import type { SpoolClock } from './contract.ts'
import { isMissing } from './fault.ts'
import type { Fs, FsFile } from './fs.ts'
import type { Layout } from './layout.ts'
import { Ranges } from './ranges.ts'
import { listSegments, SEGMENT_HEADER_BYTES, type Segment } from './segment.ts'
import { Walk, type Found, type Frame } from './walk.ts'

/** A segment that the reader knows of. */
export interface Tracked {
  segment: Segment
  done: Ranges
  /** Where it ends, once nothing more can come. */
  end: number | undefined
  /** A format version that is left alone: passed over, never removed. */
  foreign: boolean
}

/** A frame of the log that is not done. */
export interface Item {
  frame: Frame
  tracked: Tracked
}

interface FollowOptions {
  fs: Fs
  layout: Layout
  clock: Pick<SpoolClock, 'monotonic'>
  /** So long what looks unfinished may become a frame, before one is looked for behind it, milliseconds. */
  doubtMs: number
  /** What was done before, by segment name. */
  done: Map<string, Ranges>
  /** Bytes that are no frame, before a valid one or at the end of a complete segment; true once they are kept elsewhere. */
  bad: (tracked: Tracked, bad: { offset: number; end: number; problem: string; ids: string[] }) => Promise<boolean>
  damaged: (what: string) => void
}

interface Current {
  tracked: Tracked
  file: FsFile
  walk: Walk
  /** There is a newer segment: nothing more is appended to this one. */
  complete: boolean
  /** Bytes that are no frame so far, where one is expected; `searchedBytes` is the size of the file that nothing was found in. */
  doubt?: { offset: number; since: number; searchedBytes: number }
}

export class Follow {
  readonly tracked = new Map<string, Tracked>()
  readonly #options: FollowOptions
  #current: Current | undefined

  constructor(options: FollowOptions) {
    this.#options = options
  }

  /** The next whole valid frame that is not done, or undefined where the log ends for now. */
  async next(): Promise<Item | undefined> {
    for (;;) {
      const current = this.#current ?? (await this.#openNext())
      if (current === undefined) return undefined
      const found = (await current.walk.next(current.complete)) ?? (await this.#pastDamage(current))
      if (found !== undefined) {
        const frame = await this.#judge(current, found)
        if (frame !== undefined) return { frame, tracked: current.tracked }
      } else if (current.complete) await this.#finish(current)
      else if (await this.#isSuperseded(current)) current.complete = true
      else return undefined
    }
  }

  /** The body of the frame that next() has just found, where reading the frame has brought it into memory; not checked. */
  body(frame: Frame): Buffer | undefined {
    return this.#current?.walk.body(frame)
  }

  /** Segments of which every byte is done and that no writer appends to. */
  whole(): Tracked[] {
    return [...this.tracked.values()].filter(
      ({ end, done, foreign }) => end !== undefined && !foreign && done.covers(0, end),
    )
  }

  async close(): Promise<void> {
    const current = this.#current
    this.#current = undefined
    await current?.file.close()
  }

  /** What lies behind bytes that have been no frame for a while, beginning with these; undefined where no frame is behind them. */
  async #pastDamage(current: Current): Promise<Found | undefined> {
    const { walk, file, complete, doubt } = current
    if (complete) return undefined
    const { clock, doubtMs } = this.#options
    const { offset } = walk
    const sizeBytes = await file.size()
    if (doubt?.offset !== offset) {
      if (sizeBytes > offset) current.doubt = { offset, since: clock.monotonic(), searchedBytes: 0 }
      return undefined
    }
    if (clock.monotonic() - doubt.since < doubtMs || doubt.searchedBytes === sizeBytes) return undefined
    doubt.searchedBytes = sizeBytes
    return walk.next(true)
  }

  async #judge(current: Current, found: Found): Promise<Frame | undefined> {
    const { tracked } = current
    switch (found.kind) {
      case 'frame':
        return found.frame
      case 'bad':
        await this.#keep(tracked, found)
        return undefined
      case 'foreign':
        this.#options.damaged(`${tracked.segment.name} has format version ${found.version}, which is left alone`)
        tracked.foreign = true
        await this.#leave(current, 0)
        return undefined
    }
  }

  async #keep(tracked: Tracked, bad: { offset: number; end: number; problem: string; ids: string[] }): Promise<void> {
    // What there is no room to keep stays where it is, and its segment with it.
    if (await this.#options.bad(tracked, bad)) tracked.done.add(bad.offset, bad.end)
  }

  async #finish(current: Current): Promise<void> {
    const { tracked, walk, file } = current
    const size = await file.size()
    if (size > walk.offset) {
      await this.#keep(tracked, {
        offset: walk.offset,
        end: size,
        problem: 'no valid frame up to the end of the segment',
        ids: walk.tailIds,
      })
    }
    await this.#leave(current, Math.max(size, walk.offset))
  }

  async #leave(current: Current, end: number): Promise<void> {
    current.tracked.end = end
    this.#current = undefined
    await current.file.close()
  }

  /** Also by its absence: a writer that took it back and was started anew uses its sequence again. */
  async #isSuperseded({ tracked }: Current): Promise<boolean> {
    const { name, sequence } = tracked.segment
    const segments = await listSegments(this.#options.fs, this.#options.layout.log)
    return segments.every((each) => each.name !== name) || segments.some((each) => each.sequence > sequence)
  }

  /** Opens the oldest segment that was not read to its end. */
  async #openNext(): Promise<Current | undefined> {
    const { fs, layout, done } = this.#options
    for (const segment of await listSegments(fs, layout.log)) {
      const known = this.tracked.get(segment.name)
      if (known?.end !== undefined) continue
      const tracked = known ?? { segment, done: done.get(segment.name) ?? new Ranges(), end: undefined, foreign: false }
      try {
        const file = await fs.open(`${layout.log}/${segment.name}`, 'read')
        this.tracked.set(segment.name, tracked)
        this.#current = {
          tracked,
          file,
          walk: new Walk(file, segment, new Ranges(tracked.done.list())),
          complete: false,
        }
        tracked.done.add(0, SEGMENT_HEADER_BYTES) // for the next start; this walk still looks at the header
        return this.#current
      } catch (error) {
        if (!isMissing(error)) throw error // a segment without a committed frame, which its writer has taken back
        this.tracked.delete(segment.name)
      }
    }
    return undefined
  }
}
