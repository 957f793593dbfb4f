// Publishing to Kafka: events of concurrent appends gather while a send is under way and go out together in the next.
//
// kafkajs 2.2.4 keeps what it promises only under these rules, each found by reading or by failing:
// - One outstanding send for each partition. Separate sends overtake each other on retry, and sequence numbers get mixed up.
// - A send carries one partition. When one of several leaders fails and the next leader has already answered, a retry takes
//   the records of that partition for sent: acknowledged and lost.
// - The answer must name the partition: what has no leader in its metadata kafkajs leaves out, and resolves.
// - After a send that failed the producer is not used again. It takes its sequence numbers back, although the broker may have
//   written the records; the next send with as many would count as a repetition: acknowledged and lost.

import type { Kafka, Message, Producer } from 'kafkajs'
import type { Clock } from '../ports/ports.ts'
import { ACK_MS, asEventLogError, leave, metadataMaxAge, RETRY, within } from './kafka-client.ts'
import { EventLogError } from './fault.ts'

/** Most of one send; a topic takes 1 MiB (topics.ts). */
const SEND_EVENTS_MAX = 500
const SEND_BYTES_MAX = 512 * 1024
/** More may not wait; what comes then is rejected `busy`. An append to an empty queue is always taken. */
const WAITING_EVENTS_MAX = 20_000
/** Between tries to get a producer. */
const CONNECT_PAUSE_MS = 200

export interface Outgoing {
  topic: string
  partition: number
  record: Message
  bytes: number
}

interface Item extends Outgoing {
  /** By the clock's monotonic. */
  deadline: number
  settle(error?: EventLogError): void
}

interface Lane {
  waiting: Item[]
  busy: boolean
  /** So many of the first go out one by one: together they were too large. */
  singly: number
}

interface Session {
  producer: Producer
  /** Resolves to the producer when it has its id. */
  connected: Promise<Producer>
  /** Given up: kafkajs must not try its sends again. */
  retired: boolean
  sends: Set<Promise<unknown>>
}

export interface PublisherOptions {
  kafka: Kafka
  clock: Clock
  /** An event is acknowledged or rejected within so many milliseconds. */
  appendMaxMs: number
}

