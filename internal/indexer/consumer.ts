// Reading `mail.ingest.v1`: many messages at a time, each to its end, with one checkpoint that never passes one that is not done.

import { rm } from 'node:fs/promises'
import type { EventLog, LoggedEvent, Passed, Unreadable } from '../eventlog/eventlog.ts'
import { traced, type Clock, type Log, type Span, type Tracer } from '../ports/ports.ts'
import {
  checkpointOf,
  findMessage,
  isErased,
  insertStored,
  isUnavailable,
  saveCheckpoint,
  type MessageDraft,
  type Store,
  type Tx,
} from '../store/store.ts'
import { applyAll } from './apply-all.ts'
import { AttachmentsNeeded, isApplied, isForced, type Applied, type Applying } from './apply.ts'
import { Commits } from './commits.ts'
import { eraseObjects } from './erased.ts'
import { examine, type ExamineParts } from './examine.ts'
import { bareDraft, type Judgement, type Received } from './facts.ts'
import { failure, lackedBy } from './failures.ts'
import { gathering } from './gather.ts'
import { isFirst, knownAmong } from './known.ts'
import { rebalanceCount, replayResult, type IndexerMetrics } from './metrics.ts'
import { Slow } from './slow.ts'
import { noProgress } from './trouble.ts'
import { pause, pauseMs, persist, reachStore, Slots, Stopped } from './waiting.ts'
import { Window, type Low } from './window.ts'

const INGEST_TOPIC = 'mail.ingest.v1'

/** Events read at one time. */
const BATCH_MAX = 256
/** A message that takes longer gets its STORED row, so that it can be seen while it is worked on. */
const SLOW_MS = 5000
/** Tries that an outage ends while other messages get what it lacks; with their pauses about four minutes. Then it is this message's. */
const ALONE_MAX = 30
/** Messages under way beside those at work: they wait, for an object or for the end of an outage, and more would only wait as well. */
const WAITING_MAX = 256
/** How often it is looked whether there is room again. */
const ROOM_PAUSE_MS = 20

export interface ConsumerOptions {
  log: EventLog
  store: Store
  clock: Clock
  logger: Log
  tracer: Tracer
  metrics: IndexerMetrics
  examine: Omit<ExamineParts, 'signal' | 'clock' | 'metrics' | 'progress' | 'tracer'>
  group: string
  source: string
  concurrency: number
  /** Tries after the first for what may mend by itself or may not. */
  retries: number
  /** Whether mailboxes may answer. */
  answers: boolean
  signal: AbortSignal
  /** Told after each commit that changed a row. */
  committed: (row: MessageDraft) => void
}

/** Consumes until the signal aborts, then waits for what is under way to let go. */
export async function consumeReceived(options: ConsumerOptions): Promise<void> {
  const { clock, logger, group: id, signal } = options
  const consumer = new Consumer(options)
  await rm(options.examine.workDir, { recursive: true, force: true })
  const patience = { clock, logger, id, signal }
  const reading = persist((well) => consumer.read(well), patience, 'the event log cannot be read')
  await Promise.all([reading, consumer.watchSlow()])
  await consumer.settled()
}

/** An event under way, in the window that it began in. */
interface Work extends LoggedEvent {
  event: Received
  window: Window
  /** There was no row of its message when it was read. */
  isNew: boolean
}

/** What is committed: an offset, with what its message changes. */
interface Commit {
  offset: number
  applying?: Applying
}

class Consumer {
  readonly #options: ConsumerOptions
  /** Of the present assignment, and what is left of earlier ones: no more than there are partitions. */
  readonly #windows = new Map<number, Window>()
  readonly #commits = new WeakMap<Window, Commits<Commit, Applied>>()
  readonly #slots: Slots
  readonly #tasks = new Set<Promise<void>>()
  /** The newest task of each message: the next one begins when it has ended. */
  readonly #byMessage = new Map<string, Promise<void>>()
  readonly #slow = new Slow<Work>((work) => this.#showSlow(work))
  readonly #progress = noProgress()
  readonly #examine: ExamineParts
  readonly #rebalanced: (held: AbortSignal) => void
  #newest = 0

  constructor(options: ConsumerOptions) {
    this.#options = options
    this.#slots = new Slots(options.concurrency)
    const { clock, metrics, signal, group, tracer } = options
    this.#rebalanced = rebalanceCount(metrics, group)
    this.#examine = { ...options.examine, clock, metrics, signal, tracer, progress: this.#progress }
  }

