// Telling `ingest.received` again, so that messages are indexed again: by id, by filter, by place in the log, or from the object
// store alone. What is told is made from rows, envelopes or the log itself, whichever the selection reads. Safe to repeat.

import { BlobError } from '../blob/blob.ts'
import { EventLogError, type EventLog } from '../eventlog/eventlog.ts'
import type { Clock } from '../ports/ports.ts'
import { createJob, getJob, isUnavailable, StoreError, updateJob, type Job } from '../store/store.ts'
import { Pace } from './pace.ts'
import { countSelected, frozen, select, type Found, type ReplaySelector, type SelectionParts } from './selection.ts'
import { pause, pauseMs } from './waiting.ts'

export interface ReplayParts extends SelectionParts {
  log: SelectionParts['log'] & Pick<EventLog, 'append'>
  clock: Clock
}

export interface ReplayPlan {
  count: number
  /** The first message ids, at most `SAMPLE_MAX`. */
  sample: string[]
}

export interface ReplayProgress {
  jobId: string
  total: number | null
  done: number
  failed: number
}

export interface ReplayOptions {
  /** A new job, or with `resume` one that was interrupted; its selector is then the job's own. */
  jobId: string
  resume?: boolean
  selector?: ReplaySelector
  /** What a plan counted; a new job is planned first without it. */
  planned?: number
  /** Process messages that are duplicates as if they were not. */
  force?: 'duplicate'
  /** Messages each second. */
  perSecond: number
  /** Most messages told. */
  limit?: number
  /** Told once there is a job that can be resumed. */
  onOpen?(jobId: string): void
  onProgress?(progress: ReplayProgress): void
  signal: AbortSignal
}

const SAMPLE_MAX = 20
/** Messages of one append, after which the job's row is brought up to date. */
const CHUNK_MAX = 50
/** Tries without any progress, about two minutes. */
const TRIES_MAX = 15

/** What a replay would tell, without telling it. `not_found` for an id that is none; `invalid` for a selector that is none. */
export async function planReplay(parts: SelectionParts, selector: ReplaySelector, limit?: number): Promise<ReplayPlan> {
  const most = limit ?? Number.POSITIVE_INFINITY
  const counted = await countSelected(parts, selector)
  const sample: string[] = []
  let count = 0
  for await (const { messageId, event } of select(parts, selector)) {
    if (event === undefined && selector.by === 'messages') throw new StoreError('not_found', `no message ${messageId}`)
    if (count >= most || (counted !== undefined && sample.length >= SAMPLE_MAX)) break
    count += 1
    if (sample.length < SAMPLE_MAX) sample.push(messageId)
  }
  return { count: Math.min(most, counted ?? count), sample }
}

/** Tells them, a chunk at a time, and keeps the job's row. Interrupted by `signal` it can be resumed by its id. */
export async function replay(parts: ReplayParts, options: ReplayOptions): Promise<Job> {
  const { store, clock } = parts
  const { jobId, perSecond, signal } = options
  if (!(perSecond > 0)) throw new StoreError('invalid', 'a replay needs a rate of more than 0 messages each second')
  const telling = new Telling(parts, options, await openJob(parts, options))
  options.onOpen?.(jobId)
  const end = async (state: Job['state']) => {
    await updateJob(store, jobId, { state, now: clock.now() })
    return getJob(store, jobId)
  }
  try {
    await telling.toTheEnd()
    return await end('done')
  } catch (error) {
    const job = await end(signal.aborted ? 'interrupted' : 'failed')
    if (signal.aborted) return job
    throw error
  }
}

/** One run of a job. What is told and not yet noted in the job's row is told again. */
class Telling {
  readonly #parts: ReplayParts
  readonly #options: ReplayOptions
  readonly #spec: Spec
  readonly #pace: Pace
  readonly #progress: ReplayProgress
  #cursor: string | undefined

