// Telling `ingest.received` again, so that messages are indexed again: by id, by filter, by place in the log, or from the object
// store alone. What is told is made from rows or envelopes, never from the log, so its retention does not matter. Safe to repeat.

import type { BlobStore } from '../blob/blob.ts'
import type { EventLog } from '../eventlog/eventlog.ts'
import type { Clock } from '../ports/ports.ts'
import {
  countMessages,
  createJob,
  findMessage,
  getJob,
  isUnavailable,
  listEvents,
  listMessages,
  cursorOf,
  StoreError,
  updateJob,
  type Job,
  type MessageFilter,
  type Store,
} from '../store/store.ts'
import { metaFrom, readAll } from './examine.ts'
import type { Received } from './facts.ts'
import { receivedEvent, receivedFromMeta } from './received.ts'
import { pause, pauseMs } from './waiting.ts'

/** Which messages. Times in a filter are milliseconds since 1970. */
export type ReplaySelector =
  | { by: 'messages'; ids: readonly string[] }
  | { by: 'filter'; filter: MessageFilter }
  /** What was told at these offsets of `mail.ingest.v1`; `until` is exclusive. */
  | { by: 'offsets'; partition: number; from: number; until?: number }
  /** Every message with an envelope object whose key begins with this. */
  | { by: 'objects'; prefix: string }

export interface ReplayParts {
  store: Store
  blobs: Pick<BlobStore, 'get' | 'list'>
  log: Pick<EventLog, 'append'>
  clock: Clock
  /** `source` of the events, `/ingest/<deployment>/<stage>`. */
  source: string
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
  /** Process messages that are duplicates as if they were not. */
  force?: 'duplicate'
  /** Messages each second. */
  perSecond: number
  /** Most messages told. */
  limit?: number
  onProgress?(progress: ReplayProgress): void
  signal: AbortSignal
}

const SAMPLE_MAX = 20
const PAGE = 200
/** Messages of one append, after which the job's row is brought up to date. */
const CHUNK_MAX = 50
/** Tries of one append, about two minutes. */
const TRIES_MAX = 15
/** Ids of one selector. */
const IDS_MAX = 100_000

/** One message to tell of, where to go on after it, or why it cannot be told. */
interface Found {
  messageId: string
  cursor: string
  event: Received | undefined
}

/** What a replay would tell, without telling it. `not_found` for an id that is none; `invalid` for a selector that is none. */
export async function planReplay(
  parts: Omit<ReplayParts, 'log' | 'clock'>,
  selector: ReplaySelector,
  limit?: number,
): Promise<ReplayPlan> {
  const plan: ReplayPlan = { count: 0, sample: [] }
  const most = limit ?? Number.POSITIVE_INFINITY
  for await (const { messageId, event } of select(parts, selector)) {
    if (event === undefined && selector.by === 'messages') throw new StoreError('not_found', `no message ${messageId}`)
    if (plan.count >= most) break
    if (event === undefined) continue
    plan.count += 1
    if (plan.sample.length < SAMPLE_MAX) plan.sample.push(messageId)
    // A filter is counted by the database; only its first rows are read.
    if (selector.by === 'filter' && plan.sample.length >= SAMPLE_MAX) {
      return { ...plan, count: Math.min(most, await countMessages(parts.store, selector.filter)) }
    }
  }
  return plan
}

/** Tells them, a chunk at a time, and keeps the job's row. Interrupted by `signal` it can be resumed by its id. */
export async function replay(parts: ReplayParts, options: ReplayOptions): Promise<Job> {
  const { store, clock } = parts
  const { jobId, perSecond, signal } = options
  if (!(perSecond > 0)) throw new StoreError('invalid', 'a replay needs a rate of more than 0 messages each second')
  const job = await openJob(parts, options)
  const { selector, force, limit } = job.spec as unknown as Spec
  const most = limit ?? Number.POSITIVE_INFINITY
  const progress = { jobId, total: job.total, done: job.done, failed: job.failed }
  let chunk: Found[] = []
  const flush = async () => {
    const told = chunk.flatMap(({ event }) => (event === undefined ? [] : [event]))
    const marked = told.map((event) => ({ ...event, replay: { id: jobId, ...(force && { force }) } }))
    await reach(clock, signal, () => parts.log.append(marked))
    progress.done += told.length
    progress.failed += chunk.length - told.length
    const cursor = chunk.at(-1)?.cursor ?? null
    chunk = []
    const { done, failed } = progress
    await reach(clock, signal, () => updateJob(store, jobId, { done, failed, cursor, now: clock.now() }))
    options.onProgress?.({ ...progress })
  }
  const end = async (state: Job['state']) => {
    await updateJob(store, jobId, { state, now: clock.now() })
    return getJob(store, jobId)
  }
  try {
    for await (const found of select(parts, selector, job.cursor ?? undefined)) {
      if (progress.done + progress.failed + chunk.length >= most) break
      chunk.push(found)
      // Small chunks at a low rate, so that the rate holds from the first second on.
      if (chunk.length < Math.min(CHUNK_MAX, Math.max(1, perSecond))) continue
      const ms = (1000 * chunk.length) / perSecond
      await flush()
      await pause(clock, ms, signal)
    }
    if (chunk.length > 0) await flush()
    return await end('done')
  } catch (error) {
    await end(signal.aborted ? 'interrupted' : 'failed')
    if (signal.aborted) return getJob(store, jobId)
    throw error
  }
}

