// What a writer does before it takes anything: reads the log from the oldest segment, cuts a torn tail off the newest, and sets aside
// what cannot be read and what was never acknowledged. It deletes nothing, may be killed anywhere and be repeated, and a reader may be
// at work in another process meanwhile.
import { keepBytes, keepOrphan, TORN_TAIL, type BadStretch } from './aside.ts'
import type { RecoveryOutcome, SpoolClock, SpoolObserver } from './contract.ts'
import { isMissing } from './fault.ts'
import type { Fs, FsFile } from './fs.ts'
import { syncLayout, type Layout } from './layout.ts'
import { readPosition, type Position } from './position.ts'
import { listSegments, type Segment } from './segment.ts'
import { Walk, type Found, type Frame } from './walk.ts'

type Bad = Extract<Found, { kind: 'bad' }>

interface RecoveryOptions {
  fs: Fs
  layout: Layout
  clock: SpoolClock
  observe: Partial<SpoolObserver>
}

export interface Recovered {
  nextSequence: number
  /** The newest segment has bad bytes before good ones: a reader goes past them only once there is a newer segment. */
  needsSegment: boolean
}

export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const recovery = new Recovery(options)
  return recovery.run()
}

/** The end of a segment from which on nothing is to be read. */
interface Tail {
  segment: Segment
  file: FsFile
  from: number
  ids: string[]
  size: number
  isNewest: boolean
}

class Recovery {
  readonly #options: RecoveryOptions
  readonly #counts: Record<RecoveryOutcome, number> = { requeued: 0, partial: 0, corrupt: 0 }
  /** Files of large/ that no frame has named so far. */
  #unnamed = new Set<string>()
  #foreign = false
  #needsSegment = false

  constructor(options: RecoveryOptions) {
    this.#options = options
  }

  async run(): Promise<Recovered> {
    const { fs, layout, observe } = this.#options
    await syncLayout(fs, layout)
    // In this order: a reader removes a file of large/ before the segment that names it, so a file listed here whose frame is no
    // longer found below is a file that is no longer there.
    this.#unnamed = new Set(await fs.readdir(layout.large))
    const position = await readPosition(fs, layout)
    if (position.problem !== undefined) observe.damaged?.(position.problem)
    for (const id of position.unlink.keys()) this.#unnamed.delete(id)
    const segments = await listSegments(fs, layout.log)
    const newest = segments.at(-1)
    for (const segment of segments) await this.#segment(segment, segment === newest, position)
    await this.#orphans()
    for (const outcome of ['requeued', 'partial', 'corrupt'] as const)
      observe.recovered?.(outcome, this.#counts[outcome])
    return { nextSequence: (newest?.sequence ?? 0) + 1, needsSegment: this.#needsSegment }
  }

  async #segment(segment: Segment, isNewest: boolean, position: Position): Promise<void> {
    const { fs, layout } = this.#options
    let file: FsFile
    try {
      file = await fs.open(`${layout.log}/${segment.name}`, isNewest ? 'change' : 'read')
    } catch (error) {
      if (isMissing(error)) return // the reader was done with it
      throw error
    }
    try {
      const done = position.done.get(segment.name)
      const walk = new Walk(file, segment, done)
      /** Bytes that are no frame, with nothing but notes behind them so far, or what is done. */
      let doubtful: Bad[] = []
      for (let found = await walk.next(true); found !== undefined; found = await walk.next(true)) {
        if (found.kind === 'foreign') return this.#leaveAlone(segment, found.version)
        if (found.kind === 'bad') doubtful.push(found)
        else if (found.frame.kind !== 'note') {
          this.#entry(found.frame)
          for (const bad of doubtful.splice(0)) await this.#bad(segment, bad, isNewest)
        }
      }
      const size = await file.size()
      // No sync covers notes: a crash may take one and leave the next. What was acknowledged has no such gap before it. The walk
      // shows nothing of what is done, so all of that counts as acknowledged: notes too, for a false alarm hides no lost mail.
      const acknowledged = isNewest ? (done?.end ?? 0) : Infinity
      for (const bad of doubtful) if (bad.offset < acknowledged) await this.#bad(segment, bad, isNewest)
      const torn = doubtful.find(({ offset }) => offset >= acknowledged)
      const { offset: from, ids } = torn ?? { offset: walk.offset, ids: walk.tailIds }
      if (size > from) await this.#tail({ segment, file, from, ids, size, isNewest })
      // What the process before wrote without living to sync it: no decision may rest on bytes that a power cut would take.
      if (isNewest) await file.datasync()
    } finally {
      await file.close()
    }
  }

  #entry(frame: Frame): void {
    this.#counts.requeued++
    if (frame.kind === 'large') this.#unnamed.delete(frame.id)
  }

  async #bad(segment: Segment, bad: Bad, isNewest: boolean): Promise<void> {
    this.#counts.corrupt++
    this.#needsSegment ||= isNewest
    await this.#keep({ segment: segment.name, reason: bad.problem, ...bad })
  }

  #leaveAlone(segment: Segment, version: number): void {
    this.#foreign = true
    this.#options.observe.damaged?.(`${segment.name} has format version ${version}, which is left alone`)
  }

  async #tail(tail: Tail): Promise<void> {
    const { segment, file, from, ids, size, isNewest } = tail
    this.#counts[isNewest ? 'partial' : 'corrupt']++
    const reason = isNewest ? TORN_TAIL : 'no valid frame up to the end of the segment'
    const kept = await this.#keep({ segment: segment.name, offset: from, end: size, reason, ids })
    if (!isNewest) return
    if (kept) await file.truncate(from)
    else this.#needsSegment = true
  }

  async #keep(stretch: BadStretch): Promise<boolean> {
    const { fs, layout, clock, observe } = this.#options
    const { segment, offset, end, reason } = stretch
    observe.damaged?.(`${segment} at ${offset}: ${end - offset} bytes set aside: ${reason}`)
    return keepBytes({ fs, layout, by: 'writer', now: clock.now() }, stretch)
  }

  async #orphans(): Promise<void> {
    if (this.#foreign) return // what the other version's frames name cannot be known
    const { fs, layout, clock } = this.#options
    for (const name of this.#unnamed) {
      this.#counts.partial++
      await keepOrphan({ fs, layout, by: 'writer', now: clock.now() }, name)
    }
  }
}
