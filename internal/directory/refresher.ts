// Keeps a node's snapshot as new as the store: looks at the store's directory version and writes the file when it moved.

import type { Clock, Log } from '../ports/ports.ts'
import type { DirectoryRows } from './directory.ts'
import { writeSnapshot } from './snapshot.ts'

/** The part of the store that the refresher needs. */
export interface DirectorySource {
  /** Grows with every change of a row. */
  version(): Promise<number>
  rows(): DirectoryRows
}

export interface RefresherOptions {
  path: string
  source: DirectorySource
  clock: Pick<Clock, 'sleep'>
  log: Pick<Log, 'info' | 'warn'>
  everyMs: number
}

/** Runs until `signal` aborts. While the store cannot be read the last snapshot stays, and the next look comes at its time. */
export async function refreshDirectory(options: RefresherOptions, signal: AbortSignal): Promise<void> {
  const { log, path, clock, everyMs } = options
  let written: number | undefined
  let failing = false
  while (!signal.aborted) {
    try {
      written = await refreshOnce(options, written)
      failing = false
    } catch (error) {
      if (!failing) log.warn({ error, path }, 'directory snapshot cannot be refreshed; the last one stays in use')
      failing = true
    }
    await clock.sleep(everyMs, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

/** Writes a snapshot if the store has moved past `written`; resolves with the version that the file holds. */
export async function refreshOnce(
  { path, source, log }: Pick<RefresherOptions, 'path' | 'source' | 'log'>,
  written: number | undefined,
): Promise<number> {
  const version = await source.version()
  if (version === written) return version
  // Read before the rows: rows that change meanwhile raise the version again, and the next look writes them.
  await writeSnapshot(path, source.rows())
  log.info({ path, version }, 'directory snapshot written')
  return version
}
