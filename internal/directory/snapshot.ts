// The directory as a SQLite file: written as a whole by one writer, read by any number of smtpds. A reader takes a new file when
// the name points to another one; a missing or broken new file leaves the last good one in use. Lookups are indexed reads with
// SQLite's own page cache, so memory stays flat whatever the number of tenants.

import { statSync } from 'node:fs'
import { chmod, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { addressKey, NO_POLICY, parseMailbox } from '../envelope/envelope.ts'
import type { Clock, Log } from '../ports/ports.ts'
import {
  listingBy,
  policyBy,
  ownerBy,
  routeBy,
  type Directory,
  type DirectoryRow,
  type DirectoryRows,
  type DirectorySettings,
  type DomainState,
  type Login,
  type Lookups,
  type PolicyRow,
  type SenderLookups,
  type SenderRow,
} from './directory.ts'
import { maySendAs } from './senders.ts'

/** How often, at most, a lookup looks at the file's identity. */
const RECHECK_MS = 200
/** Rows between two turns of the event loop while writing. */
const ROWS_PER_TURN = 1000
/** Page cache of a reader. */
const CACHE_KIB = 2048
/** Its owner writes it, its group reads it. */
const MODE = 0o640
/** Written last; a file without it is not a finished snapshot. */
const FORMAT = 3

const TABLES = `
  CREATE TABLE tenants (slug TEXT PRIMARY KEY, size_max INTEGER, enabled INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE domains (domain TEXT PRIMARY KEY, tenant TEXT, state TEXT NOT NULL,
    catch_all TEXT, anti_enumeration INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE mailboxes (address TEXT PRIMARY KEY, tenant TEXT NOT NULL, enabled INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE policies (tenant TEXT, rule TEXT, action TEXT NOT NULL, PRIMARY KEY (tenant, rule)) STRICT, WITHOUT ROWID;
  CREATE TABLE senders (tenant TEXT, sender TEXT, listing TEXT NOT NULL, PRIMARY KEY (tenant, sender)) STRICT, WITHOUT ROWID;
  CREATE TABLE source (version INTEGER NOT NULL) STRICT;
  CREATE TABLE credentials (name TEXT PRIMARY KEY, tenant TEXT NOT NULL, secret_hash TEXT NOT NULL, send_as TEXT NOT NULL) STRICT, WITHOUT ROWID;
`

/**
 * Writes a snapshot to `path`: temporary file, fsync, rename, directory fsync. A crash at any point leaves the old one or the new
 * one. One writer for a path at a time. Rejects with the file system's, SQLite's or the rows' error, and then changes nothing.
 * `version` is that of the store's directory, which the rows have at least.
 */
export async function writeSnapshot(path: string, rows: DirectoryRows, version = 0): Promise<void> {
  const temporary = `${path}.tmp`
  await rm(temporary, { force: true })
  try {
    await fill(temporary, rows, version)
    // It holds hashes of secrets, which are nobody else's to try.
    await chmod(temporary, MODE)
    await syncFile(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFile(dirname(path))
}

async function fill(file: string, rows: DirectoryRows, version: number): Promise<void> {
  const db = new Database(file)
  try {
    // The whole file is fsynced once it is complete, so nothing less than that is worth a sync.
    db.pragma('journal_mode = OFF')
    db.pragma('synchronous = OFF')
    db.exec(`BEGIN; ${TABLES}`)
    db.prepare('INSERT INTO source VALUES (?)').run(version)
    const insert = insertInto(db)
    let count = 0
    for await (const row of rows) {
      insert(row)
      count += 1
      if (count % ROWS_PER_TURN === 0) await nextTurn()
    }
    db.pragma(`user_version = ${FORMAT}`)
    db.exec('COMMIT')
  } finally {
    db.close()
  }
}

function insertInto(db: Database.Database): (row: DirectoryRow) => void {
  const tenant = db.prepare('INSERT INTO tenants VALUES (?, ?, ?)')
  const domain = db.prepare('INSERT INTO domains VALUES (?, ?, ?, ?, ?)')
  const mailbox = db.prepare('INSERT INTO mailboxes VALUES (?, ?, ?)')
  const policy = db.prepare('INSERT INTO policies VALUES (?, ?, ?)')
  const sender = db.prepare('INSERT INTO senders VALUES (?, ?, ?)')
  const credential = db.prepare('INSERT INTO credentials VALUES (?, ?, ?, ?)')
  return (row) => {
    switch (row.kind) {
      case 'tenant':
        tenant.run(row.slug, row.sizeMax, Number(row.enabled))
        break
      case 'domain':
        domain.run(
          row.domain.toLowerCase(),
          row.tenant,
          row.state,
          row.catchAll && keyOf(row.catchAll),
          Number(row.antiEnumeration),
        )
        break
      case 'mailbox':
        mailbox.run(keyOf(row.address), row.tenant, Number(row.enabled))
        break
      case 'policy':
        policy.run(row.tenant, row.rule, row.action)
        break
      case 'sender':
        sender.run(row.tenant, row.sender.toLowerCase(), row.listing)
        break
      case 'credential':
        credential.run(row.name, row.tenant, row.secretHash, JSON.stringify(row.sendAs))
        break
    }
  }
}

function keyOf(address: string): string {
  const mailbox = parseMailbox(address)
  return mailbox === undefined ? address.toLowerCase() : addressKey(mailbox)
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export interface DirectoryOptions extends DirectorySettings {
  path: string
  clock: Pick<Clock, 'monotonic'>
  log: Pick<Log, 'info' | 'warn'>
}

/** `loaded`: a snapshot serves. `empty`: it has no tenant. `stale`: the file's newest form could not be read, an older one serves. */
export interface DirectoryStats {
  loaded: boolean
  empty: boolean
  stale: boolean
  /** Snapshots opened since the start. */
  opened: number
}

/** A directory that follows a snapshot file. */
export interface SnapshotDirectory extends Directory {
  stats(): DirectoryStats
  close(): void
}

/** Follows the snapshot at `path`. Never throws: without any snapshot, or any tenant in it, every route is `unavailable`. */
export function openDirectory(options: DirectoryOptions): SnapshotDirectory {
  const follower = new Follower(options)
  return {
    route: (mailbox) => follower.ask({ kind: 'unavailable' }, (current) => routeBy(options, current, mailbox)),
    concerns: (mailbox) => follower.ask(undefined, (current) => ownerBy(options, current, mailbox)),
    policy: (tenant) => follower.ask(NO_POLICY, (current) => policyBy(current, tenant)),
    listing: (tenant, sender) => follower.ask(undefined, (current) => listingBy(current, tenant, sender)),
    credential: (name) => follower.ask({ kind: 'unavailable' }, (current) => loginOf(current, name)),
    maySendAs: (name, sender) =>
      follower.ask('unavailable', (current) => {
        const credential = current.credential(name)
        return credential !== undefined && maySendAs(options, current, credential, sender) ? 'yes' : 'no'
      }),
    stats: () => follower.stats(),
    close: () => follower.close(),
  }
}

function loginOf(lookups: Lookups, name: string): Login {
  const credential = lookups.credential(name)
  if (credential === undefined) return { kind: 'unknown' }
  return { kind: 'credential', credential, enabled: lookups.tenant(credential.tenant)?.enabled === true }
}

interface OpenSnapshot extends Lookups, SenderLookups {
  /** It knows no tenant: a deployment that is not set up yet, or a mistake. Its mail waits at the sender. */
  empty: boolean
  close(): void
}

/** Keeps the newest snapshot that could be opened. */
class Follower {
  readonly #options: DirectoryOptions
  #current: OpenSnapshot | undefined
  /** Identity of the file that was tried last, good or not: a broken one is tried and told of once. */
  #tried = ''
  #stale = false
  #unreadable = false
  #opened = 0
  #checkedAt = Number.NEGATIVE_INFINITY

  constructor(options: DirectoryOptions) {
    this.#options = options
  }

  /** What the newest snapshot says; `otherwise` where there is none or it cannot be read. */
  ask<T>(otherwise: T, question: (current: OpenSnapshot) => T): T {
    this.#follow()
    if (this.#current === undefined || this.#current.empty) return otherwise
    try {
      return question(this.#current)
    } catch (error) {
      // Once for each file: every RCPT would say the same.
      if (!this.#unreadable)
        this.#options.log.warn({ err: error, path: this.#options.path }, 'directory snapshot cannot be read')
      this.#unreadable = true
      return otherwise
    }
  }

  stats(): DirectoryStats {
    this.#follow()
    const { empty = false } = this.#current ?? {}
    return { loaded: this.#current !== undefined, empty, stale: this.#stale, opened: this.#opened }
  }

  close(): void {
    this.#current?.close()
    this.#current = undefined
    this.#checkedAt = Number.POSITIVE_INFINITY
  }

  #follow(): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#checkedAt < RECHECK_MS) return
    this.#checkedAt = now
    const identity = identityOf(this.#options.path)
    if (identity === this.#tried) return
    this.#tried = identity
    this.#take()
  }

  #take(): void {
    const { path, log } = this.#options
    try {
      const next = openSnapshot(path)
      this.#current?.close()
      this.#current = next
      this.#stale = false
      this.#unreadable = false
      this.#opened += 1
      log.info({ path }, 'directory snapshot taken')
    } catch (error) {
      this.#stale = this.#current !== undefined
      log.warn({ err: error, path }, 'directory snapshot cannot be opened; the last good one stays in use')
    }
  }
}

/** Changes with every rename and every write; `missing` when there is no file. */
function identityOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
  return stat === undefined ? 'missing' : `${stat.dev}:${stat.ino}:${stat.mtimeNs}:${stat.size}`
}

function openSnapshot(path: string): OpenSnapshot {
  const db = new Database(path, { readonly: true, fileMustExist: true })
  try {
    checkFormat(db)
    db.pragma(`cache_size = -${CACHE_KIB}`)
    const tenant = db.prepare<[string], { slug: string; size_max: number | null; enabled: number }>(
      'SELECT slug, size_max, enabled FROM tenants WHERE slug = ?',
    )
    const domain = db.prepare<[string], DomainColumns>(`SELECT ${domainColumns(db)} FROM domains WHERE domain = ?`)
    const mailbox = db.prepare<[string], { address: string; tenant: string; enabled: number }>(
      'SELECT address, tenant, enabled FROM mailboxes WHERE address = ?',
    )
    const policies = db.prepare<[string], PolicyRow>('SELECT tenant, rule, action FROM policies WHERE tenant = ?')
    const sender = db.prepare<[string, string], SenderRow>(
      'SELECT tenant, sender, listing FROM senders WHERE tenant = ? AND sender = ?',
    )
    const credential = credentialLookup(db)
    return {
      policies: (slug) => policies.all(slug),
      sender: (slug, name) => sender.get(slug, name),
      empty: db.prepare('SELECT 1 FROM tenants').get() === undefined,
      tenant: (slug) => {
        const row = tenant.get(slug)
        return row && { slug: row.slug, sizeMax: row.size_max, enabled: row.enabled !== 0 }
      },
      domain: (name) => {
        const row = domain.get(name)
        return row && { ...row, antiEnumeration: row.antiEnumeration !== 0 }
      },
      mailbox: (address) => {
        const row = mailbox.get(address)
        return row && { address: row.address, tenant: row.tenant, enabled: row.enabled !== 0 }
      },
      credential,
      close: () => db.close(),
    }
  } catch (error) {
    db.close()
    throw error
  }
}

interface DomainColumns {
  domain: string
  tenant: string | null
  state: DomainState
  catchAll: string | null
  antiEnumeration: number
}

/** An uploaderd that was not upgraded yet writes no options; one that was writes them, and a reader that was not leaves them alone. */
function domainColumns(db: Database.Database): string {
  const options = db.prepare(`SELECT 1 FROM pragma_table_info('domains') WHERE name = 'catch_all'`).get() !== undefined
  return options
    ? 'domain, tenant, state, catch_all AS catchAll, anti_enumeration AS antiEnumeration'
    : 'domain, tenant, state, NULL AS catchAll, 0 AS antiEnumeration'
}

/** A file that an older program wrote has no such table, and everything else of it serves. */
function credentialLookup(db: Database.Database): Lookups['credential'] {
  const there = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'credentials'").get() !== undefined
  if (!there) return () => undefined
  const select = db.prepare<[string], { name: string; tenant: string; secret_hash: string; send_as: string }>(
    'SELECT name, tenant, secret_hash, send_as FROM credentials WHERE name = ?',
  )
  return (name) => {
    const row = select.get(name)
    return (
      row && {
        name: row.name,
        tenant: row.tenant,
        secretHash: row.secret_hash,
        sendAs: JSON.parse(row.send_as) as string[],
      }
    )
  }
}

/** A cut file is found by SQLite itself, at the first read; whole pages are vouched for by how the file was written. */
function checkFormat(db: Database.Database): void {
  const format = db.pragma('user_version', { simple: true })
  if (format !== FORMAT) throw new Error(`directory snapshot of format ${String(format)}, this program reads ${FORMAT}`)
}
