// The engines of a process: opened once, measured, shared by its stages.

import { dirname } from 'node:path'
import { measured as measuredBlobs, type BlobStore } from '../internal/blob/blob.ts'
import { enginePath } from '../internal/config/config.ts'
import type { Part } from '../internal/daemon/daemon.ts'
import { measured as measuredLog, type EventLog, type Keeping } from '../internal/eventlog/eventlog.ts'
import type { Store } from '../internal/store/store.ts'
import { blobsOf, eventLogOf, isEmbedded, storeOf } from './adapters.ts'
import { makeWritable, plainly, type Surroundings } from './main.ts'

/** What uploaderd and indexerd work on. */
export interface Engines {
  blobs: BlobStore
  log: EventLog & Keeping
  store: Store
}

/** Opens all engines, and says how to close them. Rejects with CannotStart when one cannot be used. */
export async function openEngines(around: Surroundings): Promise<{ engines: Engines; parts: Part[] }> {
  const { config, clock, registry } = around
  const { objectStoreUrl, eventLogUrl, databaseUrl } = config
  const blobs = await opened(`OBJECT_STORE_URL ${objectStoreUrl}`, () => blobsOf(config, around))
  const log = await opened(`EVENT_LOG_URL ${eventLogUrl}`, () => {
    if (isEmbedded(eventLogUrl)) makeWritable('EVENT_LOG_URL', dirname(enginePath(eventLogUrl)))
    return eventLogOf(config, around)
  })
  const store = await opened('DATABASE_URL', () => {
    if (isEmbedded(databaseUrl)) makeWritable('DATABASE_URL', dirname(enginePath(databaseUrl)))
    return storeOf(config)
  })
  const engines = {
    blobs: measuredBlobs(blobs, registry, clock),
    log: measuredLog(log, registry, clock),
    store,
  }
  const parts = [
    { name: 'event log', stop: () => log.close() },
    { name: 'store', stop: () => store.close() },
  ]
  return { engines, parts }
}

async function opened<T>(what: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw plainly(error, what)
  }
}
