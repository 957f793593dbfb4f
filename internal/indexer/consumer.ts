// Reading `mail.ingest.v1`: many messages at a time, each to its end, with one checkpoint that never passes one that is not done.

import { rm } from 'node:fs/promises'
import type { EventLog, LoggedEvent } from '../eventlog/eventlog.ts'
import type { Clock, Log } from '../ports/ports.ts'
import {
  checkpointOf,
  findKey,
  findMessage,
  insertStored,
  isUnavailable,
  saveCheckpoint,
  type MessageDraft,
  type Store,
  type Tx,
} from '../store/store.ts'
import { applyJudgement, AttachmentsNeeded, isApplied, type Applied } from './apply.ts'
import { examine, Fault, Outage, type ExamineParts } from './examine.ts'
import { bareDraft, parsedDraft, type FailureReason, type Judgement, type Received } from './facts.ts'
import { headerIdOf } from './header-ids.ts'
import type { IndexerMetrics } from './metrics.ts'
import { Line, pause, pauseMs, Slots, Stopped } from './waiting.ts'
import { Window } from './window.ts'

export const INGEST_TOPIC = 'mail.ingest.v1'

/** Events read at one time. */
const BATCH_MAX = 256
/** A message that takes longer gets its STORED row, so that it can be seen while it is worked on. */
const SLOW_MS = 1000
/** Tries that an outage ends while other messages get through; with their pauses about four minutes. Then it is this message's. */
const ALONE_MAX = 30
/** How often `full` is looked at again. */
const FULL_PAUSE_MS = 20

export interface ConsumerOptions {
  log: EventLog
  store: Store
  clock: Clock
  logger: Log
  metrics: IndexerMetrics
  examine: Omit<ExamineParts, 'signal' | 'clock' | 'metrics'>
  group: string
  source: string
  concurrency: number
  /** Tries after the first for what may mend by itself or may not. */
  retries: number
  signal: AbortSignal
  /** Told after each commit that changed a row. */
  committed: (row: MessageDraft) => void
}

