// Which adapter serves which URL, and how the stages of one process share it.

import { dirname } from 'node:path'
import { measured as measuredBlobs, type BlobStore } from '../internal/blob/blob.ts'
import { fileBlobs } from '../internal/blob/file.ts'
import { enginePath } from '../internal/config/config.ts'
import type { Part } from '../internal/daemon/daemon.ts'
import { measured as measuredLog, type EventLog, type Queryable } from '../internal/eventlog/eventlog.ts'
import { sqliteEventLog } from '../internal/eventlog/sqlite.ts'
import type { Store } from '../internal/store/store.ts'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import { makeWritable, plainly, type Surroundings } from './main.ts'

/** Opens the object store of OBJECT_STORE_URL. */
function openBlobs({ config, clock, ids, registry }: Surroundings): BlobStore {
  const dir = enginePath(config.objectStoreUrl)
  return measuredBlobs(fileBlobs({ dir, clock, ids }), registry, clock)
}

/** Opens the event log of EVENT_LOG_URL. Throws CannotStart when its file cannot be used. */
function openEventLog({ config, clock, log, registry }: Surroundings): EventLog & Queryable {
  const file = enginePath(config.eventLogUrl)
  makeWritable('EVENT_LOG_URL', dirname(file))
  try {
    return measuredLog(sqliteEventLog({ file, clock, log }), registry, clock)
  } catch (error) {
    throw plainly(error, `EVENT_LOG_URL ${config.eventLogUrl}`)
  }
}

/** Opens the store of DATABASE_URL and brings its schema up to date. Rejects with CannotStart when its file cannot be used. */
async function openStore({ config }: Surroundings): Promise<Store> {
  const file = enginePath(config.databaseUrl)
  makeWritable('DATABASE_URL', dirname(file))
  try {
    return await openSqliteStore({ file })
  } catch (error) {
    throw plainly(error, `DATABASE_URL ${config.databaseUrl}`)
  }
}

/** What uploaderd and indexerd work on; one set for all stages of a process. */
export interface Engines {
  blobs: BlobStore
  log: EventLog & Queryable
  store: Store
}

/** Opens all engines, and says how to close them. */
export async function openEngines(around: Surroundings): Promise<{ engines: Engines; parts: Part[] }> {
  const engines = { blobs: openBlobs(around), log: openEventLog(around), store: await openStore(around) }
  const parts = [
    { name: 'event log', stop: () => engines.log.close() },
    { name: 'store', stop: () => engines.store.close() },
  ]
  return { engines, parts }
}
