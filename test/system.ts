// The whole product as a process: started on free ports with its data in a temporary folder, and stopped whatever happens.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

const START_TIMEOUT_MS = 30_000

export interface System {
  dataDir: string
  smtpPort: number
  metricsUrl: string
  pid: number
  /** Every line it has printed, standard output and error. */
  lines: string[]
  /** Sends a signal and resolves with the exit status, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>
  exited: Promise<number | string>
}

/** An empty folder that goes with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mail-ingest-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** The environment of a test's process: free ports, its own data, nothing of the caller's settings. */
export function environmentOf(dataDir: string, settings: Record<string, string> = {}): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env
  return {
    PATH,
    HOME,
    UV_THREADPOOL_SIZE: '16',
    NODE_COMPILE_CACHE: `${process.cwd()}/node_modules/.cache/node`,
    DATA_DIR: dataDir,
    SMTP_PORT: '0',
    METRICS_LISTEN: '127.0.0.1:0',
    ...settings,
  }
}

/** Starts a program of cmd/ and resolves once it says where it listens; rejects with what it printed when it ends before. */
export async function startSystem(dataDir: string, settings: Record<string, string> = {}): Promise<System> {
  const { child, lines, exited } = startProgram('ingest', environmentOf(dataDir, settings))
  const found = { smtpPort: 0, metricsUrl: '' }
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not started in time:\n${lines.join('\n')}`)), START_TIMEOUT_MS)
    const look = (line: string) => {
      found.smtpPort ||= Number(/smtp:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? 0)
      found.metricsUrl ||= /(http:\/\/127\.0\.0\.1:\d+)\/metrics/.exec(line)?.[1] ?? ''
      if (line.startsWith('ready')) {
        clearTimeout(timer)
        resolve()
      }
    }
    lines.listen = look
    void exited.then((status) => {
      clearTimeout(timer)
      reject(new Error(`ended with ${status}:\n${lines.join('\n')}`))
    })
  })
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal)
    return exited
  }
  return { dataDir, ...found, pid: child.pid ?? 0, lines, stop, exited }
}

interface Lines extends Array<string> {
  listen?: (line: string) => void
}

/** Starts `cmd/<name>.ts` and gathers its lines. It is killed when the test ends. */
export function startProgram(
  name: string,
  env: Record<string, string>,
  args: readonly string[] = [],
): { child: ChildProcess; lines: Lines; exited: Promise<number | string> } {
  const child = spawn(process.execPath, [`cmd/${name}.ts`, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: Lines = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      lines.listen?.(line)
    })
  }
  const exited = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(signal ?? code ?? 0))
  })
  try {
    onTestFinished(() => void child.kill('SIGKILL'))
  } catch {
    process.once('exit', () => child.kill('SIGKILL')) // outside a test, as in bench
  }
  return { child, lines, exited }
}

/** Runs `bin/ingestctl` and resolves with what it printed. */
export function ingestctl(
  dataDir: string,
  args: readonly string[],
  settings: Record<string, string> = {},
): Promise<{ status: number; stdout: Buffer; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('bin/ingestctl', args, {
      env: environmentOf(dataDir, settings),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const stdout: Buffer[] = []
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)))
    child.once('error', reject)
    child.once('close', (code) => resolve({ status: code ?? -1, stdout: Buffer.concat(stdout), stderr }))
  })
}

/** `ingestctl … --json`, parsed. Throws when it fails. */
export async function ingestctlJson<T>(
  dataDir: string,
  args: readonly string[],
  settings: Record<string, string> = {},
): Promise<T> {
  const { status, stdout, stderr } = await ingestctl(dataDir, [...args, '--json'], settings)
  if (status !== 0) throw new Error(`ingestctl ${args.join(' ')} ended with ${status}: ${stderr}`)
  return JSON.parse(stdout.toString('utf8')) as T
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Calls `probe` until it gives a value; throws after `timeoutMs` with the last thing it said. */
export async function eventually<T>(probe: () => Promise<T | undefined>, timeoutMs = 30_000, what = 'it'): Promise<T> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value !== undefined) return value
    if (Date.now() > end) throw new Error(`${what} did not come about in ${timeoutMs} ms`)
    await pause(50)
  }
}
