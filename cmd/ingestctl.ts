// ingestctl is the operator's command line. Engines are opened when a command asks for them, for reading unless it changes
// something, and never made: a place where nothing was ever started stays as it is.

import { existsSync } from 'node:fs'
import { CliError, run, type Context, type Engines } from '../internal/cli/cli.ts'
import { enginePath, loadConfig, type Config } from '../internal/config/config.ts'
import { systemClock } from '../internal/daemon/clock.ts'
import { systemIds } from '../internal/daemon/ids.ts'
import { nodeFs } from '../spool/spool.ts'
import { VERSION } from './version.ts'

const INTERRUPTED = 130
/** A person waits longer for another process's write than a daemon may stand still. */
const BUSY_TIMEOUT_MS = 5000

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const clock = systemClock
const ids = systemIds(clock)

function mustBeThere(path: string, what: string): string {
  if (existsSync(path)) return path
  throw new CliError('unavailable', `there is no ${what} at ${path} yet; start the service first (make run)`)
}

function enginesOf(config: () => Config): Engines {
  const opened = new Map<string, Promise<object>>()
  const once = <T extends object>(name: string, open: () => Promise<T>): Promise<T> => {
    const known = opened.get(name) as Promise<T> | undefined
    const engine = known ?? open()
    opened.set(name, engine)
    return engine
  }
  return {
    store: (access) =>
      once(`store ${access}`, async () => {
        const file = mustBeThere(enginePath(config().databaseUrl), 'store')
        const { openSqliteStore } = await import('../internal/store/sqlite.ts')
        return openSqliteStore({ file, readOnly: access === 'read', busyTimeoutMs: BUSY_TIMEOUT_MS })
      }),
    log: (access) =>
      once(`log ${access}`, async () => {
        const file = mustBeThere(enginePath(config().eventLogUrl), 'event log')
        const { sqliteEventLog } = await import('../internal/eventlog/sqlite.ts')
        return sqliteEventLog({ file, clock, log: quiet, readOnly: access === 'read' })
      }),
    blobs: () =>
      once('blobs', async () => {
        const dir = mustBeThere(enginePath(config().objectStoreUrl), 'object store')
        const { fileBlobs } = await import('../internal/blob/file.ts')
        return fileBlobs({ dir, clock, ids })
      }),
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
    streams: { input: process.stdin, out: process.stdout, err: process.stderr },
    signal: interrupt.signal,
  }
  return await run(process.argv.slice(2), context)
}

process.exitCode = await main()
// Standard input that was opened and not read to its end would keep the process alive.
process.stdin.destroy()
