// What was announced must be there: every `ingest.received` that the indexer is past has its row, whatever its status. What is not
// there is the residue. It is 0 unless rows were lost: by hand, by a restored backup, by a fault that nobody foresaw.

import type { Clock, Log } from '../ports/ports.ts'
import { listCheckpoints, unaccounted, type Checkpoint, type Store, type Unaccounted } from '../store/store.ts'
import type { IndexerMetrics } from './metrics.ts'
import { PROJECTOR } from './project.ts'

const TOPIC = 'mail.ingest.v1'
/** Offsets before the checkpoint that the first look of a process goes back. */
const BACK = 50_000
/** Offsets of one statement. */
const STEP = 2000
/** Of more nobody needs the number; they are looked at when these are settled. */
const MISSING_MAX = 1000

export interface ConservationOptions {
  store: Store
  clock: Clock
  logger: Log
  metrics: IndexerMetrics
  /** The consumer group that makes the rows. */
  indexer: string
}

/** Remembers how far it has looked, and what was missing; both by partition. */
export class Conservation {
  readonly #options: ConservationOptions
  readonly #looked = new Map<number, number>()
  #missing: Unaccounted[] = []

  constructor(options: ConservationOptions) {
    this.#options = options
  }

  /** Looks at what was dealt with since the last look, and again at what was missing then. */
  async look(): Promise<void> {
    const { store, metrics } = this.#options
    this.#missing = await this.#stillMissing()
    for (const { partition, until } of passed(await listCheckpoints(store), this.#options.indexer)) {
      let from = this.#looked.get(partition) ?? Math.max(0, until - BACK)
      while (from < until && this.#missing.length < MISSING_MAX) {
        const next = Math.min(until, from + STEP)
        this.#found(await unaccounted(store, { topic: TOPIC, partition, from, until: next }))
        from = next
        this.#looked.set(partition, from)
      }
    }
    metrics.residue.set(this.#missing.length)
  }

  #found(missing: readonly Unaccounted[]): void {
    this.#missing.push(...missing)
    for (const { messageId, partition, offset } of missing)
      this.#options.logger.error(
        { messageId, topic: TOPIC, partition, offset },
        'a message that was announced is not in the store',
      )
  }

  async #stillMissing(): Promise<Unaccounted[]> {
    const again: Unaccounted[] = []
    for (const { partition, offset } of this.#missing) {
      const place = { topic: TOPIC, partition, from: offset, until: offset + 1 }
      again.push(...(await unaccounted(this.#options.store, place)))
    }
    return again
  }
}

/** Up to where, in each partition, both the rows are made and the events copied. */
function passed(checkpoints: readonly Checkpoint[], indexer: string): { partition: number; until: number }[] {
  const of = (group: string) => checkpoints.filter((each) => each.group === group && each.topic === TOPIC)
  const copied = new Map(of(PROJECTOR).map(({ partition, offset }) => [partition, offset]))
  return of(indexer).map(({ partition, offset }) => ({
    partition,
    until: Math.min(offset, copied.get(partition) ?? 0),
  }))
}
