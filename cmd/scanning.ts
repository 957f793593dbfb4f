// The malware scanner of a process: opened once, measured, watched, shared by its stages.

import type { Part } from '../internal/daemon/daemon.ts'
import { measured, watchScanner, type Scanner } from '../internal/scanner/scanner.ts'
import { scannerOf } from './adapters.ts'
import { looping, type Surroundings } from './main.ts'

/** One that does not answer is no reason not to start. */
export async function openScanner(around: Surroundings): Promise<{ scanner: Scanner | undefined; parts: Part[] }> {
  const { config, clock, log, registry } = around
  const opened = await scannerOf(config, around)
  if (opened === undefined) return { scanner: undefined, parts: [] }
  const scanner = measured(opened, { registry, clock, name: 'clamd' })
  const watch = looping(log, 'scanner', (signal) => watchScanner(scanner, { registry, clock, log, signal }), {
    onlyAsks: true,
  })
  return { scanner, parts: [watch] }
}
