// What this node knows of tenants that have quotas, as a SQLite file that two processes write: smtpd what it accepts, uploaderd what
// the store has counted. Losing it loses counts of this node that the store does not have yet, and no mail.

import { chmodSync, statSync } from 'node:fs'
import Database from 'better-sqlite3'

/** Its owner and its group write it. */
const MODE = 0o660

/**
 * `usage`: what the store said, one row for each tenant that has a quota. `accepted`: messages that it had not counted by then.
 * `own`: their sums, which the triggers keep.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS usage (tenant TEXT PRIMARY KEY, messages_per_day INTEGER, bytes_per_day INTEGER, stored_bytes_max INTEGER,
    day INTEGER NOT NULL, messages INTEGER NOT NULL, bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS accepted (seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
    day INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS own (tenant TEXT, day INTEGER, messages INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)) STRICT, WITHOUT ROWID;
  CREATE TRIGGER IF NOT EXISTS came AFTER INSERT ON accepted BEGIN
    INSERT INTO own VALUES (new.tenant, new.day, 1, new.bytes)
    ON CONFLICT (tenant, day) DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER IF NOT EXISTS counted AFTER DELETE ON accepted BEGIN
    UPDATE own SET messages = messages - 1, bytes = bytes - old.bytes WHERE tenant = old.tenant AND day = old.day;
    DELETE FROM own WHERE tenant = old.tenant AND day = old.day AND messages = 0;
  END;
`

/** Opens the file, which is made where there is none. Throws SQLite's or the file system's error. */
export function openUsageFile(path: string, busyTimeoutMs: number): Database.Database {
  const db = new Database(path, { timeout: busyTimeoutMs })
  try {
    if (db.pragma('user_version', { simple: true }) !== FORMAT) make(db, path)
    db.pragma('synchronous = NORMAL')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const FORMAT = 1

function make(db: Database.Database, path: string): void {
  const format = Number(db.pragma('user_version', { simple: true }))
  if (format > FORMAT) throw new Error(`usage of format ${format}, this program reads ${FORMAT}`)
  db.pragma('journal_mode = WAL')
  chmodSync(path, MODE)
  db.exec(`BEGIN IMMEDIATE; ${SCHEMA}; PRAGMA user_version = ${FORMAT}; COMMIT`)
}

/** Changes when another file has the name; undefined where there is none. */
export function fileIdentity(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
  return stat && `${stat.dev}:${stat.ino}`
}