  /** Ends when the log ends the iteration. Tells `well` of each batch. */
  async read(well: () => void): Promise<void> {
    const { log, group, clock, signal } = this.#options
    const startAt = (_topic: string, partition: number, held: AbortSignal) => this.#startAt(partition, held)
    const unreadable = (record: Unreadable) => this.#passDead(record)
    const passed = (record: Passed) => this.#pass(record)
    const want = { group, topics: [INGEST_TOPIC], startAt, unreadable, passed, batchMax: BATCH_MAX, signal }
    for await (const batch of gathering(log.consume(want), clock, signal)) {
      well()
      await this.#beginAll(batch)
    }
  }

  /** Shows what takes long until the signal aborts. */
  async watchSlow(): Promise<void> {
    const { clock, signal } = this.#options
    try {
      await this.#slow.watch(clock, SLOW_MS, signal)
    } catch (error) {
      if (!(error instanceof Stopped)) throw error
    }
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#tasks)
  }

  async #startAt(partition: number, held: AbortSignal): Promise<number> {
    const { store, group } = this.#options
    this.#rebalanced(held)
    const start = await this.#reachStore(group, held, () => checkpointOf(store, group, INGEST_TOPIC, partition))
    if (held.aborted) return start
    const window = new Window(start, held)
    this.#windows.set(partition, window)
    const commit = (commits: readonly Commit[]) => this.#commit(partition, window, commits)
    const isOfAll = (error: unknown) => error instanceof Stopped || isUnavailable(error)
    this.#commits.set(window, new Commits({ line: window.commits, commit, isOfAll }))
    return start
  }

  /** What is kept as a dead letter is done. */
  #passDead(record: Unreadable): void {
    const { metrics, group } = this.#options
    metrics.events.inc({ group, topic: record.topic, result: 'dead_letter' })
    this.#pass(record)
  }

  #pass({ partition, offset, appendedAt }: Passed): void {
    const window = this.#windows.get(partition)
    if (window === undefined) throw new TypeError(`a record of partition ${partition}, which was not assigned`)
    if (window.begin(offset, appendedAt)) window.finish(offset)
    void this.#track(this.#saveIdle(partition, window))
  }

  async #beginAll(batch: readonly LoggedEvent[]): Promise<void> {
    const partition = batch[0]?.partition ?? -1
    const window = this.#windows.get(partition)
    if (window === undefined) throw new TypeError(`an event of partition ${partition}, which was not assigned`)
    try {
      const { store, group } = this.#options
      const known = await this.#reachStore(group, window.held, () => knownAmong(store, batch))
      for (const logged of batch) await this.#begin(logged, window, known)
    } catch (error) {
      if (this.#options.signal.aborted || !(error instanceof Stopped)) throw error
      // The partition was given out anew. Whoever has it begins at the checkpoint.
    }
    void this.#track(this.#saveIdle(partition, window))
  }

  async #begin(logged: LoggedEvent, window: Window, known: ReadonlySet<string>): Promise<void> {
    const { clock, concurrency } = this.#options
    const { offset, event, appendedAt } = logged
    const tasksMax = concurrency + WAITING_MAX
    if (window.held.aborted) throw new Stopped()
    while (window.full || this.#tasks.size >= tasksMax) await pause(clock, ROOM_PAUSE_MS, window.held)
    if (!window.begin(offset, appendedAt)) return
    if (event.type !== 'ingest.received') {
      window.finish(offset)
      return
    }
    const id = event.data.messageId
    const earlier = this.#byMessage.get(id)
    if (earlier === undefined) await this.#slots.take()
    const isNew = !known.has(id) && earlier === undefined && event.replay === undefined
    const task = this.#track(this.#run({ ...logged, event, window, isNew }, earlier))
    this.#byMessage.set(id, task)
    const forget = () => {
      if (this.#byMessage.get(id) === task) this.#byMessage.delete(id)
    }
    void task.then(forget)
  }

  /** Remembers what is under way until it ends. Stopping leaves the offset open, so that whoever has the partition next does it again. */
  #track(work: Promise<void>): Promise<void> {
    const task = work
      .catch((error: unknown) => {
        if (!(error instanceof Stopped)) this.#options.logger.error({ err: error }, 'a message could not be indexed')
      })
      .finally(() => this.#tasks.delete(task))
    this.#tasks.add(task)
    return task
  }

  /** One event from begin to end. Events of one message come one after the other, and wait for each other without a slot. */
  async #run(work: Work, earlier: Promise<void> | undefined): Promise<void> {
    const { metrics, group } = this.#options
    const { topic, appendedAt } = work
    if (earlier !== undefined) {
      await earlier
      await this.#slots.take()
    }
    try {
      const result = await this.#untilDone(work)
      metrics.events.inc({ group, topic, result })
      this.#newest = Math.max(this.#newest, appendedAt)
      metrics.lastEvent.set({ group, topic }, this.#newest / 1000)
    } finally {
      this.#slots.give()
    }
  }

  /** An offset that was begun is done in the end, or somebody else's: one that stayed open would hold up its partition for ever. */
  async #untilDone(work: Work): Promise<'ok' | 'duplicate'> {
    const { messageId } = work.event.data
    for (let tries = 1; ; tries++) {
      try {
        if (work.window.held.aborted) throw new Stopped()
        return await this.#work(work, work.isNew && tries === 1)
      } catch (error) {
        if (error instanceof Stopped) throw error
        this.#options.logger.warn({ messageId, err: error, tries }, 'a message cannot be worked on; trying again')
        await this.#aside(tries, work)
      }
    }
  }

  /** One message to its end. Holds a slot at its start and at its end, not while it waits for a missing object. */
  async #work(work: Work, isNew: boolean): Promise<'ok' | 'duplicate'> {
    const { event } = work
    const { store } = this.#options
    const { messageId, tenant } = event.data
    const [erased, before] = isNew
      ? [false, undefined]
      : await Promise.all([isErased(store, tenant), findMessage(store, messageId)])
    if (erased) {
      await eraseObjects(this.#options.examine.blobs, event)
      await this.#commitsOf(work.window).add({ offset: work.offset })
      return 'ok'
    }
    if (isApplied(before, event)) {
      // Its commit may have come before a crash, or another member's: only the checkpoint moves.
      await this.#commitsOf(work.window).add({ offset: work.offset })
      return 'duplicate'
    }
    this.#slow.begin(work)
    // In the trace of the mail, with a link: what wrote the event may be long gone.
    const span = this.#options.tracer.span('index', event.traceparent, event.traceparent)
    try {
      return await traced(span, () => this.#untilApplied(work, { released: isForced(before, event), span }))
    } finally {
      await this.#slow.end(work)
    }
  }

  async #untilApplied(work: Work, { released, span }: { released: boolean; span: Span }): Promise<'ok' | 'duplicate'> {
    const { retries, metrics, group, logger, signal } = this.#options
    const { event, topic } = work
    const about = { messageId: event.data.messageId, entryId: event.data.entryId, tenant: event.data.tenant }
    let faults = 0
    let alone = 0
    let everything = false
    /** What is written when nothing helps: tried for ever, and without a slot between the tries like all else. */
    let failed: Judgement | undefined
    const keep = async (judged: Extract<Judgement, { kind: 'parsed' }>) =>
      everything || isFirst(this.#options.store, event, judged)
    for (let attempt = 1; ; attempt++) {
      const before = { ...this.#progress }
      try {
        const judgement =
          failed ?? (await examine(this.#examine, { event, attempt, released, keep, within: span.traceparent }))
        return await traced(this.#options.tracer.span('db', span.traceparent), () => this.#apply(work, judgement))
      } catch (error) {
        if (error instanceof Stopped || signal.aborted) throw new Stopped()
        metrics.events.inc({ group, topic, result: 'retry' })
        if (error instanceof AttachmentsNeeded) {
          everything = true
          continue
        }
        const need = lackedBy(error)
        if (need === undefined && ++faults > retries && failed === undefined) {
          failed = failure(error, attempt)
          continue
        }
        const trouble = need === undefined ? 'could not be indexed' : 'out of reach'
        logger.warn({ ...about, err: error, attempt }, `${trouble}; trying again`)
        if (need === undefined && failed === undefined) await this.#show(event)
        await this.#aside(need === undefined ? faults : attempt, work)
        const isAlone = need !== undefined && this.#progress[need] > before[need]
        if (isAlone && ++alone > ALONE_MAX) failed ??= failure(error, attempt)
      }
    }
  }

  /** Waits without a slot, so that messages whose objects are missing or cannot be read do not hold up the others. */
  async #aside(tries: number, { event, window }: Work): Promise<void> {
    this.#slots.give()
    try {
      await pause(this.#options.clock, pauseMs(tries, event.data.messageId), window.held)
    } finally {
      await this.#slots.take()
    }
  }

  async #apply(work: Work, judgement: Judgement): Promise<'ok' | 'duplicate'> {
    const { clock, source, answers, metrics, logger, committed } = this.#options
    const { event } = work
    const began = clock.monotonic()
    const now = clock.now()
    const applying = { event, judgement, now, source, answers }
    const applied = await this.#commitsOf(work.window).add({ offset: work.offset, applying })
    metrics.stageSeconds.observe({ stage: 'db' }, (clock.monotonic() - began) / 1000)
    if (applied.result === 'erased') {
      await eraseObjects(this.#options.examine.blobs, event, judgement)
      return 'ok'
    }
    const again = event.replay !== undefined
    if (again && applied.result !== 'seen')
      metrics.replayed.inc({ result: replayResult('row' in applied ? applied.row.status : undefined) })
    if (applied.result !== 'applied') {
      if (applied.result === 'kept')
        logger.warn({ messageId: event.data.messageId }, 'a retry failed; the earlier rows stay')
      return 'duplicate'
    }
    const { row } = applied
    if (row.status === 'QUARANTINED') metrics.quarantined.inc({ reason: row.reason ?? 'other' })
    else if (applied.was === 'QUARANTINED') metrics.resolved.inc({ outcome: 'released' })
    if (!again) metrics.endToEnd.observe(Math.max(0, clock.now() - row.receivedAt) / 1000)
    const { id: messageId, entryId, tenant, status, traceId, reason, attachmentCount } = row
    logger.info({ messageId, entryId, tenant, status, traceId, reason, attachmentCount }, 'message indexed')
    committed(row)
    return 'ok'
  }

  #commitsOf(window: Window): Commits<Commit, Applied> {
    const commits = this.#commits.get(window)
    if (commits === undefined) throw new TypeError('a window without commits')
    return commits
  }

  /** Effects and checkpoint in one transaction, tried once: who waits for the next try lets the partition's others commit. */
  async #commit(partition: number, window: Window, commits: readonly Commit[]): Promise<Applied[]> {
    if (window.held.aborted) throw new Stopped()
    const offsets = commits.map(({ offset }) => offset)
    const low = window.low(offsets)
    const applied = await this.#options.store.transaction(async (tx) => {
      const effects = commits.flatMap(({ applying }) => applying ?? [])
      const made = effects.length === 0 ? [] : await applyAll(tx, effects)
      if (low.offset > window.saved) await this.#saveCheckpoint(tx, partition, low)
      return made
    })
    window.finish(...offsets)
    window.saved = low.offset
    this.#progress.store += commits.length
    return commits.map(({ applying }) => (applying && applied.shift()) ?? { result: 'seen' })
  }

  async #saveCheckpoint(tx: Tx, partition: number, low: Low): Promise<void> {
    const { group, clock, metrics } = this.#options
    const now = clock.now()
    await saveCheckpoint(tx, { group, topic: INGEST_TOPIC, partition, ...low, updatedAt: now })
    metrics.checkpoint.set({ group }, now / 1000)
  }

  /** Events that need no work move the checkpoint when no message is there to take them along. */
  async #saveIdle(partition: number, window: Window): Promise<void> {
    const { group, store } = this.#options
    await this.#reachStore(group, window.held, () =>
      window.commits.run(async () => {
        const low = window.low()
        // What is under way commits after this, with all that is done by then.
        if (!window.idle || low.offset === window.saved) return
        await store.transaction((tx) => this.#saveCheckpoint(tx, partition, low))
        window.saved = low.offset
      }),
    )
  }

  #reachStore<T>(id: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { clock, logger } = this.#options
    return reachStore(work, { clock, logger, id, signal })
  }

  // A STORED row costs a transaction of its own, an fsync as much as the whole message. Most messages are done within
  // milliseconds and never need one; those that wait or take long are shown by it.
  async #show(event: Received): Promise<void> {
    try {
      await this.#options.store.transaction((tx) => insertStored(tx, bareDraft(event)))
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'a message that takes long could not be shown as STORED')
    }
  }

  async #showSlow({ event, window }: Work): Promise<void> {
    if (!window.held.aborted) await this.#show(event)
  }
}