export class Publisher {
  readonly #options: PublisherOptions
  readonly #lanes = new Map<string, Lane>()
  readonly #ending = new Set<Promise<unknown>>()
  #session: Session | undefined
  #waiting = 0
  #closed = false

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Resolves when all are acknowledged by every replica in sync. Rejects with EventLogError when each is settled and one is not. */
  async publish(events: readonly Outgoing[]): Promise<void> {
    if (this.#closed) throw new EventLogError('closed', 'event log: closed')
    if (this.#waiting > 0 && this.#waiting + events.length > WAITING_EVENTS_MAX) {
      throw new EventLogError('busy', `event log: ${this.#waiting} events wait already`)
    }
    const deadline = this.#options.clock.monotonic() + this.#options.appendMaxMs
    const settled = await Promise.allSettled(events.map((event) => this.#enqueue(event, deadline)))
    const failed = settled.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const lane of this.#lanes.values()) this.#rejectWaiting(lane, new EventLogError('closed', 'event log: closed'))
    await Promise.allSettled(this.#session?.sends ?? new Set<Promise<unknown>>())
    this.#retire(this.#session)
    await Promise.allSettled(this.#ending)
  }

  #enqueue(event: Outgoing, deadline: number): Promise<void> {
    const name = `${event.topic}/${event.partition}`
    const lane = this.#lanes.get(name) ?? { waiting: [], busy: false, singly: 0 }
    this.#lanes.set(name, lane)
    this.#waiting += 1
    return new Promise((resolve, reject) => {
      const settle = (error?: EventLogError) => {
        this.#waiting -= 1
        if (error === undefined) resolve()
        else reject(error)
      }
      lane.waiting.push({ ...event, deadline, settle })
      if (!lane.busy) void this.#run(lane)
    })
  }

  /** Sends what waits in a lane until nothing does. Never rejects: every item learns its own end. */
  async #run(lane: Lane): Promise<void> {
    lane.busy = true
    // What is appended in the same turn goes along.
    await Promise.resolve()
    while (lane.waiting.length > 0) {
      const items = takeSend(lane.waiting, lane.singly > 0 ? 1 : SEND_EVENTS_MAX)
      lane.singly = Math.max(0, lane.singly - 1)
      try {
        await this.#send(items)
        for (const item of items) item.settle()
      } catch (error) {
        const reason = asEventLogError(error)
        const tooLarge = reason.fault === 'too_large'
        if (tooLarge && items.length > 1) {
          // The broker took none of them. Whose fault it is shows when each comes alone.
          lane.waiting.unshift(...items)
          lane.singly = items.length
          continue
        }
        for (const item of items) item.settle(reason)
        // What waits behind fails too, or it would overtake what its caller appends again; not what can never be appended.
        if (!tooLarge) this.#rejectWaiting(lane, reason)
      }
    }
    lane.busy = false
  }

  #rejectWaiting(lane: Lane, reason: EventLogError): void {
    for (const item of lane.waiting.splice(0)) item.settle(reason)
  }

  async #send(items: readonly Item[]): Promise<void> {
    const { clock } = this.#options
    const deadline = items[0]?.deadline ?? 0
    const session = await this.#connect(deadline)
    const sent = session.connected.then((producer) =>
      producer.send({
        topic: items[0]?.topic ?? '',
        messages: items.map(({ record }) => record),
        acks: -1,
        timeout: ACK_MS,
      }),
    )
    session.sends.add(sent)
    try {
      const acknowledged = await within(clock, deadline - clock.monotonic(), sent)
      if (!acknowledged.some(({ partition }) => partition === items[0]?.partition)) {
        throw new EventLogError('server', 'event log: the answer leaves out the partition')
      }
    } catch (error) {
      this.#retire(session)
      throw error
    } finally {
      void Promise.allSettled([sent]).then(() => session.sends.delete(sent))
    }
  }

  /** A session whose producer is connected; getting one changes nothing in the log, so it is tried until the deadline. */
  async #connect(deadline: number): Promise<Session> {
    const { clock } = this.#options
    for (;;) {
      const session = (this.#session ??= this.#begin())
      const left = deadline - clock.monotonic()
      try {
        await within(clock, left, session.connected)
        return session
      } catch (error) {
        this.#retire(session)
        if (this.#closed || left <= CONNECT_PAUSE_MS) throw error
        await clock.sleep(CONNECT_PAUSE_MS)
      }
    }
  }

  #begin(): Session {
    const { kafka } = this.#options
    const session: Pick<Session, 'retired'> = { retired: false }
    // Asked at every try of a send: the one place where kafkajs' own retries can be ended.
    const place = ({ message }: { message: Message }) => {
      if (session.retired) throw new TypeError('this producer was given up')
      return message.partition ?? 0
    }
    const producer = kafka.producer({
      createPartitioner: () => place,
      idempotent: true,
      allowAutoTopicCreation: false,
      maxInFlightRequests: 1,
      metadataMaxAge,
      retry: RETRY,
    })
    return Object.assign(session, {
      producer,
      connected: producer.connect().then(() => producer),
      sends: new Set<never>(),
    })
  }

  /** Leaves a producer for good. Twice, since a try under way connects again after the first. */
  #retire(session: Session | undefined): void {
    if (session === undefined || session.retired) return
    session.retired = true
    if (this.#session === session) this.#session = undefined
    const ended = leave(session.connected)
      .then(() => Promise.allSettled(session.sends))
      .then(() => leave(Promise.resolve(session.producer)))
      .finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }
}

/** The first items that fit into one send; at least one. */
function takeSend(waiting: Item[], eventsMax: number): Item[] {
  let bytes = 0
  let count = 0
  for (const item of waiting) {
    bytes += item.bytes
    if (count > 0 && (count === eventsMax || bytes > SEND_BYTES_MAX)) break
    count += 1
  }
  return waiting.splice(0, count)
}
