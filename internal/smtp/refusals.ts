// What tenants hear of refusals (`ingest.refused`): each one up to a rate, and how many there were beyond it.
//
// A reply waits for none of this: what is told is gathered here and noted in the spool once a second, without a sync. Of a kind (one tenant, one
// reason) that is over its rate, or that the spool drops, the last refusal is held and the others are counted; they go out with the next that
// may. So the sum of the events and what they say was suppressed is what there was, but for a crash and for `lost`.

import type { Registry } from '@prometheus-io/client'
import type { Refusal } from '../envelope/envelope.ts'
import type { Clock, Ids } from '../ports/ports.ts'
import { counter } from './counter.ts'
import type { Reason } from './metrics.ts'
import { Rates } from './rates.ts'

/** Why, for people. Those of a transaction's fate, and of content whose sender was too slow. */
export const REFUSAL_REASONS: Readonly<Record<RefusalReason, string>> = {
  spool_full: 'ours: out of disk space; the sender tries again',
  spool_error: 'ours: the disk fails; the sender tries again',
  internal: 'ours: something that the answer depends on is away; the sender tries again',
  overload: 'ours: too much at once; the sender tries again',
  greylist: 'an unknown sender is asked to come again',
  rate_limited: 'the client, the tenant or the domain is over its rate (docs/limits.md); the sender tries again',
  too_large: 'larger than the tenant or the deployment takes, or a header that is',
  too_many_rcpt:
    'more recipients than one transaction may have, or recipients that need one of their own; the sender sends again',
  unknown_rcpt: 'no such mailbox, or no such tenant',
  unknown_domain: 'not a domain of ours',
  suspended: 'the domain, the mailbox or the tenant is switched off',
  policy_spf: "the tenant's policy: SPF of the sender says fail",
  policy_dmarc: "the tenant's policy: the domain in From asks to reject it",
  policy_unauthenticated: "the tenant's policy: neither SPF nor DKIM says who sent it",
  policy_sender: 'the tenant blocks this sender',
  policy_unreachable: "the tenant's policy: no mail reaches the sender's domain",
  malware: 'the scanner found malware',
  syntax: 'a command that cannot be read',
  bare_lf: 'CR or LF outside CRLF in the content',
  loop: 'too many Received lines: it goes round in circles',
  quota: 'the tenant has used up its quota',
  timeout: 'the content came in too slowly',
  other: 'anything else',
}
export type RefusalReason = Reason | 'timeout'

/** `noted`: in the spool, to become an event. `suppressed`: counted in another. `lost`: counted nowhere else, for want of memory. */
const OUTCOMES = ['noted', 'suppressed', 'lost'] as const

/** The part of the spool that takes facts along without a sync. */
export interface Notes {
  /** False: it is dropped. */
  note(id: string, note: object): boolean
}

/** What is told here; the rest is known when it is noted. */
export type Told = Omit<Refusal, 'refusalId' | 'at' | 'suppressed'> & { reason: RefusalReason }
type Dated = Told & { at: string }

export interface RefusalsOptions {
  /** Of a kind in a minute. */
  perMinute: number
  notes: Notes
  clock: Pick<Clock, 'now' | 'monotonic'>
  ids: Pick<Ids, 'entryId'>
  registry: Registry
}

/** Refusals gathered for the next second; about a kilobyte each. */
const READY_MAX = 1000
/** Kinds of which one is held. */
const HELD_MAX = 4000

export class Refusals {
  readonly #options: RefusalsOptions
  readonly #rates: Rates
  readonly #outcomes
  #ready: { refusal: Dated; suppressed: number }[] = []
  /** By kind, the one held longest first; `count` includes it. */
  readonly #held = new Map<string, { refusal: Dated; count: number }>()

  constructor(options: RefusalsOptions) {
    this.#options = options
    this.#rates = new Rates(options.perMinute)
    this.#outcomes = refusalCounter(options.registry)
  }

  /** Remembers a refusal; returns at once. */
  tell(told: Told): void {
    const refusal = { ...told, at: new Date(this.#options.clock.now()).toISOString() }
    const kind = kindOf(told)
    const mayGo = this.#ready.length < READY_MAX && this.#rates.take(kind, this.#options.clock.monotonic())
    if (!mayGo) return this.#hold(refusal, 1)
    const suppressed = this.#held.get(kind)?.count ?? 0
    this.#held.delete(kind)
    this.#ready.push({ refusal, suppressed })
  }

  /** Notes what was told since the last call, and of what is held as much as may go now; at the end, `all` of it. */
  flush(all = false): void {
    const nowMs = this.#options.clock.monotonic()
    for (const { refusal, suppressed } of this.#ready.splice(0)) this.#note(refusal, suppressed)
    // What the spool drops is held anew meanwhile, for the next call.
    const held = [...this.#held]
    for (const [kind, { refusal, count }] of held) {
      if (!all && !this.#rates.take(kind, nowMs)) continue
      this.#held.delete(kind)
      this.#note(refusal, count - 1)
    }
  }

  #note(dated: Dated, suppressed: number): void {
    const { notes, ids } = this.#options
    const refusal: Refusal = { refusalId: ids.entryId(), ...dated, suppressed }
    if (!notes.note(refusal.refusalId, refusal)) return this.#hold(dated, suppressed + 1)
    this.#outcomes.inc({ outcome: 'noted' })
    this.#outcomes.inc({ outcome: 'suppressed' }, suppressed)
  }

  #hold(refusal: Dated, count: number): void {
    const kind = kindOf(refusal)
    const before = this.#held.get(kind)?.count ?? 0
    this.#held.set(kind, { refusal, count: before + count })
    if (this.#held.size <= HELD_MAX) return
    for (const [oldest, { count: lost }] of this.#held.entries().take(1)) {
      this.#held.delete(oldest)
      this.#outcomes.inc({ outcome: 'lost' }, lost)
    }
  }
}

const kindOf = ({ tenant, reason }: Told): string => `${tenant} ${reason}`

/** Declares the metric in `registry`; once for each registry. */
export const refusalCounter = (registry: Registry) =>
  counter([registry], 'smtp_refusals_total', 'Refusals that concern a tenant, by what became of them.', {
    outcome: OUTCOMES,
  })
