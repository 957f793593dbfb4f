// smtpd's side of quotas: what the store had counted when uploaderd looked last, and what this node has accepted since. With the
// store away the last count holds; a new day begins by the clock alone.

import type Database from 'better-sqlite3'
import type { Clock, Log } from '../ports/ports.ts'
import type { AcceptedMail, TenantQuotas } from './directory.ts'
import { dayOf, exceeded, quotaLevel, type Quota, type Quotas, type Usage } from './quotas.ts'
import { fileIdentity, openUsageFile } from './usage-file.ts'

/** The process stands still while it waits for uploaderd to finish writing. */
const BUSY_TIMEOUT_MS = 20
/** How often, at most, the file's identity is looked at, and a file that cannot be opened is tried again. */
const RECHECK_MS = 200
/** Mails that could not be written down yet, about 200 bytes each; the oldest are forgotten first. */
const UNWRITTEN_MAX = 10_000

export interface NodeQuotasOptions {
  path: string
  clock: Pick<Clock, 'monotonic' | 'now'>
  log: Pick<Log, 'info' | 'warn'>
}

/** Quotas by the file at `path`. Never throws: where it cannot be read, every tenant has room, which is told once. */
export function openNodeQuotas(options: NodeQuotasOptions): TenantQuotas & { close(): void } {
  return new NodeQuotas(options)
}

interface Row {
  messagesPerDay: number | null
  bytesPerDay: number | null
  storedBytesMax: number | null
  messages: number
  bytes: number
  storedBytes: number
}

/** What a tenant has is what the store counted of the day, and what of this node is not in that. */
const SELECT = `
  SELECT messages_per_day AS messagesPerDay, bytes_per_day AS bytesPerDay, stored_bytes_max AS storedBytesMax,
    iif(usage.day = :day, usage.messages, 0) + ifnull(own.messages, 0) AS messages,
    iif(usage.day = :day, usage.bytes, 0) + ifnull(own.bytes, 0) AS bytes,
    usage.stored_bytes + ifnull((SELECT sum(bytes) FROM own WHERE own.tenant = usage.tenant), 0) AS storedBytes
  FROM usage LEFT JOIN own ON own.tenant = usage.tenant AND own.day = :day WHERE usage.tenant = :tenant`

const INSERT = 'INSERT OR IGNORE INTO accepted (message_id, tenant, day, bytes) VALUES (?, ?, ?, ?)'

interface Opened {
  identity: string | undefined
  db: Database.Database
  select: Database.Statement<[{ tenant: string; day: number }], Row>
  insert: Database.Statement<[string, string, number, number]>
  /** Changes with what uploaderd writes. */
  version: unknown
  /** Tenants that have quotas: of the others nothing is asked. */
  limited: ReadonlySet<string>
}

const limitedIn = (db: Database.Database): Pick<Opened, 'version' | 'limited'> => ({
  version: db.pragma('data_version', { simple: true }),
  limited: new Set(db.prepare<[], string>('SELECT tenant FROM usage').pluck().all()),
})

class NodeQuotas implements TenantQuotas {
  readonly #options: NodeQuotasOptions
  #file: Opened | undefined
  #checkedAt = Number.NEGATIVE_INFINITY
  #unwritten: AcceptedMail[] = []
  #troubled = false
  /** Tenants that were told of, on this day. */
  readonly #told = new Map<string, 'near' | 'over'>()
  #toldDay = 0

  constructor(options: NodeQuotasOptions) {
    this.#options = options
  }

  hasRoom(tenant: string, declaredBytes: number): boolean {
    const known = this.#known(tenant)
    if (known === undefined) return true
    const { quotas, usage } = known
    const quota = exceeded(quotas, usage, declaredBytes)
    if (quota !== undefined) this.#tell(tenant, 'over', { quota, ...known })
    return quota === undefined
  }

