// kafkajs, set up once: timeouts, retries, log lines and errors as the product has them.

import kafkajs, { type Admin, type Kafka, type RetryOptions } from 'kafkajs'
import type { Clock, Log } from '../ports/ports.ts'
import { EventLogError, type EventLogFault } from './fault.ts'
import { kafkaLines } from './kafka-lines.ts'
import { cureIdleLoop } from './kafka-quiet.ts'
import type { KafkaSecurity } from './kafka-url.ts'

const CONNECT_MS = 3000
/** A broker that answers nothing for so long is given up for this request. Longer than ACK_MS, so that its own answer comes first. */
const REQUEST_MS = 5000
/** The leader waits so long for the replicas in sync. */
export const ACK_MS = 4000
/** Leaders and partitions are looked up again after so long also when nothing failed: a frozen leader gives no error that would. */
const METADATA_MS = 10_000
/** An answer about topics and offsets comes within this time or not at all. */
const ASK_MAX_MS = 15_000
const ASK_PAUSE_MS = 200

/** About 12 s of tries: a broker's restart and an election are ridden out. All fields are set, since kafkajs' defaults depend on NODE_ENV. */
export const RETRY = {
  initialRetryTime: 100,
  maxRetryTime: 1000,
  factor: 0.2,
  multiplier: 2,
  retries: 15,
} satisfies RetryOptions

/** Ends the watch of what is done. One for all: making an error costs more than the watch. */
export const DONE = new Error('done')

export interface ClientOptions extends KafkaSecurity {
  brokers: string[]
  clientId: string
  log: Log
}

export function kafkaClient({ brokers, clientId, log, tls, sasl }: ClientOptions): Kafka {
  cureIdleLoop()
  const tell = kafkaLines(log)
  return new kafkajs.Kafka({
    brokers,
    clientId,
    ...(tls && { ssl: { ...(tls.ca !== undefined && { ca: [tls.ca] }) } }),
    ...(sasl && { sasl: sasl as Exclude<typeof sasl, undefined> & { mechanism: 'plain' } }),
    connectionTimeout: CONNECT_MS,
    authenticationTimeout: CONNECT_MS,
    requestTimeout: REQUEST_MS,
    retry: RETRY,
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => tell,
  })
}

export const metadataMaxAge = METADATA_MS

/** `promise`, or an EventLogError `server` after `ms`. What was begun goes on and its result is dropped. */
export async function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T> {
  const pause = new AbortController()
  const late = clock.sleep(Math.max(0, ms), pause.signal).then(() => {
    throw new EventLogError('server', `event log: no answer within ${Math.round(ms)} ms`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    pause.abort(DONE)
  }
}

/** Kafka's error codes that are not just trouble of the server. */
const FAULTS: Readonly<Record<string, EventLogFault>> = {
  TOPIC_AUTHORIZATION_FAILED: 'readonly',
  CLUSTER_AUTHORIZATION_FAILED: 'readonly',
  POLICY_VIOLATION: 'readonly',
  MESSAGE_TOO_LARGE: 'too_large',
  RECORD_LIST_TOO_LARGE: 'too_large',
}

/** `topics`: what was asked for, by its name on the wire; brokers say that one is not there, and not which. */
export function asEventLogError(error: unknown, topics: readonly string[] = []): EventLogError {
  if (error instanceof EventLogError) return error
  const { message, type, cause } = error as { message: string; type?: string; cause?: { type?: string } }
  const code = type ?? cause?.type ?? ''
  const text =
    code === 'UNKNOWN_TOPIC_OR_PARTITION' && topics.length > 0
      ? `no topic ${topics.join(' or ')}; make it first`
      : message
  return new EventLogError(FAULTS[code] ?? 'server', `event log: ${text}`, { cause: error })
}

/**
 * kafkajs wraps an error when it gives up; the cause says what it was. Of a question that every broker refuses, as one that has
 * not heard of a new topic does, it drops the error and stumbles over the answer that is not there.
 */
export function mayPass(error: unknown): boolean {
  if (error instanceof TypeError && /\bnull\b/.test(error.message)) return true
  const { retriable, cause } = error as { retriable?: boolean; cause?: { retriable?: boolean } }
  return cause?.retriable ?? retriable ?? false
}

/** Questions about topics and offsets, over one connection that is made when it is needed. */
export class Desk {
  readonly #kafka: Kafka
  readonly #clock: Clock
  #admin: Promise<Admin> | undefined

  constructor(kafka: Kafka, clock: Clock) {
    this.#kafka = kafka
    this.#clock = clock
  }

  /** The first and the next offset of each partition of a topic, by its name on the wire. Rejects as `ask`. */
  offsets(topic: string) {
    return this.ask((admin) => admin.fetchTopicOffsets(topic), [topic])
  }

  /**
   * Asks about `topics`. Rejects with EventLogError, within ASK_MAX_MS. What may pass is asked again over a new connection, which has new metadata:
   * kafkajs takes the first "not the leader" for an answer.
   */
  async ask<T>(question: (admin: Admin) => Promise<T>, topics?: readonly string[]): Promise<T> {
    const deadline = this.#clock.monotonic() + ASK_MAX_MS
    let before: unknown
    for (;;) {
      this.#admin ??= this.#connected()
      const admin = this.#admin
      const answer = admin.then(question)
      try {
        return await within(this.#clock, deadline - this.#clock.monotonic(), answer)
      } catch (error) {
        if (this.#admin === admin) this.#admin = undefined
        // Twice, since a try under way connects again after the first, and would keep the process alive.
        void leave(admin)
          .then(() => Promise.allSettled([answer]))
          .then(() => leave(admin))
        // An answer that came says more than the next one that did not.
        if (error instanceof EventLogError) throw asEventLogError(before ?? error, topics)
        if (!mayPass(error) || this.#clock.monotonic() + ASK_PAUSE_MS >= deadline) throw asEventLogError(error, topics)
        before = error
        await this.#clock.sleep(ASK_PAUSE_MS)
      }
    }
  }

  async close(): Promise<void> {
    const admin = this.#admin
    this.#admin = undefined
    if (admin !== undefined) await leave(admin)
  }

  async #connected(): Promise<Admin> {
    const admin = this.#kafka.admin({ retry: RETRY })
    await admin.connect()
    return admin
  }
}

/** Closes a connection that may never have been one; whether that works no longer matters to anybody. */
export async function leave(connected: Promise<{ disconnect(): Promise<void> }>): Promise<void> {
  await Promise.allSettled([connected.then((each) => each.disconnect())])
}
