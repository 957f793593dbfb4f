// The engines of a process: opened once, measured, shared by its stages.

import { dirname } from 'node:path'
import { measured as measuredBlobs, type BlobStore } from '../internal/blob/blob.ts'
import { enginePath } from '../internal/config/config.ts'
import { watch, type Check, type Part, type Watch } from '../internal/daemon/daemon.ts'
import { MAIL_TOPICS, measured as measuredLog, type EventLog, type Keeping } from '../internal/eventlog/eventlog.ts'
import { directoryVersion, storeMetrics, watchSize, type Store } from '../internal/store/store.ts'
import { isAway } from './away.ts'
import { blobsOf, eventLogOf, isEmbedded, storeOf, type Opening } from './adapters.ts'
import { showReach } from './reach.ts'
import { looping, makeWritable, plainly, type Surroundings } from './main.ts'

/** Between two tries to reach the database at the start. */
const REACH_PAUSE_MS = 2000
/** A wait is told of again after so many tries. */
const REMIND_TRIES = 30
/** When the stages have stopped nothing waits for an engine any more: one that does not let go by then is left as it is. */
const CLOSE_MS = 2000

/** What uploaderd and indexerd work on. */
export interface Engines {
  blobs: BlobStore
  log: EventLog & Keeping
  store: Store
}

/** Asked for to see whether the store answers; it need not be there. */
const ANY_OBJECT = 'readiness'

/** Rejects where the log cannot take mail. The topic of refusals is none that mail waits for. */
export const mailFlows = (log: Pick<EventLog, 'ends'>): Promise<unknown> =>
  Promise.all(MAIL_TOPICS.map((topic) => log.ends(topic)))

/** Opens all engines, and says how to close them and whether they answer. Rejects with CannotStart when one cannot be used. */
export async function openEngines(around: Surroundings): Promise<{ engines: Engines; parts: Part[]; checks: Check[] }> {
  const { config, clock, registry } = around
  const { objectStoreUrl, eventLogUrl } = config
  const blobs = await opened(`OBJECT_STORE_URL ${objectStoreUrl}`, () => blobsOf(config, around))
  const log = await opened(`EVENT_LOG_URL ${eventLogUrl}`, () => {
    if (isEmbedded(eventLogUrl)) makeWritable('EVENT_LOG_URL', dirname(enginePath(eventLogUrl)))
    return eventLogOf(config, around)
  })
  const { store, parts: ofStore, watching } = await watchedStore(around)
  const engines = {
    blobs: measuredBlobs(blobs, registry, clock),
    log: measuredLog(log, registry, clock),
    store,
  }
  const watches = [
    watch({ ...around, name: 'object store', ask: () => blobs.head(ANY_OBJECT) }),
    watch({ ...around, name: 'event log', ask: () => mailFlows(log) }),
  ]
  showReach(registry, [...watches, watching])
  const parts = [closing(around, 'event log', () => log.close()), ...ofStore, ...watches.map(looking(around))]
  return { engines, parts, checks: [...watches, watching].map(({ check }) => check) }
}

/** Opens the store alone, waiting for one that is out of reach. Rejects with CannotStart when it cannot be used. */
export async function openStore(
  around: Surroundings,
  opening: Opening = {},
): Promise<{ store: Store; parts: Part[]; checks: Check[] }> {
  const { store, parts, watching } = await watchedStore(around, opening)
  showReach(around.registry, [watching])
  return { store, parts, checks: [watching.check] }
}

async function watchedStore(
  around: Surroundings,
  opening: Opening = {},
): Promise<{ store: Store; parts: Part[]; watching: Watch }> {
  const { config, clock, log, registry } = around
  const { databaseUrl } = config
  const metrics = storeMetrics(registry)
  const store = await opened('DATABASE_URL', () => {
    if (isEmbedded(databaseUrl)) makeWritable('DATABASE_URL', dirname(enginePath(databaseUrl)))
    return whenReached(around, () => storeOf(config, { ...opening, onQuery: metrics.queried }))
  })
  metrics.show(store.pool)
  const watching = watch({ ...around, name: 'store', ask: () => directoryVersion(store) })
  const sizing = (signal: AbortSignal) => watchSize(store, { metrics, clock, log, signal })
  const parts = [
    closing(around, 'store', () => store.close()),
    looking(around)(watching),
    looping(log, 'size of the store', sizing, { onlyAsks: true }),
  ]
  return { store, parts, watching }
}

const closing = ({ clock }: Surroundings, name: string, close: () => Promise<void>): Part => ({
  name,
  stop: () => Promise.race([close(), clock.sleep(CLOSE_MS)]),
})

const looking =
  ({ log }: Surroundings) =>
  ({ check, run }: Watch): Part =>
    looping(log, `watch of the ${check.name}`, run, { onlyAsks: true })

/** Waits for a database that is away, as after a power cut that took all machines. Rejects with what waiting would not mend. */
async function whenReached<T>({ clock, log, waitsFor }: Surroundings, open: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await open()
    } catch (error) {
      if (!isAway(error)) throw error
      const { message } = error as Error
      waitsFor(`DATABASE_URL: ${message}`)
      if (tries % REMIND_TRIES === 0)
        log.warn({ error: message }, 'the database is out of reach; the start waits for it')
      await clock.sleep(REACH_PAUSE_MS)
    }
  }
}

async function opened<T>(what: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw plainly(error, what)
  }
}