  accepted(mail: AcceptedMail): void {
    if (this.#known(mail.tenant) === undefined) return
    this.#unwritten.push(mail)
    if (this.#unwritten.length > UNWRITTEN_MAX) this.#unwritten.shift()
    this.#asking((file) => {
      while (this.#unwritten[0] !== undefined) {
        const { messageId, tenant, receivedAtMs, sizeBytes } = this.#unwritten[0]
        file.insert.run(messageId, tenant, dayOf(receivedAtMs), sizeBytes)
        this.#unwritten.shift()
      }
    })
    const known = this.#known(mail.tenant)
    const level = known && quotaLevel(known.quotas, known.usage)
    if (level === 'near' || level === 'over') this.#tell(mail.tenant, level, { ...known })
  }

  close(): void {
    this.#file?.db.close()
    this.#file = undefined
    this.#checkedAt = Number.POSITIVE_INFINITY
  }

  /** Undefined of tenants without quotas, and where nothing can be known. */
  #known(tenant: string): { quotas: Quotas; usage: Usage } | undefined {
    const day = dayOf(this.#options.clock.now())
    const row = this.#asking((file) => (file.limited.has(tenant) ? file.select.get({ tenant, day }) : undefined))
    if (row === undefined) return undefined
    const { messagesPerDay, bytesPerDay, storedBytesMax, messages, bytes, storedBytes } = row
    const usage = { messages, bytes, storedBytes }
    for (const mail of this.#unwritten.filter((each) => each.tenant === tenant)) {
      const today = dayOf(mail.receivedAtMs) === day
      usage.messages += Number(today)
      usage.bytes += today ? mail.sizeBytes : 0
      usage.storedBytes += mail.sizeBytes
    }
    return { quotas: { messagesPerDay, bytesPerDay, storedBytes: storedBytesMax }, usage }
  }

  #asking<T>(ask: (file: Opened) => T): T | undefined {
    const { path, log } = this.#options
    try {
      const file = this.#opened()
      if (file === undefined) return undefined
      const answer = ask(file)
      if (this.#troubled) log.info({ path }, 'quotas are held again')
      this.#troubled = false
      return answer
    } catch (error) {
      if ((error as { code?: string }).code === 'SQLITE_BUSY') return undefined
      // Once: every RCPT would say the same.
      if (!this.#troubled)
        log.warn({ err: error, path }, 'usage of tenants cannot be read or written; quotas are not held')
      this.#troubled = true
      return undefined
    }
  }

  /** The file of that name now: an operator may have removed the one that was open. */
  #opened(): Opened | undefined {
    const { path, clock } = this.#options
    const now = clock.monotonic()
    if (now - this.#checkedAt < RECHECK_MS) return this.#file
    this.#checkedAt = now
    const file = this.#file
    if (file !== undefined && file.identity === fileIdentity(path)) {
      if (file.version !== file.db.pragma('data_version', { simple: true })) Object.assign(file, limitedIn(file.db))
      return file
    }
    this.#file?.db.close()
    this.#file = undefined
    const db = openUsageFile(path, BUSY_TIMEOUT_MS)
    const [select, insert] = [
      db.prepare<[{ tenant: string; day: number }], Row>(SELECT),
      db.prepare<[string, string, number, number]>(INSERT),
    ]
    this.#file = { identity: fileIdentity(path), db, select, insert, ...limitedIn(db) }
    return this.#file
  }

  /** Once for each tenant, day and level, not for each refusal. */
  #tell(tenant: string, level: 'near' | 'over', known: { quota?: Quota; quotas?: Quotas; usage?: Usage }): void {
    const day = dayOf(this.#options.clock.now())
    if (day !== this.#toldDay) this.#told.clear()
    this.#toldDay = day
    const told = this.#told.get(tenant)
    if (told === level || told === 'over') return
    this.#told.set(tenant, level)
    const text = level === 'over' ? 'tenant is over its quota' : 'tenant has used most of its quota'
    this.#options.log.warn({ tenant, ...known }, text)
  }
}