  constructor(parts: ReplayParts, options: ReplayOptions, job: Job) {
    this.#parts = parts
    this.#options = options
    this.#spec = job.spec as unknown as Spec
    this.#pace = new Pace(parts.clock, options.perSecond)
    this.#progress = { jobId: job.id, total: job.total, done: job.done, failed: job.failed }
    this.#cursor = job.cursor ?? undefined
  }

  /** Trouble of the engines is waited out, from where the job is; a replay may run for hours. */
  async toTheEnd(): Promise<void> {
    const { clock } = this.#parts
    const { jobId, signal } = this.#options
    for (let tries = 1; ; tries++) {
      const before = this.#cursor
      try {
        return await this.#goOn()
      } catch (error) {
        if (this.#cursor !== before) tries = 1
        if (signal.aborted || !passes(error) || tries > TRIES_MAX) throw error
        await pause(clock, pauseMs(tries, jobId), signal)
      }
    }
  }

  async #goOn(): Promise<void> {
    const { selector, limit } = this.#spec
    const most = limit ?? Number.POSITIVE_INFINITY
    // Small chunks at a low rate, so that the rate holds from the first second on.
    const size = Math.min(CHUNK_MAX, Math.max(1, Math.floor(this.#options.perSecond)))
    let chunk: Found[] = []
    for await (const found of select(this.#parts, selector, this.#cursor)) {
      if (this.#progress.done + this.#progress.failed + chunk.length >= most) break
      chunk.push(found)
      if (chunk.length < size) continue
      await this.#tell(chunk)
      chunk = []
    }
    await this.#tell(chunk)
  }

  async #tell(chunk: readonly Found[]): Promise<void> {
    const last = chunk.at(-1)
    if (last === undefined) return
    const { store, clock, log } = this.#parts
    const { jobId, signal } = this.#options
    await this.#pace.take(chunk.length, signal)
    const told = chunk.flatMap(({ event }) => (event === undefined ? [] : [event]))
    await log.append(told.map((event) => this.#marked(event)))
    const done = this.#progress.done + told.length
    const failed = this.#progress.failed + chunk.length - told.length
    await updateJob(store, jobId, { done, failed, cursor: last.cursor, now: clock.now() })
    Object.assign(this.#progress, { done, failed })
    this.#cursor = last.cursor
    this.#options.onProgress?.({ ...this.#progress })
  }

  /** What an operator once decided about a message stands in the log, and is told again with it. */
  #marked(event: NonNullable<Found['event']>) {
    const force = this.#spec.force ?? event.replay?.force
    return { ...event, replay: { id: this.#options.jobId, ...(force !== undefined && { force }) } }
  }
}

/** Whether an error of an engine may be gone at the next try. */
const passes = (error: unknown): boolean =>
  isUnavailable(error) ||
  error instanceof EventLogError ||
  (error instanceof BlobError && (error.fault === 'server' || error.fault === 'timeout'))

interface Spec {
  selector: ReplaySelector
  force?: 'duplicate'
  limit?: number
}

async function openJob(parts: ReplayParts, options: ReplayOptions): Promise<Job> {
  const { store, clock } = parts
  const { jobId, resume = false, selector, force, limit, planned } = options
  if (resume) {
    const job = await getJob(store, jobId)
    if (job.kind !== 'replay') throw new StoreError('invalid', `job ${jobId} is no replay`)
    if (job.state === 'done') throw new StoreError('conflict', `replay ${jobId} is done`)
    await updateJob(store, jobId, { state: 'running', now: clock.now() })
    return job
  }
  if (selector === undefined) throw new StoreError('invalid', 'a replay needs to know which messages')
  const spec: Spec = {
    selector: await frozen(parts, selector, clock.now()),
    ...(force && { force }),
    ...(limit !== undefined && { limit }),
  }
  const total = planned ?? (await planReplay(parts, spec.selector, limit)).count
  return createJob(store, { id: jobId, kind: 'replay', spec: { ...spec }, total, now: clock.now() })
}
