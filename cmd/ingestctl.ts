// ingestctl is the operator's command line. Engines are opened when a command asks for them, for reading unless it changes
// something, and never made: a place where nothing was ever started stays as it is.

import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CliError, run, type Context, type Engines } from '../internal/cli/cli.ts'
import { enginePath, loadConfig, type Config } from '../internal/config/config.ts'
import { systemClock } from '../internal/daemon/clock.ts'
import { random, systemIds } from '../internal/daemon/ids.ts'
import type { EventLog, Queryable } from '../internal/eventlog/eventlog.ts'
import { nodeFs } from '../spool/spool.ts'
import { blobsOf, eventLogOf, isEmbedded, scannerOf, schemaOf, storeOf, topicsOf } from './adapters.ts'
import { VERSION } from './version.ts'

const INTERRUPTED = 130
/** A person waits longer for another process's write than a daemon may stand still. */
const BUSY_TIMEOUT_MS = 5000

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const clock = systemClock
const ids = systemIds(clock)

/** An embedded engine that was never started must not be made by looking. */
function mustBeThere(url: string, what: string): void {
  const path = enginePath(url)
  if (isEmbedded(url) && !existsSync(path)) {
    throw new CliError('unavailable', `there is no ${what} at ${path} yet; start the service first (make run)`)
  }
}

const isQueryable = <L extends EventLog>(log: L & Partial<Queryable>): log is L & Queryable => log.query !== undefined

function enginesOf(config: () => Config): Engines {
  const opened = new Map<string, Promise<object>>()
  const once = <T extends object>(name: string, open: () => Promise<T>): Promise<T> => {
    const known = opened.get(name) as Promise<T> | undefined
    const engine = known ?? open()
    opened.set(name, engine)
    return engine
  }
  const parts = { clock, ids, log: quiet }
  const store: Engines['store'] = (access) =>
    once(`store ${access}`, async () => {
      mustBeThere(config().databaseUrl, 'store')
      return storeOf(config(), { readOnly: access === 'read', busyTimeoutMs: BUSY_TIMEOUT_MS })
    })
  return {
    store,
    log: (access) =>
      once(`log ${access}`, async () => {
        mustBeThere(config().eventLogUrl, 'event log')
        const log = await eventLogOf(config(), { ...parts, readOnly: access === 'read' })
        if (isQueryable(log)) return log
        const { projected } = await import('./projected.ts')
        return projected(log, () => store('read'))
      }),
    blobs: () =>
      once('blobs', async () => {
        mustBeThere(config().objectStoreUrl, 'object store')
        return blobsOf(config(), parts)
      }),
    topics: () =>
      once('topics', async () => {
        const topics = await topicsOf(config(), parts)
        if (topics !== undefined) return topics
        throw new CliError('usage', `the event log ${config().eventLogUrl} is not Kafka and has no topics to make`)
      }),
    parsers: () => once('parsers', () => parsersOf(config())),
    scanner: () => scannerOf(config(), parts),
    schema: () => schemaOf(config()),
    get spool() {
      return { fs: nodeFs(), dir: config().spoolDir }
    },
    async close() {
      // Why one could not be opened was said where it was asked for.
      for (const result of await Promise.allSettled(opened.values())) {
        if (result.status === 'fulfilled' && 'close' in result.value) {
          await (result.value as { close(): Promise<void> }).close()
        }
      }
    },
  }
}

/** One parser, so that those of a daemon on the same machine keep theirs; in a directory that only this user can look into. */
async function parsersOf(config: Config) {
  const [{ Registry }, { parserPool }, { parserLimits }] = await Promise.all([
    import('@prometheus-io/client'),
    import('../internal/message/message.ts'),
    import('./parsers.ts'),
  ])
  const workRoot = await mkdtemp(join(tmpdir(), 'ingestctl-'))
  const around = { clock, log: quiet, registry: new Registry() }
  const parsers = parserPool({ ...parserLimits(config), ...around, processes: 1, workRoot })
  const close = async () => {
    await parsers.close()
    await rm(workRoot, { recursive: true, force: true, maxRetries: 3 })
  }
  return { parsers, workDir: join(workRoot, 'messages'), close }
}

async function main(): Promise<number> {
  let known: Config | undefined
  const config = () => (known ??= loadConfig(process.env))
  const interrupt = new AbortController()
  process.once('SIGINT', () => {
    interrupt.abort()
    process.once('SIGINT', () => process.exit(INTERRUPTED))
  })
  // A reader that goes away ends the write with EPIPE; without a listener it would end the process with a stack.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const context: Context = {
    version: VERSION,
    environment: process.env,
    config,
    engines: enginesOf(config),
    clock,
    ids,
    random,
    streams: { input: process.stdin, out: process.stdout, err: process.stderr },
    signal: interrupt.signal,
  }
  return await run(process.argv.slice(2), context)
}

process.exitCode = await main()
// Standard input that was opened and not read to its end would keep the process alive, and so would an engine that does not answer.
for (const stream of [process.stdout, process.stderr]) await new Promise((written) => stream.write('', written))
process.exit()
