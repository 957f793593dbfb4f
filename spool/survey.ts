// Counts what waits in the log, also beyond the entries that the reader has handed out: while the next stage is down, the numbers must
// tell the truth about the backlog and memory must not grow with it. It holds a place in the log and two sums.
import { isMissing } from './fault.ts'
import type { Fs } from './fs.ts'
import type { Layout } from './layout.ts'
import { Ranges } from './ranges.ts'
import { listSegments, type Segment } from './segment.ts'
import { Walk, type Frame } from './walk.ts'

interface SurveyOptions {
  fs: Fs
  layout: Layout
  /** What was done when the reader opened, by segment name. */
  done: ReadonlyMap<string, Ranges>
}

export class Survey {
  pendingMessages = 0
  pendingBytes = 0
  readonly #options: SurveyOptions
  /** Everything before this place has been counted. */
  #sequence = 0
  #offset = 0

  constructor(options: SurveyOptions) {
    this.#options = options
  }

  /** Counts the frame unless it was counted before, so that counting ahead and reading may overlap. */
  met({ sequence }: Segment, frame: Frame): void {
    if (sequence < this.#sequence || (sequence === this.#sequence && frame.end <= this.#offset)) return
    this.#sequence = sequence
    this.#offset = frame.end
    if (frame.kind === 'note') return
    this.pendingMessages++
    this.pendingBytes += frame.bodyBytes
  }

  /** The frame is done, or has turned out to be no entry. */
  settled(frame: Frame): void {
    if (frame.kind === 'note') return
    this.pendingMessages--
    this.pendingBytes -= frame.bodyBytes
  }

  /** Counts on to the end of the log as it is now. */
  async advance(): Promise<void> {
    const segments = await listSegments(this.#options.fs, this.#options.layout.log)
    for (const segment of segments) if (segment.sequence >= this.#sequence) await this.#segment(segment)
  }

  async #segment(segment: Segment): Promise<void> {
    const { fs, layout, done } = this.#options
    const path = `${layout.log}/${segment.name}`
    const skip = new Ranges(done.get(segment.name)?.list())
    if (segment.sequence === this.#sequence) skip.cover(this.#offset)
    try {
      if ((await fs.stat(path)).sizeBytes <= skip.after(0)) return
      const file = await fs.open(path, 'read')
      try {
        const walk = new Walk(file, segment, skip)
        for (let found = await walk.next(true); found !== undefined; found = await walk.next(true)) {
          if (found.kind === 'foreign') return
          if (found.kind === 'frame') this.met(segment, found.frame)
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      if (!isMissing(error)) throw error // the reader is done with it
    }
  }
}
