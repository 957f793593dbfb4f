// A steady load on a cluster while its engines and stages fail in turn: what the senders see, how far the index falls behind, how
// soon it has caught up, and whether every mail is there once in the end.

import { Pool } from 'pg'
import type { Sample } from '../bench/load.ts'
import { startIndexer, startStage, type Node, type Stage } from './cluster.ts'
import type { Engines } from './engines/engines.ts'
import { pause } from './system.ts'

/** What may fail while mail comes in. */
export interface Ground {
  engines: Engines
  folder: string
  nodes: Node[]
  indexers: Stage[]
}

/** One fault: it is over when `make` resolves. */
export interface Trouble {
  name: string
  make(ground: Ground, ms: number): Promise<void>
}

/** What a supervisor needs to start a process again. */
const SUPERVISOR_MS = 2000

// One after another, each on the same data.
export const TROUBLES: readonly Trouble[] = [
  {
    name: 'Kafka frozen',
    async make({ engines: { kafka } }, ms) {
      kafka.freeze(0)
      await pause(ms)
      kafka.thaw(0)
    },
  },
  {
    name: 'Kafka killed and restarted',
    async make({ engines: { kafka } }) {
      await kafka.kill(0)
      await kafka.restart(0)
    },
  },
  {
    name: 'RGW down',
    async make({ engines: { rgw } }, ms) {
      await rgw.kill()
      await pause(ms)
      await rgw.restart()
    },
  },
  { name: 'PostgreSQL restarted', make: ({ engines: { postgres } }) => postgres.restart() },
  {
    name: 'an indexer killed',
    async make(ground) {
      await ground.indexers[0]?.stop('SIGKILL')
      await pause(SUPERVISOR_MS)
      ground.indexers[0] = await startIndexer(ground.folder, 'indexer-1', ground.engines.settings)
    },
  },
  {
    name: 'an uploader killed',
    async make({ nodes, engines }) {
      const [node] = nodes
      if (node === undefined) throw new TypeError('no node')
      await node.uploaderd.stop('SIGKILL')
      await pause(SUPERVISOR_MS)
      node.uploaderd = await startStage('uploaderd', node.dataDir, engines.settings)
    },
  },
]

/** How far the index is behind what was accepted. */
export class Backlog {
  readonly #pool: Pool
  readonly #accepted: () => number

  constructor(url: string, accepted: () => number) {
    this.#pool = new Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 2000, query_timeout: 5000 })
    // A server that restarts fails the query that is under way, which is told there.
    this.#pool.on('error', () => undefined)
    this.#accepted = accepted
  }

  /** Mails that were accepted and are not in their last state yet; undefined while the database is away. */
  async mails(): Promise<number | undefined> {
    const accepted = this.#accepted()
    const done = await this.#count(`select count(*)::int as n from messages where status <> 'STORED'`)
    return done === undefined ? undefined : Math.max(0, accepted - done)
  }

  /** Every message there is. */
  async rows(): Promise<{ entry_id: string; status: string }[]> {
    const { rows } = await this.#pool.query<{ entry_id: string; status: string }>(
      'select entry_id, status from messages',
    )
    return rows
  }

  async #count(statement: string): Promise<number | undefined> {
    try {
      const { rows } = await this.#pool.query<{ n: number }>(statement)
      return rows[0]?.n
    } catch {
      return undefined
    }
  }

  close(): Promise<void> {
    return this.#pool.end()
  }
}

export interface Course {
  name: string
  /** Most mails that waited at one time during and after it. */
  backlogMax: number
  /** From the end of the fault until fewer than `calm` mails waited, milliseconds. */
  caughtUpMs: number
  /** Seconds since the load began. */
  from: number
  until: number
}

export interface Schedule {
  /** How long a fault lasts that has a length. */
  faultMs: number
  /** Rest before each fault. */
  restMs: number
  /** So many mails under way are no backlog. */
  calm: number
  /** Longest time to catch up. */
  caughtUpMaxMs: number
}

/** Each look counts all rows, on the machine whose CPU decides how soon it is over. */
const LOOK_MS = 1000

/** Makes all troubles in turn. A backlog that does not go away in time is reported as it is. */
export async function troubles(ground: Ground, backlog: Backlog, schedule: Schedule): Promise<Course[]> {
  const { faultMs, restMs, calm, caughtUpMaxMs } = schedule
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  const courses: Course[] = []
  for (const trouble of TROUBLES) {
    await pause(restMs)
    const from = seconds()
    let backlogMax = 0
    const look = async () => {
      const mails = await backlog.mails()
      backlogMax = Math.max(backlogMax, mails ?? 0)
      return mails
    }
    const state = { over: false }
    const made = trouble.make(ground, faultMs).finally(() => (state.over = true))
    while (!state.over) {
      await look()
      await pause(LOOK_MS)
    }
    await made
    const until = seconds()
    for (let mails = await look(); (mails ?? calm) >= calm && seconds() - until < caughtUpMaxMs / 1000;) {
      await pause(LOOK_MS)
      mails = await look()
    }
    courses.push({ name: trouble.name, backlogMax, caughtUpMs: (seconds() - until) * 1000, from, until })
  }
  return courses
}

/** What became of what was promised. Each list should be empty. */
export function reckoning(
  accepted: readonly Sample[],
  rows: readonly { entry_id: string; status: string }[],
): { lost: string[]; doubled: string[]; unpromised: string[]; notParsed: string[] } {
  const promised = new Set(accepted.map(({ entryId }) => entryId))
  const seen = new Set<string>()
  const doubled = rows.filter(({ entry_id }) => seen.has(entry_id) || !seen.add(entry_id)).map((row) => row.entry_id)
  return {
    lost: [...promised].filter((id) => !seen.has(id)),
    doubled,
    unpromised: [...seen].filter((id) => !promised.has(id)),
    notParsed: rows.filter(({ status }) => status !== 'PARSED').map(({ entry_id, status }) => `${entry_id} ${status}`),
  }
}
