// Keeps a node's snapshot as new as the store: looks at the store's directory version and writes the file when it moved.

import { existsSync } from 'node:fs'
import { Gauge, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import type { DirectoryRows } from './directory.ts'
import { Setback, unlessSetback } from './setback.ts'
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
  clock: Pick<Clock, 'monotonic' | 'sleep'>
  log: Pick<Log, 'info' | 'warn'>
  registry: Registry
  everyMs: number
}

/** Why the snapshot is not as new as the store: it cannot be read or written, or what it has is refused. */
export const REFRESH_PROBLEMS = ['failed', 'refused'] as const
type ProblemKind = (typeof REFRESH_PROBLEMS)[number]

/** A problem that lasts is told again after so long. */
const REMIND_MS = 60_000

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
  readonly #gauge: Gauge<'problem'>
  /** The version that the file holds, or that was refused. */
  #seen: number | undefined
  #refused: string | undefined
  #problem: { kind: ProblemKind; text: string; toldAt: number } | undefined

  constructor(options: RefresherOptions) {
    this.options = options
    this.#gauge = refreshGauge(options.registry)
    this.#tell(undefined)
  }

  /**
   * Writes the snapshot if the store has moved or the file is gone, unless that were a setback. Never rejects: trouble is logged,
   * and the last snapshot stays in use.
   */
  async look(): Promise<void> {
    try {
      await this.#take(await this.options.source.version())
      this.#tell(this.#refused === undefined ? undefined : 'refused', this.#refused)
    } catch (error) {
      this.#tell('failed', (error as Error).message)
    }
  }

  /** Why the snapshot is not as new as the store, for people. */
  problem(): string | undefined {
    return this.#problem?.text
  }

  /** The version is read before the rows: rows that change meanwhile raise it again, and the next look writes them. */
  async #take(version: number): Promise<void> {
    const { path, source } = this.options
    if (version === this.#seen && existsSync(path)) return
    try {
      await writeSnapshot(path, unlessSetback(path, source.rows(), version), version)
      this.#refused = undefined
    } catch (error) {
      if (!(error instanceof Setback)) throw error
      this.#refused = `${error.message}; if the database is right, remove ${path}`
    }
    this.#seen = version
  }

  #tell(kind: ProblemKind | undefined, text = ''): void {
    const { clock, log, path } = this.options
    for (const problem of REFRESH_PROBLEMS) this.#gauge.set({ problem }, Number(problem === kind))
    const before = this.#problem
    if (kind === undefined) {
      if (before !== undefined) log.info({ path }, 'the directory snapshot is as new as the store again')
      this.#problem = undefined
      return
    }
    const now = clock.monotonic()
    const told = before?.kind === kind && now - before.toldAt < REMIND_MS
    if (!told)
      log.warn({ path, problem: kind, error: text }, 'directory snapshot not refreshed; the last one stays in use')
    this.#problem = { kind, text, toldAt: told ? before.toldAt : now }
  }
}

/** Declares what a refresher shows. */
export function refreshGauge(registry: Registry): Gauge<'problem'> {
  const gauge = new Gauge({
    name: 'mail_ingest_directory_refresh_problem',
    help: '1 while the directory snapshot is not as new as the store: failed, out of reach; refused, empty or older.',
    labelNames: ['problem'] as const,
    registers: [registry],
  })
  for (const problem of REFRESH_PROBLEMS) gauge.set({ problem }, 0)
  return gauge
}
