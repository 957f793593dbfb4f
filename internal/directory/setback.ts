// A snapshot that knows tenants is not given up for a store that is empty, or for one that is older: a wrong DATABASE_URL or a
// database that was made anew would have every address refused for good, while its mail could have waited.

import { statSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { DirectoryRow, DirectoryRows } from './directory.ts'

/** What of a snapshot, or of the store, the decision takes. */
export interface Standing {
  /** Of the store's directory. 0 in a file of a program that did not write it down. */
  version: number
  tenants: boolean
}

/** Why `next` does not take the place of `held`; undefined if it does. */
export function setback(held: Standing | undefined, next: Standing): string | undefined {
  if (held === undefined || !held.tenants) return undefined
  if (next.version < held.version)
    return `the database has directory version ${next.version}, older than version ${held.version} of the snapshot`
  return next.tenants ? undefined : 'the database has no tenant, the snapshot has some'
}

/** A setback as the end of rows: whoever writes them gives up and changes nothing. */
export class Setback extends Error {
  override name = 'Setback'
}

/** `rows`, unless they are a setback to the snapshot at `path`: then their iteration ends with Setback. */
export async function* unlessSetback(path: string, rows: DirectoryRows, version: number): AsyncGenerator<DirectoryRow> {
  const held = standingOf(path)
  const check = (tenants: boolean) => {
    const why = setback(held, { version, tenants })
    if (why !== undefined) throw new Setback(why)
  }
  check(true)
  let tenants = false
  for await (const row of rows) {
    tenants ||= row.kind === 'tenant'
    yield row
  }
  check(tenants)
}

/** Of the snapshot at `path`; undefined where there is none or it cannot be read: that one is nobody's loss. */
function standingOf(path: string): Standing | undefined {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined
  let db: Database.Database | undefined
  try {
    db = new Database(path, { readonly: true, fileMustExist: true })
    const has = (select: string) => db?.prepare(select).get() !== undefined
    const versioned = has(`SELECT 1 FROM sqlite_schema WHERE name = 'source'`)
    const version = versioned ? db.prepare<[], { version: number }>('SELECT version FROM source').get()?.version : 0
    return { version: version ?? 0, tenants: has('SELECT 1 FROM tenants') }
  } catch {
    return undefined
  } finally {
    db?.close()
  }
}
