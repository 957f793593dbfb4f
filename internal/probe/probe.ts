// Package probe is the canary: a mail at regular times through each real front door, sent as a stranger's relay does, and a look
// whether it came out at the far end. It tells what the metrics of no single stage tell.
//
// Contract: it uses nothing of the way in between: SMTP on one side, what people read on the other. Every round ends within its
// deadline, as a success or as one of FAILURES; a failure is a line in the log and a number, never the end of the process.

import type { Registry } from '@prometheus-io/client'
import type { Clock, Ids, Log } from '../ports/ports.ts'
import { ProbeError } from './failures.ts'
import { probeMetrics, type ProbeMetrics } from './metrics.ts'
import { sendProbe, type Sent, type Target } from './send.ts'

export { FAILURES, type Failure } from './failures.ts'

/** Where a mail is at the far end: not there yet, there as it should be, or there in another way (quarantine, failed). */
export type Fate = 'waiting' | 'visible' | 'spoiled'

export interface ProbeOptions {
  /** Front doors, each probed by itself. */
  targets: readonly Target[]
  /** An address of ours, best of a tenant of its own. */
  recipient: string
  /** The name said in EHLO; the sender is in this domain. */
  hostname: string
  /** Of the mail that this entry brought. One that rejects is asked again. */
  fateOf: (entryId: string) => Promise<Fate>
  everyMs: number
  /** From the connection to the far end, milliseconds. */
  deadlineMs: number
  clock: Clock
  ids: Ids
  log: Log
  registry: Registry
}

/** Between two looks at the far end. */
const LOOK_MS = 100

/** Probes until `signal` aborts. */
export async function probe(options: ProbeOptions, signal: AbortSignal): Promise<void> {
  const metrics = probeMetrics(options.registry, options.targets.length, options.clock.now())
  await Promise.all(options.targets.map((_, at) => probeTarget(options, { at, metrics, signal })))
}

interface Probing {
  /** Which of the targets. */
  at: number
  metrics: ProbeMetrics
  signal: AbortSignal
}

async function probeTarget(options: ProbeOptions, probing: Probing): Promise<void> {
  const { clock, everyMs } = options
  const { signal } = probing
  while (!signal.aborted) {
    const began = clock.monotonic()
    await round(options, probing)
    await slept(clock, Math.max(0, everyMs - (clock.monotonic() - began)), signal)
  }
}

async function round(options: ProbeOptions, { at, metrics, signal }: Probing): Promise<void> {
  const { clock, log, targets, deadlineMs } = options
  const target = targets[at]
  if (target === undefined) return
  const began = clock.monotonic()
  const about: Partial<Sent> & { target: string } = { target: `${target.host}:${target.port}` }
  try {
    Object.assign(about, await sendProbe(options, target))
    await visible(options, about.entryId ?? '', { until: began + deadlineMs, signal })
    if (signal.aborted) return
    metrics.succeeded(at, clock.now(), (clock.monotonic() - began) / 1000)
    log.debug(about, 'a probe came through')
  } catch (error) {
    if (!(error instanceof ProbeError)) throw error
    if (signal.aborted) return
    metrics.failed(error.failure)
    log.warn({ ...about, failure: error.failure, error: error.message }, 'a probe did not come through')
  }
}

/** Resolves once the mail is where people read it, or when the signal aborts. */
async function visible(
  { fateOf, clock, deadlineMs }: ProbeOptions,
  entryId: string,
  { until, signal }: { until: number; signal: AbortSignal },
): Promise<void> {
  let last = 'it is not there'
  while (!signal.aborted) {
    if (clock.monotonic() >= until) throw new ProbeError('late', `not there within ${deadlineMs} ms: ${last}`)
    try {
      const fate = await fateOf(entryId)
      if (fate === 'visible') return
      if (fate === 'spoiled') throw new ProbeError('spoiled', 'it is there, but not as a mail that was read')
    } catch (error) {
      if (error instanceof ProbeError) throw error
      last = (error as Error).message
    }
    await slept(clock, LOOK_MS, signal)
  }
}

/** Sleeps, or ends early when the signal aborts. */
async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
