// The parser processes: one message at a time each, a deadline, a memory bound, and a replacement for each that dies.
//
// A small message goes to its process as it is, a larger one by a copy in its work directory. What the message does to its process
// is its own fault and quarantines it, and only a crash is tried once more in a fresh process, since something else may have killed the first.

import { createWriteStream, existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, sep } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'
import type { ParseInput, ParseLimits, ParseOutcome, Trouble } from './message.ts'
import { parseFailures } from './metrics.ts'
import type { Job } from './parse.ts'
import { CHILD_PROGRAM, compileCache, ParserProcess, type Ended } from './process.ts'
import { RAW_BYTES_MAX, type Raw } from './raw.ts'
import { QUARANTINE_REASONS, type QuarantineReason } from './reasons.ts'

const MIB = 1024 * 1024

/** Messages after which a process is replaced, so that no leak of the parser lasts. */
const JOBS_MAX = 20_000
/** A process that keeps more than this after a message is replaced before the next one. */
const IDLE_RESIDENT_MAX_BYTES = 160 * MIB
/** How often a working process is looked at. */
const WATCH_MS = 50
/** A process that is not ready by then could not be started. */
const START_MAX_MS = 20_000
const DEADLINE_PER_MIB_MS = 1_000
/** Ends the watch of each message that is done. One for all: making an error costs more than the watch. */
const OVER = new Error('over')
/** Messages that wait for a process; more are turned away with `trouble`. */
const WAITING_MAX = 2_048

export interface PoolOptions {
  /** Child processes, started when first needed or by `startAhead`. */
  processes: number
  /** Time for one message, plus one second for each MiB of it. */
  deadlineMs: number
  /** Resident memory of one child. */
  memoryMaxBytes: number
  limits: ParseLimits
  /** Directory that every `workDir` lies in; the children can write nowhere else. It must exist. */
  workRoot: string
  clock: Clock
  log: Log
  registry: Registry
  /** Another program in place of child.ts, for tests. */
  program?: string
}

export interface ParserPool {
  /** Parses one message. Never rejects: every failure is an outcome. Waits for a free child. */
  parse(input: ParseInput): Promise<ParseOutcome>
  /** Kills the children and ends what is under way with `trouble` `closed`. Resolves when no child is left. */
  close(): Promise<void>
}

/** The pool as its owner has it. */
export interface OwnedPool extends ParserPool {
  /** Starts the children, so that the first messages need not wait for them. One that does not start is the messages' to find out. */
  startAhead(): Promise<void>
}

/** Starts no child yet. */
export function parserPool(options: PoolOptions): OwnedPool {
  return new Pool(options)
}

type Verdict = Ended | { over: 'parse_timeout' | 'parse_memory'; detail: string } | { unstartable: string }

class Pool implements OwnedPool {
  private readonly options: PoolOptions
  private readonly failures: ReturnType<typeof parseFailures>
  /** Places without a message, each with the process that last had one, if it can take another. */
  private readonly free: { process?: ParserProcess }[]
  private readonly waiting: ((place: { process?: ParserProcess }) => void)[] = []
  private readonly alive = new Set<ParserProcess>()
  private closed = false
  private warm: Promise<void> | undefined

  constructor(options: PoolOptions) {
    this.options = options
    this.failures = parseFailures(options.registry)
    this.free = Array.from({ length: options.processes }, () => ({}))
  }

  async parse(input: ParseInput): Promise<ParseOutcome> {
    if (this.waiting.length >= WAITING_MAX) return trouble('child', 'too many messages wait to be parsed')
    const place = this.free.pop() ?? (await new Promise<{ process?: ParserProcess }>((got) => this.waiting.push(got)))
    try {
      const outcome = await this.parseAt(place, input)
      return this.closed && !outcome.ok ? trouble('closed', 'the parser is shutting down') : outcome
    } finally {
      const next = this.waiting.shift()
      if (next) next(place)
      else this.free.push(place)
    }
  }

  async startAhead(): Promise<void> {
    await (this.warm ??= this.warmed())
    if (this.closed) return
    for (const place of this.free) place.process ??= this.start()
  }

  async close(): Promise<void> {
    this.closed = true
    for (const process of this.alive) process.kill()
    await Promise.all([...this.alive].map((process) => process.exited))
  }

  private async parseAt(place: { process?: ParserProcess }, input: ParseInput): Promise<ParseOutcome> {
    if (this.closed) return trouble('closed', 'the parser is shutting down')
    if (!input.workDir.startsWith(this.options.workRoot + sep))
      return trouble('disk', 'the work directory is outside the work root')
    const raw = await taken(input)
    if ('ok' in raw) return raw
    const { sizeBytes, workDir } = input
    const job = { raw, sizeBytes, workDir, limits: this.options.limits }
    const first = await this.attempt(place, job)
    const again = 'exit' in first && !first.outOfMemory && !this.closed
    if (again) this.options.log.warn({ exit: first.exit }, 'a parser process died; one more try')
    return this.outcome(again ? await this.attempt(place, job) : first)
  }

  /** One try. Leaves a process in `place` only if it can take another message. */
  private async attempt(place: { process?: ParserProcess }, job: Job): Promise<Verdict> {
    await (this.warm ??= this.warmed())
    if (this.closed) return { unstartable: 'the parser is shutting down' }
    const process = place.process?.gone === false ? place.process : this.start()
    delete place.process
    const over = new AbortController()
    try {
      const isReady = process.jobs > 0 || (await this.inTime(process, over.signal))
      if (!isReady) return { unstartable: process.lastWords || 'it did not become ready' }
      const verdict = await Promise.race([process.run(job), this.watched(process, job.sizeBytes, over.signal)])
      if ('answer' in verdict && this.canGoOn(process, verdict.answer.residentBytes)) place.process = process
      return verdict
    } finally {
      over.abort(OVER)
      if (place.process === undefined) {
        process.kill()
        await process.exited
      }
    }
  }