/** Consumes until the signal aborts, then waits for what is under way to let go. */
export async function consumeReceived(options: ConsumerOptions): Promise<void> {
  const consumer = new Consumer(options)
  await rm(options.examine.workDir, { recursive: true, force: true })
  try {
    while (!options.signal.aborted) {
      await consumer.read().catch(async (error: unknown) => {
        if (options.signal.aborted) return
        options.logger.warn({ err: error }, 'the event log cannot be read; trying again')
        await pause(options.clock, pauseMs(++consumer.failures, options.group), options.signal)
      })
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  } finally {
    await consumer.settled()
  }
}

class Consumer {
  /** Readings in a row that failed before their first batch. */
  failures = 0
  readonly #options: ConsumerOptions
  readonly #windows = new Map<number, { window: Window; saved: number; eventTime: number | null }>()
  readonly #slots: Slots
  // One commit at a time, so that a checkpoint counts exactly the commits before it.
  readonly #commits = new Line()
  readonly #tasks = new Set<Promise<void>>()
  /** Judgements so far: what tells an outage of all from one of a single message. */
  #judged = 0
  readonly #examine: ExamineParts

  constructor(options: ConsumerOptions) {
    this.#options = options
    this.#slots = new Slots(options.concurrency)
    const { clock, metrics, signal } = options
    this.#examine = { ...options.examine, clock, metrics, signal }
  }

  /** Ends when the log ends the iteration. */
  async read(): Promise<void> {
    const { log, group, signal } = this.#options
    const startAt = (topic: string, partition: number) => this.#startAt(topic, partition)
    const want = { group, topics: [INGEST_TOPIC], startAt, batchMax: BATCH_MAX, signal }
    for await (const batch of log.consume(want)) {
      this.failures = 0
      for (const logged of batch) await this.#begin(logged)
      await this.#saveIdle(batch)
    }
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#tasks)
  }

  async #startAt(topic: string, partition: number): Promise<number> {
    const { store, group } = this.#options
    const start = await checkpointOf(store, group, topic, partition)
    const known = this.#windows.get(partition)
    if (known === undefined) this.#windows.set(partition, { window: new Window(start), saved: start, eventTime: null })
    return start
  }

  #place(partition: number) {
    const place = this.#windows.get(partition)
    if (place === undefined) throw new TypeError(`an event of partition ${partition}, which was not assigned`)
    return place
  }

  async #begin(logged: LoggedEvent): Promise<void> {
    const { clock, signal, metrics, group } = this.#options
    const { topic, partition, offset, event, appendedAt } = logged
    const place = this.#place(partition)
    while (place.window.full) await pause(clock, FULL_PAUSE_MS, signal)
    if (!place.window.begin(offset)) return
    place.eventTime = appendedAt
    if (event.type !== 'ingest.received') {
      place.window.finish(offset)
      return
    }
    await this.#slots.take()
    if (signal.aborted) throw new Stopped()
    const task = this.#work(logged, event)
      .then((result) => {
        metrics.events.inc({ group, topic, result })
        metrics.lastEvent.set({ group, topic }, appendedAt / 1000)
      })
      .catch((error: unknown) => {
        // Stopping leaves the offset open, so that the next start does it again.
        if (!(error instanceof Stopped)) this.#options.logger.error({ err: error }, 'a message could not be indexed')
      })
      .finally(() => {
        this.#slots.give()
        this.#tasks.delete(task)
      })
    this.#tasks.add(task)
  }

  /** One message to its end. Holds a slot at its start and at its end, not while it waits for a missing object. */
  async #work(logged: LoggedEvent, event: Received): Promise<'ok' | 'duplicate'> {
    const id = event.data.messageId
    const { store } = this.#options
    const before = await this.#reachStore(id, () => findMessage(store, id))
    if (isApplied(before, event)) {
      // Its commit may have come before a crash, or another member's: only the checkpoint moves.
      await this.#commit(logged, async () => undefined)
      return 'duplicate'
    }
    const done = new AbortController()
    const slow = this.#showSlow(event, done.signal)
    try {
      return await this.#untilApplied(logged, event)
    } finally {
      done.abort()
      await slow
    }
  }

  async #untilApplied(logged: LoggedEvent, event: Received): Promise<'ok' | 'duplicate'> {
    const { retries, metrics, group, logger } = this.#options
    const about = { messageId: event.data.messageId, entryId: event.data.entryId, tenant: event.data.tenant }
    let faults = 0
    let alone = 0
    let judged = this.#judged
    let everything = false
    for (let attempt = 1; ; attempt++) {
      try {
        const keep = async (judged: Extract<Judgement, { kind: 'parsed' }>) =>
          everything || this.#isFirst(event, judged)
        const judgement = await examine(this.#examine, { event, attempt, keep })
        this.#judged += 1
        return await this.#apply(logged, event, judgement)
      } catch (error) {
        if (error instanceof Stopped || this.#options.signal.aborted) throw new Stopped()
        metrics.events.inc({ group, topic: logged.topic, result: 'retry' })
        if (error instanceof AttachmentsNeeded) {
          everything = true
        } else if (error instanceof Outage || isUnavailable(error)) {
          if (this.#judged > judged && ++alone > ALONE_MAX) return this.#apply(logged, event, failure(error, attempt))
          judged = this.#judged
          logger.warn({ ...about, err: error, attempt }, 'out of reach; trying again')
          await this.#aside(attempt, about.messageId)
        } else if (++faults > retries) {
          return this.#apply(logged, event, failure(error, attempt))
        } else {
          logger.warn({ ...about, err: error, attempt }, 'could not be indexed; trying again')
          await this.#show(event)
          await this.#aside(faults, about.messageId)
        }
      }
    }
  }

  /** Waits without a slot, so that messages whose objects are missing or cannot be read do not hold up the others. */
  async #aside(tries: number, id: string): Promise<void> {
    this.#slots.give()
    try {
      await pause(this.#options.clock, pauseMs(tries, id), this.#options.signal)
    } finally {
      await this.#slots.take()
    }
  }

  async #apply(logged: LoggedEvent, event: Received, judgement: Judgement): Promise<'ok' | 'duplicate'> {
    const { clock, source, metrics, logger, committed } = this.#options
    const began = clock.monotonic()
    const now = clock.now()
    const applied = await this.#commit(logged, (tx) => applyJudgement(tx, { event, judgement, now, source }))
    metrics.stageSeconds.observe({ stage: 'db' }, (clock.monotonic() - began) / 1000)
    if (applied.result !== 'applied') {
      if (applied.result === 'kept')
        logger.warn({ messageId: event.data.messageId }, 'a retry failed; the earlier rows stay')
      return 'duplicate'
    }
    const { row } = applied
    if (row.status === 'QUARANTINED') metrics.quarantined.inc({ reason: row.reason ?? 'other' })
    if (event.replay === undefined) metrics.endToEnd.observe(Math.max(0, clock.now() - row.receivedAt) / 1000)
    const { id: messageId, entryId, tenant, status, traceId, reason, attachmentCount } = row
    logger.info({ messageId, entryId, tenant, status, traceId, reason, attachmentCount }, 'message indexed')
    committed(row)
    return 'ok'
  }

  /** Effects and checkpoint in one transaction. Tried while the store is out of reach. */
  async #commit<T extends Applied | undefined>(logged: LoggedEvent, effects: (tx: Tx) => Promise<T>): Promise<T> {
    const { store } = this.#options
    const { partition, offset } = logged
    const place = this.#place(partition)
    return this.#reachStore(logged.event.subject, () =>
      this.#commits.run(async () => {
        const low = place.window.lowWithout(offset)
        const result = await store.transaction(async (tx) => {
          const made = await effects(tx)
          if (low > place.saved) await this.#saveCheckpoint(tx, partition, low)
          return made
        })
        place.window.finish(offset)
        place.saved = Math.max(place.saved, low)
        return result
      }),
    )
  }

  async #saveCheckpoint(tx: Tx, partition: number, offset: number): Promise<void> {
    const { group, clock, metrics } = this.#options
    const { eventTime } = this.#place(partition)
    const now = clock.now()
    await saveCheckpoint(tx, { group, topic: INGEST_TOPIC, partition, offset, eventTime, updatedAt: now })
    metrics.checkpoint.set({ group }, now / 1000)
  }

  /** Events that need no work move the checkpoint when no message is there to take them along. */
  async #saveIdle(batch: readonly LoggedEvent[]): Promise<void> {
    const partition = batch[0]?.partition
    if (partition === undefined || this.#tasks.size > 0) return
    const place = this.#place(partition)
    await this.#commits.run(async () => {
      const { low } = place.window
      if (low <= place.saved) return
      await this.#options.store.transaction((tx) => this.#saveCheckpoint(tx, partition, low))
      place.saved = low
    })
  }

  async #reachStore<T>(id: string, work: () => Promise<T>): Promise<T> {
    const { clock, signal, logger } = this.#options
    for (let tries = 1; ; tries++) {
      if (signal.aborted) throw new Stopped()
      try {
        return await work()
      } catch (error) {
        if (!isUnavailable(error)) throw error
        logger.warn({ err: error, tries }, 'the store is out of reach; trying again')
        await pause(clock, pauseMs(tries, id), signal)
      }
    }
  }

  /** A guess that saves uploading a duplicate's attachments; the transaction decides. */
  async #isFirst(event: Received, judged: Extract<Judgement, { kind: 'parsed' }>): Promise<boolean> {
    const { store } = this.#options
    const { tenant, mailbox, sha256, source, entryId, id } = parsedDraft(event, judged.meta, judged.message)
    const header = headerIdOf(judged.message, { sha256, domain: mailbox.slice(mailbox.lastIndexOf('@') + 1) })
    if (event.replay?.force === 'duplicate' || header.kind === 'synthetic') return true
    const key = await findKey(store, { tenant, source, headerMessageId: header.id })
    if (key === undefined || key.messageId === id || key.entryId > entryId) return true
    return (await findMessage(store, id))?.forced === true
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

  async #showSlow(event: Received, done: AbortSignal): Promise<void> {
    const { clock, signal } = this.#options
    try {
      await pause(clock, SLOW_MS, AbortSignal.any([done, signal]))
    } catch (error) {
      if (error instanceof Stopped) return
      throw error
    }
    await this.#show(event)
  }
}

/** What a message comes to when its last try ended so. */
export function failure(error: unknown, attempts: number): Judgement {
  const ours = error instanceof Outage ? 'unreachable' : 'internal'
  const reason: FailureReason = error instanceof Fault ? error.reason : ours
  const message = error instanceof Error ? error.message : String(error)
  const meta = error instanceof Fault ? error.meta : undefined
  return { kind: 'failed', reason, detail: { message, attempts }, ...(meta && { meta }) }
}
