// uploaderd's side of quotas: what the store has counted comes to the node, and what of the node is in that is no longer counted here.

import type Database from 'better-sqlite3'
import { Gauge, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import { dayOf, quotaLevel, QUOTA_LEVELS, type Quotas, type Usage } from './quotas.ts'
import { fileIdentity, openUsageFile } from './usage-file.ts'

/** The part of the store that the refresher needs. */
export interface UsageSource {
  /** Tenants that have a quota, with what they have as of a UTC day, counted from 1970. */
  limited(day: number): AsyncIterable<{ tenant: string; quotas: Quotas; usage: Usage }>
  /** Which of these messages are counted. */
  counted(messageIds: readonly string[]): Promise<string[]>
}

export interface UsageRefresherOptions {
  path: string
  source: UsageSource
  clock: Pick<Clock, 'now' | 'sleep'>
  log: Pick<Log, 'info' | 'warn'>
  registry: Registry
  everyMs: number
}

/** smtpd waits for less; this one has time. */
const BUSY_TIMEOUT_MS = 1000
/** Messages asked for at one time, and how often in one look. */
const PAGE = 1000
const PAGES_MAX = 5
/** What the store does not know after so long was lost on the way or set aside, and is counted no more. */
const DAYS_MAX = 7

/** Looks at its intervals until `signal` aborts. */
export async function refreshUsage(refresher: UsageRefresher, signal: AbortSignal): Promise<void> {
  const { clock, everyMs } = refresher.options
  while (!signal.aborted) {
    await refresher.look()
    await clock.sleep(everyMs, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
  refresher.close()
}

interface Waiting {
  seq: number
  id: string
}

export class UsageRefresher {
  readonly options: UsageRefresherOptions
  readonly #levels: Gauge<'level'>
  readonly #problem: Gauge
  #file: { identity: string | undefined; db: Database.Database } | undefined
  /** How far down the list the look went that is not for the oldest. */
  #reached = 0
  #troubled = false

  constructor(options: UsageRefresherOptions) {
    this.options = options
    const { levels, problem } = usageGauges(options.registry)
    this.#levels = levels
    this.#problem = problem
  }

  /** Brings the store's counts to the node. Never rejects: trouble is logged once, and the last counts stay in use. */
  async look(): Promise<void> {
    const { log, path } = this.options
    try {
      await this.#take(this.#opened())
      if (this.#troubled) log.info({ path }, 'usage of tenants is taken from the store again')
      this.#troubled = false
      this.#problem.set(0)
    } catch (error) {
      if (!this.#troubled) log.warn({ err: error, path }, 'usage of tenants not refreshed; the last counts stay in use')
      this.#troubled = true
      this.#problem.set(1)
    }
  }

  close(): void {
    this.#file?.db.close()
    this.#file = undefined
  }

  #opened(): Database.Database {
    const { path } = this.options
    if (this.#file === undefined || this.#file.identity !== fileIdentity(path)) {
      this.close()
      const db = openUsageFile(path, BUSY_TIMEOUT_MS)
      this.#file = { identity: fileIdentity(path), db }
    }
    return this.#file.db
  }

  /** Messages first, sums afterwards: what is counted in between counts twice until the next look, and never not at all. */
  async #take(db: Database.Database): Promise<void> {
    const { source, clock } = this.options
    const counted = await this.#counted(db)
    const day = dayOf(clock.now())
    const tenants = await Array.fromAsync(source.limited(day))
    write(db, { counted, day, tenants })
    const levels = tenants.map(({ quotas, usage }) => quotaLevel(quotas, usage))
    for (const level of QUOTA_LEVELS) this.#levels.set({ level }, levels.filter((each) => each === level).length)
  }

  /** The oldest, as long as most of them are counted, and a part of the others: one that never is does not hold up the rest. */
  async #counted(db: Database.Database): Promise<string[]> {
    const counted: string[] = []
    let after = 0
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const page = waiting(db, after)
      const some = await this.#ask(page)
      counted.push(...some)
      after = page.at(-1)?.seq ?? after
      if (page.length < PAGE || some.length < page.length / 2) break
    }
    const further = waiting(db, Math.max(after, this.#reached))
    this.#reached = further.length < PAGE ? 0 : (further.at(-1)?.seq ?? 0)
    return [...counted, ...(await this.#ask(further))]
  }

  async #ask(page: readonly Waiting[]): Promise<string[]> {
    return page.length === 0 ? [] : this.options.source.counted(page.map(({ id }) => id))
  }
}

const waiting = (db: Database.Database, after: number): Waiting[] =>
  db
    .prepare<[number], Waiting>(`SELECT seq, message_id AS id FROM accepted WHERE seq > ? ORDER BY seq LIMIT ${PAGE}`)
    .all(after)

const COLUMNS = 'messages_per_day, bytes_per_day, stored_bytes_max, day, messages, bytes, stored_bytes'
const NEW_COLUMNS = COLUMNS.replaceAll(/\w+/g, 'excluded.$&')

/** The tenant, then as COLUMNS are. */
type Row = [tenant: string, ...counts: (number | null)[]]

interface Taken {
  counted: readonly string[]
  day: number
  tenants: readonly { tenant: string; quotas: Quotas; usage: Usage }[]
}

interface Changes {
  counted: readonly string[]
  /** What came before this day is lost. */
  since: number
  gone: readonly string[]
  put: readonly Row[]
}

/** Where nothing differs smtpd has nothing to read again, and the file is not locked against what it accepts. */
function write(db: Database.Database, taken: Taken): void {
  const changes = changesOf(db, taken)
  const { counted, since, gone, put } = changes
  const lost = db.prepare<[number]>('SELECT 1 FROM accepted WHERE day < ? LIMIT 1').get(since)
  if (counted.length + gone.length + put.length > 0 || lost !== undefined) apply(db, changes)
}

function changesOf(db: Database.Database, { counted, day, tenants }: Taken): Changes {
  const there = new Map(
    db
      .prepare<[], Row>(`SELECT tenant, ${COLUMNS} FROM usage`)
      .raw()
      .all()
      .map((row) => [row[0], row]),
  )
  const wanted = tenants.map(({ tenant, quotas, usage }): Row => {
    const { messagesPerDay, bytesPerDay, storedBytes } = quotas
    return [tenant, messagesPerDay, bytesPerDay, storedBytes, day, usage.messages, usage.bytes, usage.storedBytes]
  })
  const names = new Set(tenants.map(({ tenant }) => tenant))
  return {
    counted,
    since: day - DAYS_MAX,
    gone: [...there.keys()].filter((tenant) => !names.has(tenant)),
    put: wanted.filter((row) => row.some((value, nth) => value !== there.get(row[0])?.[nth])),
  }
}

/** At once: smtpd sees what was before, or what is now. */
function apply(db: Database.Database, { counted, since, gone, put }: Changes): void {
  const forget = db.prepare<[string]>('DELETE FROM accepted WHERE message_id = ?')
  const lose = db.prepare<[number]>('DELETE FROM accepted WHERE day < ?')
  const drop = db.prepare<[string]>('DELETE FROM usage WHERE tenant = ?')
  const set = db.prepare<Row>(`
    INSERT INTO usage (tenant, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (tenant) DO UPDATE SET (${COLUMNS}) = (${NEW_COLUMNS})`)
  const all = db.transaction(() => {
    for (const id of counted) forget.run(id)
    lose.run(since)
    for (const tenant of gone) drop.run(tenant)
    for (const row of put) set.run(...row)
  })
  all.immediate()
}

/** Declares what a refresher shows. */
export function usageGauges(registry: Registry) {
  const levels = new Gauge({
    name: 'mail_ingest_quota_tenants',
    help: 'Tenants that have quotas, by how much of one is used: near, 80 % or more; over, all of it.',
    labelNames: ['level'] as const,
    registers: [registry],
  })
  for (const level of QUOTA_LEVELS) levels.set({ level }, 0)
  const problem = new Gauge({
    name: 'mail_ingest_quota_refresh_problem',
    help: '1 while the counts of tenants with quotas cannot be brought from the store to this node.',
    registers: [registry],
  })
  problem.set(0)
  return { levels, problem }
}
