// What the uploader shows of the spool and of what it talks to.

import { Gauge, type Registry } from '@prometheus-io/client'

/** pending: nobody has it in hand; uploading: under way; deferred: waits for a target that failed; aside: needs a person. */
export const SPOOL_STATES = ['pending', 'uploading', 'deferred', 'aside'] as const
export type SpoolState = (typeof SPOOL_STATES)[number]

/** `refusals`: the log again, for them alone. */
export const TARGETS = ['objectstore', 'eventlog', 'spool', 'refusals'] as const
export type TargetName = (typeof TARGETS)[number]

/** The spool as it is now. */
export interface SpoolNow {
  messages: Record<SpoolState, number>
  bytes: number
  /** Seconds since 1970; 0 where there is none, or where it is not known. */
  oldest: Record<SpoolState, number>
}

/** What the spool says of itself; everything that is not done counts as pending there. */
export interface EntriesNow {
  pendingMessages: number
  pendingBytes: number
  /** Milliseconds since 1970. */
  oldestReceivedAt: number | undefined
  asideMessages: number
}

/** The entries that the uploader has in hand. */
export interface InHand {
  take(id: string, receivedAtMs: number): void
  leave(id: string): void
  waiting(id: string, waits: boolean): void
  now(spool: EntriesNow): SpoolNow
}

export function inHand(): InHand {
  const entries = new Map<string, { receivedAt: number; waits: boolean }>()
  const times = (waits: boolean) =>
    [...entries.values()].filter((each) => each.waits === waits).map((each) => each.receivedAt)
  const oldestOf = (of: readonly number[]) => (of.length === 0 ? 0 : Math.min(...of) / 1000)
  return {
    take: (id, receivedAt) => void entries.set(id, { receivedAt, waits: false }),
    leave: (id) => void entries.delete(id),
    waiting(id, waits) {
      const entry = entries.get(id)
      if (entry !== undefined) entry.waits = waits
    },
    now({ pendingMessages, pendingBytes, oldestReceivedAt, asideMessages }) {
      const pending = Math.max(0, pendingMessages - entries.size)
      const [uploading, deferred] = [times(false), times(true)]
      return {
        messages: { pending, uploading: uploading.length, deferred: deferred.length, aside: asideMessages },
        bytes: pendingBytes,
        oldest: {
          // The spool knows only the oldest of all that is not done, and that may be in hand.
          pending: pending === 0 ? 0 : (oldestReceivedAt ?? 0) / 1000,
          uploading: oldestOf(uploading),
          deferred: oldestOf(deferred),
          aside: 0,
        },
      }
    },
  }
}

/** Declares the gauges; those of the spool are read from `look` at each scrape. */
export function metrics(
  registry: Registry,
  look: () => SpoolNow,
): { failed(target: TargetName, error: Error | undefined): void } {
  const registers = [registry]
  const states = { labelNames: ['state'] as const, registers }
  const collected = new Gauge({
    name: 'mail_ingest_spool_messages',
    help: 'Entries in the spool, by state.',
    ...states,
    collect() {
      for (const state of SPOOL_STATES) this.set({ state }, look().messages[state])
    },
  })
  const oldest = new Gauge({
    name: 'mail_ingest_spool_oldest_message_timestamp_seconds',
    help: 'When the oldest entry of a state was received; 0 if there is none.',
    ...states,
    collect() {
      for (const state of SPOOL_STATES) this.set({ state }, look().oldest[state])
    },
  })
  const bytes = new Gauge({
    name: 'mail_ingest_spool_bytes',
    help: 'Bytes of the entries that are not done.',
    registers,
    collect() {
      this.set(look().bytes)
    },
  })
  const breaker = new Gauge({
    name: 'mail_ingest_circuit_breaker_open',
    help: '1 while the last try at a target failed, by target.',
    labelNames: ['target'] as const,
    registers,
  })
  for (const state of SPOOL_STATES) for (const gauge of [collected, oldest]) gauge.set({ state }, 0)
  bytes.set(0)
  for (const target of TARGETS) breaker.set({ target }, 0)
  return { failed: (target, error) => breaker.set({ target }, Number(error !== undefined)) }
}