interface Spec {
  selector: ReplaySelector
  force?: 'duplicate'
  limit?: number
}

async function openJob(parts: ReplayParts, options: ReplayOptions): Promise<Job> {
  const { store, clock } = parts
  const { jobId, resume = false, selector, force, limit } = options
  if (resume) {
    const job = await getJob(store, jobId)
    if (job.kind !== 'replay') throw new StoreError('invalid', `job ${jobId} is no replay`)
    if (job.state === 'done') throw new StoreError('conflict', `replay ${jobId} is done`)
    await updateJob(store, jobId, { state: 'running', now: clock.now() })
    return job
  }
  if (selector === undefined) throw new StoreError('invalid', 'a replay needs to know which messages')
  const spec: Spec = {
    selector: frozen(selector, clock.now()),
    ...(force && { force }),
    ...(limit !== undefined && { limit }),
  }
  const { count } = await planReplay(parts, spec.selector, limit)
  return createJob(store, { id: jobId, kind: 'replay', spec: { ...spec }, total: count, now: clock.now() })
}

/** A filter without an end would run after the mail that comes meanwhile. */
function frozen(selector: ReplaySelector, now: number): ReplaySelector {
  if (selector.by !== 'filter' || selector.filter.until !== undefined) return selector
  return { by: 'filter', filter: { ...selector.filter, until: now + 1 } }
}

type Source = Omit<ReplayParts, 'log' | 'clock'>

function select(parts: Source, selector: ReplaySelector, after?: string): AsyncGenerator<Found> {
  switch (selector.by) {
    case 'messages':
      return byIds(parts, selector.ids, after)
    case 'filter':
      return byFilter(parts, selector.filter, after)
    case 'offsets':
      return byOffsets(parts, selector, after)
    case 'objects':
      return byObjects(parts, selector.prefix, after)
  }
}

async function* byIds({ store, source }: Source, ids: readonly string[], after?: string): AsyncGenerator<Found> {
  if (ids.length > IDS_MAX) throw new StoreError('invalid', `at most ${IDS_MAX} ids at one time`)
  for (let at = after === undefined ? 0 : Number(after) + 1; at < ids.length; at++) {
    const messageId = ids[at] ?? ''
    const row = await findMessage(store, messageId)
    yield { messageId, cursor: String(at), event: row && receivedEvent(row, { source }) }
  }
}

/** Pages by key: rows whose status changes meanwhile, because of this replay, make no row be left out. */
async function* byFilter({ store, source }: Source, filter: MessageFilter, after?: string): AsyncGenerator<Found> {
  let cursor = after
  for (;;) {
    const page = await listMessages(store, filter, { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) })
    for (const row of page.rows) {
      yield { messageId: row.id, cursor: cursorOf(row), event: receivedEvent(row, { source }) }
    }
    if (page.next === undefined) return
    cursor = page.next
  }
}

async function* byOffsets(
  { store, source }: Source,
  { partition, from, until }: { partition: number; from: number; until?: number },
  after?: string,
): AsyncGenerator<Found> {
  let offsetFrom = after === undefined ? from : Number(after) + 1
  for (;;) {
    const { rows } = await listEvents(
      store,
      {
        types: ['ingest.received'],
        topic: 'mail.ingest.v1',
        partition,
        offsetFrom,
        offsetUntil: Math.min(until ?? Number.MAX_SAFE_INTEGER, offsetFrom + PAGE),
      },
      { limit: PAGE },
    )
    rows.sort((a, b) => a.offset - b.offset)
    for (const { subject, offset } of rows) {
      const row = await findMessage(store, subject)
      yield { messageId: subject, cursor: String(offset), event: row && receivedEvent(row, { source }) }
    }
    offsetFrom += PAGE
    if (offsetFrom >= (until ?? Number.MAX_SAFE_INTEGER)) return
    const { rows: more } = await listEvents(store, { topic: 'mail.ingest.v1', partition, offsetFrom }, { limit: 1 })
    if (more.length === 0) return
  }
}

async function* byObjects({ blobs, source }: Source, prefix: string, after?: string): AsyncGenerator<Found> {
  for await (const { key } of blobs.list(prefix)) {
    if (!key.endsWith('.json') || (after !== undefined && key <= after)) continue
    const found = await blobs.get(key)
    const meta = found === undefined ? undefined : metaFrom(await readAll(found.body))
    yield { messageId: meta?.messageId ?? key, cursor: key, event: meta && receivedFromMeta(meta, { source }) }
  }
}

/** Trouble of the engines is waited out; a replay may run for hours. */
async function reach<T>(clock: Clock, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const passes = isUnavailable(error) || (error instanceof Error && error.name === 'EventLogError')
      if (!passes || tries > TRIES_MAX) throw error
      await pause(clock, pauseMs(tries, 'replay'), signal)
    }
  }
}