  private inTime(process: ParserProcess, signal: AbortSignal): Promise<boolean> {
    return Promise.race([process.ready, this.slept(START_MAX_MS, signal).then(() => false)])
  }

  /** Without compiled code a process takes 20 MiB more for as long as it lives: the first one only writes it. */
  private async warmed(): Promise<void> {
    if (existsSync(compileCache(this.options.workRoot))) return
    const process = this.start()
    await process.ready
    process.kill()
    await process.exited
  }

  private start(): ParserProcess {
    const { program = CHILD_PROGRAM, workRoot, memoryMaxBytes } = this.options
    const process = new ParserProcess({ program, workRoot, memoryMaxBytes })
    this.alive.add(process)
    void process.exited.then(() => this.alive.delete(process))
    return process
  }

  private canGoOn(process: ParserProcess, residentBytes: number): boolean {
    return process.jobs < JOBS_MAX && residentBytes <= Math.min(IDLE_RESIDENT_MAX_BYTES, this.options.memoryMaxBytes)
  }

  /** Resolves with what the process has broken; never if `signal` comes first. */
  private async watched(process: ParserProcess, sizeBytes: number, signal: AbortSignal): Promise<Verdict> {
    const { clock, deadlineMs, memoryMaxBytes } = this.options
    const allowedMs = deadlineMs + Math.ceil(sizeBytes / MIB) * DEADLINE_PER_MIB_MS
    const deadline = clock.monotonic() + allowedMs
    for (;;) {
      const leftMs = deadline - clock.monotonic()
      if (leftMs <= 0) return { over: 'parse_timeout', detail: `not parsed within ${allowedMs} ms` }
      await this.slept(Math.min(WATCH_MS, leftMs), signal)
      if ((await process.residentBytes()) > memoryMaxBytes) {
        return { over: 'parse_memory', detail: `parsing took more than ${memoryMaxBytes} bytes of memory` }
      }
    }
  }

  /** Never resolves if `signal` comes first. */
  private slept(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.options.clock.sleep(ms, signal).then(resolve, (thrown: Error) => {
        if (!signal.aborted) reject(thrown)
      })
    })
  }

  private outcome(verdict: Verdict): ParseOutcome {
    if ('unstartable' in verdict) return trouble('child', `no parser process could be started: ${verdict.unstartable}`)
    if ('over' in verdict) return this.quarantined(verdict.over, verdict.detail)
    if ('exit' in verdict) {
      if (verdict.outOfMemory) return this.quarantined('parse_memory', 'parsing took more heap than there is')
      return this.quarantined('parse_crash', `the parser process died twice, last with ${verdict.exit}`)
    }
    const { answer } = verdict
    if ('trouble' in answer) return trouble('disk', answer.trouble)
    return 'message' in answer ? { ok: true, message: answer.message } : this.quarantined(answer.reason, answer.detail)
  }

  private quarantined(reason: QuarantineReason, detail: string): ParseOutcome {
    if (!this.closed) this.failures.inc({ kind: QUARANTINE_REASONS[reason].kind })
    return { ok: false, reason, detail }
  }
}

const trouble = (kind: Trouble, detail: string, cause?: unknown): Extract<ParseOutcome, { ok: false }> => ({
  ok: false,
  trouble: kind,
  detail,
  ...(cause !== undefined && { cause }),
})

/** The message's bytes where a process can read them, or why they are not there. */
async function taken({
  sizeBytes,
  workDir,
  ...input
}: ParseInput): Promise<Raw | Extract<ParseOutcome, { ok: false }>> {
  let body: Readable | Buffer
  try {
    body = await input.open()
  } catch (cause) {
    return trouble('source', 'the message could not be opened', cause)
  }
  // The ordinary case needs no copy.
  if (Buffer.isBuffer(body) && body.length === sizeBytes && sizeBytes <= RAW_BYTES_MAX) return { bytes: body }
  let copiedBytes = 0
  let sourceError: unknown
  async function* counted(): AsyncIterable<Buffer> {
    try {
      for await (const chunk of Buffer.isBuffer(body) ? [body] : (body as AsyncIterable<Buffer>)) {
        copiedBytes += chunk.length
        if (copiedBytes > sizeBytes) break
        yield chunk
      }
      if (copiedBytes !== sizeBytes) throw new Error(`a message of ${sizeBytes} bytes gave ${copiedBytes}`)
    } catch (thrown) {
      sourceError = thrown
      throw thrown
    }
  }
  try {
    return sizeBytes <= RAW_BYTES_MAX ? await inMemory(counted()) : await inFile(counted(), workDir)
  } catch (cause) {
    return sourceError === undefined
      ? trouble('disk', 'the message could not be copied to its work directory', cause)
      : trouble('source', 'the message could not be read', cause)
  } finally {
    if (!Buffer.isBuffer(body)) body.destroy()
  }
}

async function inMemory(chunks: AsyncIterable<Buffer>): Promise<Raw> {
  const kept: Buffer[] = []
  for await (const chunk of chunks) kept.push(chunk)
  return { bytes: kept.length === 1 && kept[0] ? kept[0] : Buffer.concat(kept) }
}

async function inFile(chunks: AsyncIterable<Buffer>, workDir: string): Promise<Raw> {
  const path = join(workDir, 'raw.eml')
  await mkdir(workDir, { recursive: true })
  await pipeline(chunks, createWriteStream(path))
  return { path }
}
