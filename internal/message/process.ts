// One parser process as its parent sees it: a promise for each job, settled by an answer or by the end of the process.

import { fork, type ChildProcess } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Reply } from './child.ts'
import type { Job } from './parse.ts'

const MIB = 1024 * 1024
const REPOSITORY = join(import.meta.dirname, '..', '..')
export const CHILD_PROGRAM = join(import.meta.dirname, 'child.ts')

/** What it may read besides its work root. Not the whole tree: DATA_DIR, with everyone's mail, may lie in it. */
const CODE = [
  { name: 'package.json', below: '' },
  { name: 'internal', below: '/*' },
  { name: 'node_modules', below: '/*' },
]

/** Bytes kept of what a process says on its standard error. */
const STDERR_MAX = 4096

export interface ProcessOptions {
  program: string
  /** The only directory it may write to. */
  workRoot: string
  memoryMaxBytes: number
}

/** A parser uses one thread at a time; these settings and the compile cache (which spares it the TypeScript compiler) save 25 MiB each. */
const THRIFT = { MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: '2' }

/** Compiled code of the parser, written by each process when it starts. */
export const compileCache = (workRoot: string): string => join(workRoot, '.compile-cache')

type Answer = Exclude<Reply, { ready: true }>
export type Ended = { answer: Answer } | { exit: string; outOfMemory: boolean }

export class ParserProcess {
  /** Resolves when it can take a job: true, or false if it ended before. */
  readonly ready: Promise<boolean>
  readonly exited: Promise<void>
  /** Messages it was given. */
  jobs = 0
  private readonly child: ChildProcess
  private stderr = ''
  private isReady = Promise.withResolvers<boolean>()
  private running: PromiseWithResolvers<Ended> | undefined
  private exit: string | undefined

  constructor(options: ProcessOptions) {
    this.ready = this.isReady.promise
    const gone = Promise.withResolvers<void>()
    this.exited = gone.promise
    this.child = fork(options.program, [], {
      // Nothing of the parent's environment: no secrets, and the same locale and zone everywhere.
      env: { TZ: 'UTC', LANG: 'C.UTF-8', ...THRIFT, NODE_COMPILE_CACHE: compileCache(options.workRoot) },
      execArgv: flags(options),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-STDERR_MAX)
    })
    this.child.on('message', (reply: Reply) => this.took(reply))
    const ended = (how: string): void => {
      this.exit ??= how
      this.isReady.resolve(false)
      this.running?.resolve(this.asExit(this.exit))
      gone.resolve()
    }
    // `close` comes after the last of standard error; `error` if the process could not be started or told something.
    this.child.on('close', (code, signal) => ended(signal ?? `exit status ${code}`))
    this.child.on('error', (error) => {
      if (this.child.pid === undefined) ended(error.message)
      else this.kill()
    })
  }

  /** One job at a time. Never rejects. */
  async run(job: Job): Promise<Ended> {
    this.jobs += 1
    this.running = Promise.withResolvers<Ended>()
    if (this.exit !== undefined) this.running.resolve(this.asExit(this.exit))
    else this.child.send(job)
    return this.running.promise
  }

  /** Resident memory in bytes, 0 if the process is gone. */
  async residentBytes(): Promise<number> {
    try {
      const status = await readFile(`/proc/${this.child.pid}/status`, 'latin1')
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    } catch {
      return 0
    }
  }

  /** At once. `exited` resolves when it is gone. */
  kill(): void {
    this.child.kill('SIGKILL')
  }

  get gone(): boolean {
    return this.exit !== undefined
  }

  /** The last words of the process, for people. */
  get lastWords(): string {
    return this.stderr.trim()
  }

  private took(reply: Reply): void {
    if ('ready' in reply) this.isReady.resolve(true)
    else this.running?.resolve({ answer: reply })
  }

  private asExit(exit: string): Ended {
    return { exit, outOfMemory: /heap out of memory/.test(this.stderr) }
  }
}

/** Packages may be linked in from elsewhere: both names count, the one asked for and the one that it leads to. */
function readable({ name, below }: (typeof CODE)[number]): string[] {
  const path = join(REPOSITORY, name)
  return [...new Set([path, realpathSync(path)])].map((each) => `--allow-fs-read=${each}${below}`)
}

function flags({ memoryMaxBytes, workRoot }: ProcessOptions): string[] {
  // Buffers live outside the heap, so the heap gets a part of the memory only; small young generations keep an idle process small.
  const heapMib = Math.max(48, Math.floor(memoryMaxBytes / MIB / 3))
  return [
    `--max-old-space-size=${heapMib}`,
    '--max-semi-space-size=1',
    '--disable-warning=ExperimentalWarning',
    '--permission',
    ...CODE.flatMap(readable),
    `--allow-fs-read=${workRoot}/*`,
    `--allow-fs-write=${workRoot}/*`,
  ]
}
