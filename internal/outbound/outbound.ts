// Package outbound sends mail of ours, such as automatic replies, through one relay (RFC 5321 2.3.10), from a queue in the store.
//
// Contract: what is queued in a transaction goes out at least once, with the same Message-ID on every try, or is `failed` with what
// the relay said; nothing is dropped silently. The reverse path is null, so nothing that goes out is answered by a report. One
// process sends at a time: what one had that went away is sent again by the next.
// A 5xx to the mail is for good; a 4xx and all trouble with the relay itself are tried again, for five days (RFC 5321 4.5.4.1).

import type { Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import {
  claimOutbound,
  deferOutbound,
  recoverOutbound,
  settleOutbound,
  type Outbound,
  type Store,
} from '../store/store.ts'
import { composed } from './compose.ts'
import { forgetOld } from './keep.ts'
import { outboundMetrics, observeQueue, type OutboundMetrics } from './metrics.ts'
import { delivered, type Relay } from './relay.ts'
import { nextTry, outcomeOf, type Outcome } from './schedule.ts'
import { rest } from './rest.ts'

export type { Relay } from './relay.ts'

export interface ChannelOptions {
  store: Store
  relay: Relay
  clock: Clock
  logger: Log
  registry: Registry
  /** Mails under way at one time. */
  connections: number
  /** Days that sent and failed mail is kept. */
  keepDays: number
}

export interface Channel {
  /** Sends until `signal` aborts. Trouble of the store and the relay is waited out; only a bug rejects. */
  run(signal: AbortSignal): Promise<void>
}

/** Names the turn. */
const SENDER = 'outbound mail'
/** How often the queue is looked at while it has nothing that is due. */
const LOOK_MS = 1000
/** After trouble with the store. */
const TROUBLE_MS = 5000
/** What is under way when a turn ends gets so long to end; then its connection is closed, and the next turn sends it again. */
const LAST_TRY_MS = 3000

export function outboundChannel(options: ChannelOptions): Channel {
  const metrics = outboundMetrics(options.registry)
  return {
    async run(signal) {
      await Promise.all([turns(options, metrics, signal), observeQueue({ ...options, metrics }, signal)])
    },
  }
}

async function turns(options: ChannelOptions, metrics: OutboundMetrics, signal: AbortSignal): Promise<void> {
  const { store, clock, logger } = options
  while (!signal.aborted) {
    try {
      await store.singleRunner(SENDER, (turn) => new Turn(options, metrics, turn).run(), signal)
    } catch (error) {
      if (signal.aborted) return
      logger.warn({ err: error }, 'there is no turn to send mail; trying again')
      await rest(clock, TROUBLE_MS, signal)
    }
  }
}

/** One process's turn to send. */
class Turn {
  readonly #options: ChannelOptions
  readonly #metrics: OutboundMetrics
  readonly #signal: AbortSignal
  /** Aborts some time after the turn is over. */
  readonly #last = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  #recovered = false

  constructor(options: ChannelOptions, metrics: OutboundMetrics, signal: AbortSignal) {
    this.#options = options
    this.#metrics = metrics
    this.#signal = signal
  }

  async run(): Promise<void> {
    await Promise.all([this.#send(), forgetOld(this.#options, this.#signal)])
  }

  async #send(): Promise<void> {
    const { clock, logger } = this.#options
    while (!this.#signal.aborted) {
      try {
        if (!this.#recovered) await this.#recover()
        if ((await this.#claim()) === 0) await Promise.race([...this.#underWay, rest(clock, LOOK_MS, this.#signal)])
      } catch (error) {
        if (!this.#signal.aborted)
          logger.warn({ err: error }, 'the queue of outbound mail is out of reach; trying again')
        await rest(clock, TROUBLE_MS, this.#signal)
      }
    }
    await this.#ended()
  }

  async #recover(): Promise<void> {
    const { store, clock, logger } = this.#options
    const lost = await recoverOutbound(store, clock.now())
    this.#recovered = true
    if (lost > 0) logger.warn({ mails: lost }, 'mail that was being sent when a process ended is sent again')
  }

  /** Begins to send what is due, as far as there is room; how many. */
  async #claim(): Promise<number> {
    const { store, clock, connections } = this.#options
    const limit = connections - this.#underWay.size
    const mails = limit === 0 ? [] : await claimOutbound(store, { now: clock.now(), limit })
    for (const mail of mails) {
      const task = this.#deliver(mail).finally(() => this.#underWay.delete(task))
      this.#underWay.add(task)
    }
    return mails.length
  }

  /** Waits for what is under way, not for long. */
  async #ended(): Promise<void> {
    const { clock } = this.#options
    const ended = new AbortController()
    const closing = rest(clock, LAST_TRY_MS, ended.signal).then(() => this.#last.abort())
    await Promise.allSettled(this.#underWay)
    ended.abort()
    await closing
  }

  async #deliver(mail: Outbound): Promise<void> {
    const outcome = await this.#tried(mail)
    if (outcome === undefined) return
    const { id, tenant, purpose, aboutMessageId: messageId, attempts } = mail
    const { result, reply } = outcome
    this.#options.logger.info({ id, tenant, purpose, messageId, attempts, result, reply }, 'outbound mail tried')
    await this.#settled(mail, outcome)
  }

  /** Undefined where the turn ended meanwhile: nobody knows what came of it. */
  async #tried({ mail, headerMessageId }: Outbound): Promise<Outcome | undefined> {
    try {
      const octets = await composed(mail, headerMessageId)
      const reply = await delivered(this.#options.relay, { to: mail.to, octets, signal: this.#last.signal })
      return { result: 'sent', reply }
    } catch (error) {
      return this.#last.signal.aborted ? undefined : outcomeOf(error)
    }
  }

  /** Written down, however long the store is away: what is not, is sent again. */
  async #settled({ id, attempts, createdAt }: Outbound, { result, reply }: Outcome): Promise<void> {
    const { store, clock, logger } = this.#options
    while (!this.#last.signal.aborted) {
      const now = clock.now()
      const nextAt = result === 'sent' || result === 'refused' ? undefined : nextTry({ id, attempts, createdAt, now })
      const move = result === 'sent' ? 'accepted' : 'refused'
      try {
        if (nextAt === undefined) await settleOutbound(store, id, { move, result: reply, now })
        else await deferOutbound(store, id, { result: reply, nextAt, now })
        const expired = nextAt === undefined && result !== 'sent' && result !== 'refused'
        this.#metrics.attempts.inc({ result: expired ? 'expired' : result })
        return
      } catch (error) {
        logger.warn({ err: error, id }, 'what came of an outbound mail cannot be written down; trying again')
        await rest(clock, TROUBLE_MS, this.#last.signal)
      }
    }
  }
}
