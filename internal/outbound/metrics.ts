// What is counted of mail on its way out, and what is read off its queue. Of several processes each tells the same of the queue.

import { Counter, Gauge, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import { outboundState, type Store } from '../store/store.ts'
import { rest } from './rest.ts'

/** Metrics tell the truth within 5 s. */
const EVERY_MS = 2500

const RESULTS = ['sent', 'refused', 'deferred', 'unreachable', 'expired'] as const

export type OutboundMetrics = ReturnType<typeof outboundMetrics>

/** Declares the metrics in `registry`. */
export function outboundMetrics(registry: Registry) {
  const registers = [registry]
  const attempts = new Counter({
    name: 'mail_ingest_outbound_attempts_total',
    help: 'Tries to send a mail of ours: sent; refused for good; deferred by the relay; relay unreachable; expired, the last try of five days.',
    labelNames: ['result'] as const,
    registers,
  })
  for (const result of RESULTS) attempts.inc({ result }, 0)
  const pending = new Gauge({
    name: 'mail_ingest_outbound_pending',
    help: 'Mails of ours that wait to be sent, or are being sent.',
    registers,
  })
  const oldest = new Gauge({
    name: 'mail_ingest_outbound_oldest_timestamp_seconds',
    help: 'When the oldest of them was written; 0 when there is none.',
    registers,
  })
  const failed = new Gauge({
    name: 'mail_ingest_outbound_failed',
    help: 'Mails of ours that could not be sent, kept for a while.',
    registers,
  })
  for (const gauge of [pending, oldest, failed]) gauge.set(0)
  return { attempts, pending, oldest, failed }
}

/** Reads the queue until the signal aborts. */
export async function observeQueue(
  options: { store: Store; clock: Clock; logger: Log; metrics: OutboundMetrics },
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, logger, metrics } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      const { pending, oldestAt, failed } = await outboundState(store)
      metrics.pending.set(pending)
      metrics.oldest.set((oldestAt ?? 0) / 1000)
      metrics.failed.set(failed)
      failures = 0
    } catch (error) {
      // Gauges stay as they were, which may look like health: said once for each series.
      const level = ++failures === 1 ? 'warn' : 'debug'
      if (!signal.aborted) logger[level]({ err: error, failures }, 'the queue of outbound mail cannot be read')
    }
    await rest(clock, EVERY_MS, signal)
  }
}
