// What every program does first and last: check Node, read settings, open the log, run the parts, exit with a status.

import { accessSync, constants, mkdirSync } from 'node:fs'
import type { Registry } from '@prometheus-io/client'
import { ConfigError, loadConfig, type Config, type Environment } from '../internal/config/config.ts'
import {
  newRegistry,
  openLog,
  openOperatorListener,
  openTraces,
  runParts,
  systemClock,
  systemIds,
  TracesError,
  withoutFloods,
  type Check,
  type Part,
} from '../internal/daemon/daemon.ts'
import type { Clock, Ids, Log, Tracer } from '../internal/ports/ports.ts'
import { VERSION } from './version.ts'

const NODE_MAJOR_MIN = 24
const EXIT_BAD_START = 2

/** What a stage is built from. */
export interface Surroundings {
  config: Config
  clock: Clock
  ids: Ids
  log: Log
  registry: Registry
  tracer: Tracer
  /** Says what the start waits for, to /readyz. */
  waitsFor: (what: string) => void
}

/** A running stage: what to stop, what must hold for readiness. */
export interface Stage {
  parts: Part[]
  checks: Check[]
}

/** A loop that runs until it is told to stop; one that ends before has failed. What `onlyAsks` may hang on an engine, and no stop waits for it. */
export function looping(
  log: Log,
  name: string,
  run: (signal: AbortSignal) => Promise<void>,
  { onlyAsks = false } = {},
): Part {
  const stopping = new AbortController()
  const running = run(stopping.signal).then(() => {
    if (!stopping.signal.aborted) throw new Error('it ended by itself')
  })
  // It may fail while other parts still start, before runParts listens, and that must not end the process unheard.
  running.catch((error: unknown) => log.error({ err: error, part: name }, 'a loop failed'))
  return {
    name,
    running,
    stop: async () => {
      stopping.abort()
      if (!onlyAsks) await running
    },
  }
}

/** The process cannot start, for a reason that one sentence tells. */
export class CannotStart extends Error {
  override name = 'CannotStart'
}

export interface Program {
  /** Names the process in its log lines. */
  stage: string
  /** Settings that this program starts with unless the environment says otherwise. */
  defaults?: Environment
  start(around: Surroundings): Promise<Stage>
  /** Called once everything listens. `metricsUrl` is the operator's listener. */
  started?(around: Surroundings, metricsUrl: string): Promise<void> | void
}

/** Runs `program` until a signal or a failure and ends the process: 0 after a signal, 1 after a failure, 2 when it could not start. */
export async function main(program: Program, environment: Environment): Promise<never> {
  const parts: Part[] = []
  try {
    checkNode()
    const config = loadConfig({ ...program.defaults, ...withoutEmpty(environment) })
    makeWritable('DATA_DIR', config.dataDir)
    const log = logOf(config, program.stage)
    const registry = newRegistry(VERSION, environment['GIT_COMMIT'] ?? 'unknown')
    let waiting = 'starting'
    const waitsFor = (what: string) => void (waiting = `waits for ${what}`)
    const { tracer, close: closeTraces } = await openTraces(environment, {
      service: program.stage,
      version: VERSION,
      log,
    })
    const around = { config, clock: systemClock, ids: systemIds(systemClock), log, registry, tracer, waitsFor }

    const { host, port } = config.metricsListen
    const checks: Check[] = [{ name: 'start', problem: () => waiting }]
    const listener = await openOperatorListener({ host, port, registry, checks }).catch((error: unknown) => {
      throw plainly(error, `METRICS_LISTEN ${host}:${port}`)
    })
    // First, so that it is stopped last: while the rest starts or drains, /readyz says so and /metrics can be read.
    parts.push({ name: 'operator listener', stop: () => listener.close() }, { name: 'traces', stop: closeTraces })
    const stopWaiting = endAtSignal(log)
    const stage = await program.start(around)
    parts.push(...stage.parts)
    checks.splice(0, 1, ...stage.checks)
    // Signals are listened for before anyone is told that it is ready.
    const ended = runParts(parts, log)
    stopWaiting()
    log.info({ metrics: `${listener.url}/metrics` }, 'ready')
    await program.started?.(around, listener.url)
    process.exit(await ended)
  } catch (error) {
    process.stderr.write(`${sentence(error)}\n`)
    for (const part of parts.toReversed())
      await part.stop().catch((failure: unknown) => process.stderr.write(`${part.name}: ${String(failure)}\n`))
    process.exit(EXIT_BAD_START)
  }
}

/** A start may wait for long, and as a container's first process it would be deaf to signals. What is half started is as after a crash. */
function endAtSignal(log: Log): () => void {
  const end = (signal: string) => {
    log.info({ signal }, 'stopped before it was ready')
    process.exit(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, end)
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, end)
  }
}

function logOf(config: Config, stage: string): Log {
  const { logLevel: level, logFile: file, logAddresses: addresses, logRepeatMax: linesMax } = config
  try {
    return withoutFloods(openLog({ level, file, stage, addresses }), { clock: systemClock, linesMax })
  } catch (error) {
    throw plainly(error, `LOG_FILE ${file}`)
  }
}

function checkNode(): void {
  const major = Number(process.versions.node.split('.')[0])
  if (major < NODE_MAJOR_MIN) {
    throw new CannotStart(
      `Node ${NODE_MAJOR_MIN} or newer is needed, this is ${process.version}; \`make run\` brings the right one`,
    )
  }
}

const withoutEmpty = (environment: Environment): Environment =>
  Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''))

/** Makes a directory if need be and checks that this process may write to it. */
export function makeWritable(setting: string, directory: string): void {
  try {
    mkdirSync(directory, { recursive: true })
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new CannotStart(`${setting}: ${directory} is not a directory that can be written to (${codeOf(error)})`, {
      cause: error,
    })
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

/** The operating system's refusals as sentences for people. */
export function plainly(error: unknown, what: string): Error {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return new CannotStart(`${what} is in use by another program`, { cause: error })
    case 'EACCES':
      return new CannotStart(`${what} may not be used by this user (EACCES)`, { cause: error })
    case 'EADDRNOTAVAIL':
      return new CannotStart(`${what} is not an address of this machine`, { cause: error })
    default:
      return new CannotStart(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** People read a sentence; a fault that nobody foresaw keeps its stack. */
function sentence(error: unknown): string {
  if (error instanceof ConfigError || error instanceof CannotStart || error instanceof TracesError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
