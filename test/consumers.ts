// The example consumers, each with the packages of its language beside it in .cache/, and started as its README says.

import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { aptInstall } from './engines/apt.ts'

const ROOT = join(import.meta.dirname, '..')
const INSTALL_MS_MAX = 300_000
const STOP_MS_MAX = 15_000
const run = promisify(execFile)

interface Language {
  /** Debian packages, and what shows that they are there. */
  packages: readonly string[]
  present: readonly string[]
  /** File that names the libraries: another text is another installation. */
  manifest: string
  /** Commands that fetch the libraries into the folder in which they run. */
  install: readonly (readonly string[])[]
  /** Command that runs the example in that folder. */
  command: readonly string[]
}

const COPY_JARS = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'

export const LANGUAGES = {
  node: {
    packages: ['npm'],
    present: ['npm', '--version'],
    manifest: 'package-lock.json',
    install: [['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']],
    command: [process.execPath, 'consumer.js'],
  },
  python: {
    packages: ['python3-venv'],
    present: ['python3', '-c', 'import ensurepip, venv'],
    manifest: 'requirements.txt',
    install: [
      ['python3', '-m', 'venv', 'venv'],
      ['venv/bin/python', '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', 'requirements.txt'],
    ],
    command: ['venv/bin/python', 'consumer.py'],
  },
  java: {
    packages: ['default-jdk-headless', 'maven'],
    present: ['sh', '-c', 'javac -version && mvn -version'],
    manifest: 'pom.xml',
    install: [['mvn', '-q', '-B', '-ntp', COPY_JARS, '-DoutputDirectory=libs', '-DincludeScope=runtime']],
    command: ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', 'libs/*', 'Consumer.java'],
  },
} as const satisfies Record<string, Language>

export type LanguageName = keyof typeof LANGUAGES
export const LANGUAGE_NAMES = Object.keys(LANGUAGES) as LanguageName[]

const isPresent = ([program = '', ...args]: readonly string[]) => spawnSync(program, args).status === 0

/** Why a language cannot run on this machine; undefined if it can, perhaps after installing it. */
export function languageUnavailable(name: LanguageName): string | undefined {
  const { present, packages } = LANGUAGES[name]
  if (isPresent(present)) return undefined
  if (!isPresent(['sh', '-c', 'command -v apt-get'])) return `${name}: no ${packages.join(', ')}, and no apt-get`
  return process.getuid?.() === 0 ? undefined : `${name}: as root: apt-get install ${packages.join(' ')}`
}

/** Fetches what is missing, first the languages from Debian, then their libraries side by side; resolves with each one's folder. */
export async function installConsumers(): Promise<Map<LanguageName, string>> {
  const missing = LANGUAGE_NAMES.filter((name) => !isPresent(LANGUAGES[name].present))
  if (missing.length > 0) await aptInstall(missing.flatMap((name) => LANGUAGES[name].packages))
  return new Map(await Promise.all(LANGUAGE_NAMES.map(async (name) => [name, await installLibraries(name)] as const)))
}

/** The example alone in a folder, so that nothing of this repository can be within its reach. */
async function installLibraries(name: LanguageName): Promise<string> {
  const { manifest, install }: Language = LANGUAGES[name]
  const example = join(ROOT, 'examples/consumers', name)
  const version = createHash('sha256')
    .update(await readFile(join(example, manifest)))
    .digest('hex')
    .slice(0, 12)
  const folder = join(ROOT, '.cache/consumers', `${name}-${version}`)
  if (!existsSync(folder)) {
    const part = `${folder}.part`
    await rm(part, { recursive: true, force: true })
    await cp(example, part, { recursive: true })
    const options = { cwd: part, timeout: INSTALL_MS_MAX, env: { ...process.env, NODE_USE_SYSTEM_CA: '1' } }
    for (const [program = '', ...args] of install) await run(program, args, options)
    await rename(part, folder)
  }
  await cp(example, folder, { recursive: true })
  return folder
}

/** A line of an example: an event, or with `skipped` a record of a type that it does not know. */
export interface Line {
  topic: string
  partition: number
  offset: number
  type: string
  id: string
  key: string
  tenant: string
  duplicate: boolean
  replay: string | null
  skipped?: string | null
}

export interface RunningConsumer {
  /** What it has printed so far. */
  lines: Line[]
  /** What it has complained about. */
  complaints: () => string
  alive: () => boolean
  /** Asks it to end; resolves with its exit status or signal. */
  stop(): Promise<number | string>
}

/** Starts an example in its folder with the given arguments. */
export function startConsumer(
  name: LanguageName,
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningConsumer {
  const [program = '', ...first]: readonly string[] = LANGUAGES[name].command
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(program, [...first, ...args], {
    cwd: folder,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [lines, complaints]: [Line[], string[]] = [[], []]
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line))
  createInterface({ input: child.stderr }).on('line', (line) => complaints.push(line))
  const exited = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(signal ?? code ?? 0))
  })
  return {
    lines,
    complaints: () => complaints.join('\n'),
    alive: () => child.exitCode === null && child.signalCode === null,
    stop: () => ended(child, exited),
  }
}

async function ended(child: ChildProcess, exited: Promise<number | string>): Promise<number | string> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  const status = await exited
  clearTimeout(timer)
  return status
}
