// Whether the scanner answers, told also while there is nothing to scan.

import { Gauge, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import type { Scanner } from './scanner.ts'

const EVERY_MS = 15_000

export interface WatchOptions {
  registry: Registry
  clock: Clock
  log: Log
  signal: AbortSignal
}

/** Asks now and then until the signal aborts; says in the log when the answer changes. */
export async function watchScanner(scanner: Scanner, { registry, clock, log, signal }: WatchOptions): Promise<void> {
  const up = scannerUp(registry)
  let was: boolean | undefined
  while (!signal.aborted) {
    const error = await scanner.version().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    const is = error === undefined
    up.set(is ? 1 : 0)
    if (is !== was && is) log.info({}, 'the malware scanner answers')
    else if (is !== was) log.warn({ err: error }, 'the malware scanner does not answer')
    was = is
    await clock.sleep(EVERY_MS, signal).catch((thrown: unknown) => {
      if (!signal.aborted) throw thrown
    })
  }
}

/** Declares what `watchScanner` shows. */
export function scannerUp(registry: Registry): Gauge {
  const up = new Gauge({
    name: 'mail_ingest_scanner_up',
    help: 'Whether the malware scanner answered when it was last asked: 0 or 1.',
    registers: [registry],
  })
  up.set(0)
  return up
}
