// Keeps a node's snapshot as new as the store: looks at the store's directory version and writes the file when it moved.

import { existsSync } from 'node:fs'
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
  log: Pick<Log, 'warn'>
  everyMs: number
}

/** Looks at its intervals until `signal` aborts. */
export async function refreshDirectory(refresher: Refresher, signal: AbortSignal): Promise<void> {
  const { clock, everyMs } = refresher.options
  while (!signal.aborted) {
    await refresher.look()
    await clock.sleep(everyMs, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

/** Knows which version of the directory its file holds. */
export class Refresher {
  readonly options: RefresherOptions
  #written: number | undefined
  #failing = false

  constructor(options: RefresherOptions) {
    this.options = options
  }

  /** Writes the snapshot if the store has moved or the file is gone. Never rejects: trouble is logged once, and the last snapshot stays in use. */
  async look(): Promise<void> {
    const { log, path, source } = this.options
    try {
      const version = await source.version()
      // The version is read before the rows: rows that change meanwhile raise it again, and the next look writes them.
      if (version !== this.#written || !existsSync(path)) await writeSnapshot(path, source.rows())
      this.#written = version
      this.#failing = false
    } catch (err) {
      if (!this.#failing) log.warn({ err, path }, 'directory snapshot cannot be refreshed; the last one stays in use')
      this.#failing = true
    }
  }
}
