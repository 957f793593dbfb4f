// One iteration over topics: a member of a consumer group, whose positions are the caller's.
//
// The group shares out the partitions. When one is assigned, `startAt` says where to begin, whatever the group has committed;
// what was fetched from elsewhere is dropped. A batch is handed over when the caller asks, and while it works on one the
// member goes on saying that it lives. The offset committed is a hint for tools, and never past what the caller came back from.

import type { Batch, Consumer, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs'
import type { Clock, Log } from '../ports/ports.ts'
import type { CodecError } from './codec.ts'
import { restMs, runsOf, unreadable, type Run } from './dead-letters.ts'
import type { Consumption } from './eventlog.ts'
import { EventLogError } from './fault.ts'
import { asEventLogError, DONE, leave, mayPass, metadataMaxAge, RETRY, within, type Desk } from './kafka-client.ts'
import { Handoff } from './kafka-handoff.ts'
import { Places, placeName, type Place } from './kafka-places.ts'

/** A member that is silent for so long has lost its partitions: the longest pause after a kill. */
const SESSION_MS = 10_000
/** How often a member says that it lives, and so how soon it hears of another. */
const HEARTBEAT_MS = 1000
/** Members that work on a batch must come back within this time when partitions are shared out again. */
const REBALANCE_MS = 20_000
/** How long a fetch waits at the end of the log. It bounds how fast a start position or a stop is noticed there. */
const FETCH_MS = 300
/** A fetch of who gathers waits so long for so many bytes. */
const GATHER_MS = 1000
const GATHERED_BYTES = 512 * 1024
/** How often a group is told how far its members have come: each time is a request, and a record in the log of the brokers. */
const HINT_MS = 1000
/** Most that one fetch brings: what this consumer holds in memory, for each broker. */
const FETCH_BYTES_MAX = 4 * 1024 * 1024
const PARTITION_BYTES_MAX = 1024 * 1024
/** Trouble that may pass ends an iteration when it has lasted so long. */
const TROUBLE_MAX_MS = 30_000
const RESTART_PAUSE_MS = 300
/** The end of an iteration waits so long for the member to leave its group; then that goes on alone. */
const LEAVE_MAX_MS = 5000

/** A record that cannot be read, with the reason. */
type Dead = Run<KafkaMessage, never>['dead']

export interface ConsumptionOptions<T> {
  kafka: Kafka
  desk: Desk
  clock: Clock
  log: Log
  /** Name on the wire of a topic of the catalogue or of a group. */
  wire: (name: string) => string
  /** A topic's name without what the wire puts before it. */
  plain: (wire: string) => string
  /** Name on the wire of the group of an iteration that shares with nobody; fresh each time. */
  readerGroup: () => string
  /** What a record is: something for the caller, nothing, or dead. */
  judge: (place: { topic: string; partition: number }, message: KafkaMessage) => readonly T[] | CodecError
  /** Keeps records of one partition as dead letters of a group; durable when it resolves. Rejects with EventLogError. */
  keepDead: (dead: Dead, of: { group: string; topic: string; partition: number; attempts: number }) => Promise<void>
}

/** The batches that `want` asks for. Rejects with EventLogError when kafkajs has used up its tries. */
export async function* consumption<T>(
  options: ConsumptionOptions<T>,
  want: Consumption,
): AsyncGenerator<readonly T[], void> {
  if (want.signal.aborted) return
  const reading = new Reading(options, want)
  const stop = () => reading.end()
  want.signal.addEventListener('abort', stop, { once: true })
  reading.start()
  try {
    for (;;) {
      const batch = await reading.handoff.take()
      if (batch === undefined) return
      yield batch
    }
  } finally {
    want.signal.removeEventListener('abort', stop)
    await reading.leave()
  }
}

class Reading<T> {
  readonly handoff = new Handoff<readonly T[]>()
  readonly #options: ConsumptionOptions<T>
  readonly #want: Consumption
  readonly #places = new Places()
  /** Lasts as long as the present assignment. */
  #holding = new AbortController()
  #ends: ReadonlyMap<string, number> | undefined
  #consumer: Consumer | undefined
  /** Resolves when the consumer's start is through, well or not. */
  #started: Promise<unknown> = Promise.resolve()
  /** When the group or a broker last answered as it should; the clock's monotonic. */
  #wellAt: number

  constructor(options: ConsumptionOptions<T>, want: Consumption) {
    this.#options = options
    this.#want = want
    this.#wellAt = options.clock.monotonic()
  }

  /** Begins; every error ends the hand-over. */
  start(): void {
    this.#run().catch((error: unknown) => this.handoff.end(asEventLogError(error, this.#topics)))
  }

  /** One member after another: a coordinator that still loads, or a broker that dies while we join, is the end to kafkajs. */
  async #run(): Promise<void> {
    const { clock } = this.#options
    if (this.#want.untilEnd) this.#ends = await this.#presentEnds()
    while (!this.handoff.ended) {
      const trouble = await this.#untilTrouble()
      if (!mayPass(trouble) || clock.monotonic() - this.#wellAt >= TROUBLE_MAX_MS) throw trouble
      await clock.sleep(RESTART_PAUSE_MS)
    }
  }

  /** Is a member until kafkajs gives up. */
  async #untilTrouble(): Promise<unknown> {
    const { promise: crashed, resolve: crash } = Promise.withResolvers<unknown>()
    const consumer = this.#member()
    consumer.on('consumer.crash', ({ payload }) => crash(payload.error))
    this.#consumer = consumer
    const started = this.#join(consumer)
    this.#started = Promise.allSettled([started])
    try {
      await started
      return await crashed
    } catch (error) {
      await leave(Promise.resolve(consumer))
      return error
    }
  }

  #member(): Consumer {
    const { kafka, readerGroup, wire } = this.#options
    const consumer = kafka.consumer({
      groupId: this.#want.group === undefined ? readerGroup() : wire(this.#want.group),
      sessionTimeout: SESSION_MS,
      rebalanceTimeout: REBALANCE_MS,
      heartbeatInterval: HEARTBEAT_MS,
      ...(this.#want.gather === true
        ? { maxWaitTimeInMs: GATHER_MS, minBytes: GATHERED_BYTES }
        : { maxWaitTimeInMs: FETCH_MS }),
      maxBytes: FETCH_BYTES_MAX,
      maxBytesPerPartition: PARTITION_BYTES_MAX,
      metadataMaxAge,
      allowAutoTopicCreation: false,
      // A restart of its own forgets that it was told to stop.
      retry: { ...RETRY, restartOnFailure: async () => false },
    })
    consumer.on('consumer.group_join', ({ payload }) => this.#assigned(payload.memberAssignment))
    consumer.on('consumer.start_batch_process', ({ payload }) => this.#skipped(payload))
    return consumer
  }

  async #join(consumer: Consumer): Promise<void> {
    await consumer.connect()
    // Past the retention there is only the beginning to go on from.
    await consumer.subscribe({ topics: this.#topics, fromBeginning: true })
    if (this.handoff.ended) return
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: (payload) => this.#eachBatch(payload),
    })
  }

  get #topics(): string[] {
    return this.#want.topics.map((topic) => this.#options.wire(topic))
  }

  /** No more batches; the caller is told to let go of the one it has. */
  end(): void {
    this.handoff.end()
    this.#holding.abort()
  }

  /** Leaves the group, so that others need not wait for the session to run out. */
  async leave(): Promise<void> {
    const { clock, log } = this.#options
    this.end()
    // kafkajs forgets a stop that comes before its start is through.
    const left = this.#started.then(() => this.#consumer?.disconnect())
    await within(clock, LEAVE_MAX_MS, left).catch((error: Error) => {
      log.warn({ err: error }, 'a consumer could not leave its group in time')
    })
  }

  async #presentEnds(): Promise<Map<string, number>> {
    const { desk, wire } = this.#options
    const ends = new Map<string, number>()
    for (const topic of this.#want.topics) {
      const offsets = await desk.offsets(wire(topic))
      for (const { partition, high } of offsets) ends.set(placeName(topic, partition), Number(high))
    }
    return ends
  }

  /** Called by kafkajs before it fetches for a new assignment. */
  #assigned(assignment: Readonly<Record<string, number[]>>): void {
    this.#wellAt = this.#options.clock.monotonic()
    this.#holding.abort()
    this.#holding = new AbortController()
    if (this.handoff.ended) this.#holding.abort()
    // A giver that waits for its caller may not have heard yet; what it offers is another assignment's.
    this.handoff.drop()
    const places = Object.entries(assignment).flatMap(([wire, partitions]) => {
      const topic = this.#options.plain(wire)
      return partitions.map((partition): Place => {
        // A partition added while we read has no end of its own: nothing of it was there when we began.
        const end = this.#ends === undefined ? Infinity : (this.#ends.get(placeName(topic, partition)) ?? 0)
        return { topic, partition, ready: Promise.resolve(), start: Infinity, next: -1, end, attempts: 1 }
      })
    })
    this.#places.assign(places)
    // It ends with the assignment, by its sleep.
    if (this.#want.group !== undefined) void Promise.allSettled([this.#hinting(this.#holding.signal)])
    for (const place of places) {
      place.ready = this.#begin(place).catch((error: Error) => {
        if (this.#places.holds(place)) this.handoff.end(error)
      })
    }
    this.#checkFinished()
  }

  async #begin(place: Place): Promise<void> {
    const { topic, partition } = place
    const wanted = await this.#want.startAt(topic, partition, this.#holding.signal)
    const { low, high } = await this.#bounds(place, wanted)
    if (wanted > high) {
      throw new EventLogError(
        'server',
        `event log: ${placeName(topic, partition)} ends at ${high}, before the start at ${wanted}`,
      )
    }
    if (wanted < low && wanted > 0) {
      this.#options.log.warn({ topic, partition, wanted, low }, 'events are gone from the log before they were read')
    }
    if (!this.#places.holds(place) || this.handoff.ended) return
    place.next = Math.max(wanted, low)
    place.start = place.next
    this.#seek(place)
    this.#checkFinished()
  }

  async #bounds({ topic, partition }: Place, wanted: number): Promise<{ low: number; high: number }> {
    const offsets = await this.#options.desk.offsets(this.#options.wire(topic))
    const found = offsets.find((each) => each.partition === partition)
    return { low: Number(found?.low ?? 0), high: Number(found?.high ?? wanted) }
  }

  #seek({ topic, partition, next }: Place): void {
    this.#consumer?.seek({ topic: this.#options.wire(topic), partition, offset: String(next) })
  }

  #checkFinished(): void {
    if (this.#ends !== undefined && this.#places.finished) this.handoff.end()
  }

  /** A batch of records that are no messages (marks of transactions) never reaches eachBatch. */
  #skipped(batch: {
    topic: string
    partition: number
    firstOffset: string | null
    lastOffset: string
    batchSize: number
  }): void {
    const place = this.#places.at(this.#options.plain(batch.topic), batch.partition)
    if (place === undefined || batch.batchSize > 0) return
    place.next = Math.max(place.next, Number(batch.lastOffset) + 1)
    this.#checkFinished()
  }

  /** Hands one fetched batch over, piece by piece. Throws what kafkajs must know: that the group rebalances. */
  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload
    this.#wellAt = this.#options.clock.monotonic()
    const place = this.#places.at(this.#options.plain(batch.topic), batch.partition)
    if (place === undefined) return
    await this.#alive(place.ready, payload)
    if (!this.#places.holds(place) || this.handoff.ended) return
    if (fetchedFrom(batch) !== place.next) {
      this.#seek(place)
      return
    }
    const wanted = batch.messages.filter(({ offset }) => Number(offset) < place.end)
    let read = true
    const judge = (message: KafkaMessage) => this.#options.judge(place, message)
    for (const run of runsOf(wanted, judge, this.#want.batchMax)) {
      const isDead = run.dead.length > 0
      read = await (isDead ? this.#setAside(place, run.dead, payload) : this.#give(place, run.events, payload))
      if (read && run.passed) read = await this.#pass(place, run.last, payload)
      if (!read) break
      place.next = Number(run.last.offset) + 1
      payload.resolveOffset(String(place.next - 1))
    }
    // Offsets without a message count as read with the messages around them.
    if (read) place.next = Math.max(place.next, Math.min(Number(batch.lastOffset()) + 1, place.end))
    this.#checkFinished()
  }

  /**
   * Keeps what a group cannot read; who reads alone is only told. True when the partition is still ours. When it cannot be kept
   * the partition rests, and is read again from the first of them.
   */
  async #setAside(place: Place, dead: Dead, payload: EachBatchPayload): Promise<boolean> {
    const { topic, partition, attempts } = place
    const { group } = this.#want
    try {
      if (group !== undefined)
        await this.#alive(this.#options.keepDead(dead, { group, topic, partition, attempts }), payload)
    } catch (error) {
      if (error instanceof EventLogError) this.#rest(place, payload, error)
      else throw error
      return false
    }
    if (!this.#places.holds(place)) return false
    for (const { item, error } of dead) {
      const record = unreadable({ topic, partition, offset: Number(item.offset) }, Number(item.timestamp), error)
      this.#options.log.warn(
        { ...record, group },
        group === undefined ? 'record skipped' : 'record set aside as a dead letter',
      )
      await this.#alive(Promise.resolve(this.#want.unreadable?.(record)), payload)
    }
    place.attempts = 1
    return this.#places.holds(place)
  }

  /** Other partitions are read meanwhile. */
  #rest(place: Place, payload: EachBatchPayload, error: EventLogError): void {
    const { clock, log } = this.#options
    const { topic, partition, next: offset, attempts } = place
    log.warn({ topic, partition, offset, attempts, err: error }, 'a dead letter cannot be kept; its partition waits')
    place.attempts += 1
    const resume = payload.pause()
    const rested = clock.sleep(restMs(attempts), this.#holding.signal)
    void Promise.allSettled([rested]).then(resume)
  }

  async #pass(place: Place, { offset, timestamp }: KafkaMessage, payload: EachBatchPayload): Promise<boolean> {
    const { topic, partition } = place
    const record = { topic, partition, offset: Number(offset), appendedAt: Number(timestamp) }
    await this.#alive(Promise.resolve(this.#want.passed?.(record)), payload)
    return this.#places.holds(place)
  }

  /** True when the caller came back from the events, and the partition is still ours. */
  async #give(place: Place, events: readonly T[], payload: EachBatchPayload): Promise<boolean> {
    if (events.length === 0) return true
    const offer = this.handoff.offer(events)
    try {
      return (await this.#alive(offer.done, payload)) && this.#places.holds(place)
    } finally {
      offer.withdraw()
    }
  }

  /** Waits for what takes the caller's time, with heartbeats. Rejects when the group rebalances. */
  async #alive<T>(waited: Promise<T>, payload: EachBatchPayload): Promise<T> {
    const { clock } = this.#options
    for (;;) {
      const pause = new AbortController()
      const beat = clock.sleep(HEARTBEAT_MS, pause.signal).then(() => BEAT)
      try {
        const first = await Promise.race([waited, beat])
        if (first !== BEAT) return first as T
      } finally {
        pause.abort(DONE)
      }
      await payload.heartbeat()
    }
  }

  /** Tells the group now and then how far the caller has come, until the assignment ends. */
  async #hinting(held: AbortSignal): Promise<void> {
    const { clock, log, wire } = this.#options
    const hinted = new Map<Place, number>()
    for (;;) {
      await clock.sleep(HINT_MS, held)
      const moved = this.#places.all.filter((place) => place.next > (hinted.get(place) ?? place.start))
      if (moved.length === 0) continue
      const offsets = moved.map(({ topic, partition, next }) => ({ topic: wire(topic), partition, offset: `${next}` }))
      for (const place of moved) hinted.set(place, place.next)
      await this.#consumer?.commitOffsets(offsets).catch((error: unknown) => {
        log.debug({ err: error }, 'the group did not take a committed offset')
      })
    }
  }
}

const BEAT = Symbol('time for a heartbeat')

/** The offset that was asked for; not in the types of kafkajs. */
const fetchedFrom = (batch: Batch): number => Number((batch as Batch & { fetchedOffset: string }).fetchedOffset)
