// A spool, an object store and an event log on disk, and a way to fail or die at any call between them.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import Sqlite from 'better-sqlite3'
import type { BlobStore } from '../../blob/blob.ts'
import { fileBlobs } from '../../blob/file.ts'
import { uuidv5, type Envelope } from '../../envelope/envelope.ts'
import type { EventLog, MailEvent } from '../../eventlog/eventlog.ts'
import { sqliteEventLog, type SqliteEventLog } from '../../eventlog/sqlite.ts'
import type { Clock } from '../../ports/ports.ts'
import { nodeFs, openReader, openWriter, type SpoolReader } from '../../../spool/spool.ts'
import { uploader, type Entries, type UploaderOptions } from '../upload.ts'

export const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal && { signal }),
}

const NAMESPACE = uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'rig')
/** The n-th entry's id. */
export const entryId = (n: number) => uuidv5(NAMESPACE, String(n))

/** The n-th entry's bytes. */
export const bytesOf = (n: number) => Buffer.from(`Subject: ${n}\r\n\r\n${'x'.repeat(n * 100)}\r\n`)

/** An envelope with one recipient of each tenant. */
export function envelopeOf(n: number, tenants: readonly string[] = ['acme']): Envelope {
  return {
    entryId: entryId(n),
    source: 'EMAIL',
    receivedAt: '2026-01-02T03:04:05.678Z',
    client: { address: '192.0.2.1', port: 40_000, helo: 'client.example' },
    mailFrom: 'ann@Example.org',
    recipients: tenants.map((tenant) => {
      const mailbox = `orders+${tenant}@mail.localhost`
      return { address: mailbox, tenant, mailbox }
    }),
    smtpUtf8: false,
    body: '7BIT',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    traceHeaders: { returnPath: 'Return-Path: <ann@example.org>\r\n', received: 'Received: from x\r\n' },
  }
}

export const STEPS = ['put', 'append', 'done', 'setAside'] as const
type Step = (typeof STEPS)[number]

/** Asked around each call: `n` is how often the step was called, from 1. It may throw, or never resolve. */
export type Interference = (step: Step, when: 'before' | 'after', n: number) => Promise<void> | void

export interface Rig {
  dir: string
  blobs: BlobStore
  events: SqliteEventLog
  lines: { level: string; message: string; fields: Record<string, unknown> }[]
  /** Puts entries into the spool. */
  accept(entries: readonly { n: number; envelope?: object; bytes?: Buffer }[]): Promise<void>
  /** Notes facts in the spool, in order. */
  note(notes: readonly { id: string; note: object }[]): Promise<void>
  /** A process life of the stage: runs until `enough` or `stop`, with calls interfered with. */
  life(options?: LifeOptions): Promise<Life>
  /** Everything that is there: keys and event ids in order, each with how often. */
  there(): Promise<{ keys: string[]; events: string[] }>
  close(): Promise<void>
}

export interface LifeOptions {
  interfere?: Interference
  /** In the place of the log's own. */
  append?: EventLog['append']
  concurrency?: number
  change?: Partial<UploaderOptions>
}

export interface Life {
  reader: SpoolReader
  registry: Registry
  problem(): string | undefined
  /** Resolves with the error of run(), or undefined when it ended without one. */
  ended: Promise<unknown>
  /** Resolves when the spool has nothing left. */
  drained(): Promise<void>
  /** A stop as by SIGTERM: resolves when run() has. */
  stop(): Promise<void>
  /** A stop as by SIGKILL: nobody waits for what is under way. */
  kill(): Promise<void>
}

export async function makeRig(): Promise<Rig> {
  const dir = await mkdtemp(join(tmpdir(), 'upload-'))
  const lines: Rig['lines'] = []
  const line = (level: string) => (fields: Record<string, unknown>, message: string) =>
    void lines.push({ level, message, fields })
  const log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
  let serial = 0
  const blobs = fileBlobs({ dir: join(dir, 'objects'), clock, ids: { entryId: () => `t${(serial += 1)}` } })
  const events = sqliteEventLog({ file: join(dir, 'events.db'), clock, log })
  /** Entries that no life has let go of. */
  const open = new Set<string>()
  const spool = { fs: nodeFs(), dir: join(dir, 'spool'), clock, random: (count: number) => randomBytes(count) }

  return {
    dir,
    blobs,
    events,
    lines,
    async accept(entries) {
      const writer = await openWriter(spool)
      for (const { n, envelope = envelopeOf(n), bytes = bytesOf(n) } of entries) {
        const draft = writer.begin(entryId(n))
        await draft.write(bytes)
        await draft.commit(envelope)
        open.add(entryId(n))
      }
      await writer.close()
    },
    async note(notes) {
      const writer = await openWriter(spool)
      for (const { id, note } of notes) {
        writer.note(id, note)
        open.add(id)
      }
      await writer.close()
    },
    async life({
      interfere = () => undefined,
      append = async (batch: readonly MailEvent[]) => events.append(batch),
      concurrency = 4,
      change = {},
    } = {}) {
      const reader = await openReader(spool)
      const registry = new Registry()
      const around = interfering(interfere)
      const stage = uploader({
        reader: {
          entries: (signal) => reader.entries(signal),
          done: (id) => around('done', () => reader.done(id).then(() => void open.delete(id))),
          setAside: (id, reason) =>
            around('setAside', () => reader.setAside(id, reason).then(() => void open.delete(id))),
          stats: () => reader.stats(),
        } satisfies Entries,
        blobs: { ...blobs, put: (key, upload) => around('put', () => blobs.put(key, upload)) },
        log: { append: (batch) => around('append', () => append(batch)) },
        clock,
        logger: log,
        registry,
        concurrency,
        retryMaxMs: 200,
        source: '/ingest/test/uploaderd',
        ...change,
      })
      const stop = new AbortController()
      const running = stage.run(stop.signal)
      const ended = running.catch((error: unknown) => error)
      return {
        reader,
        registry,
        problem: () => stage.problem(),
        ended,
        async drained() {
          while (open.size > 0) {
            const failed = await Promise.race([ended, sleep(5, 'going on')])
            if (failed !== 'going on') throw failed instanceof Error ? failed : new Error('run() ended')
          }
        },
        async stop() {
          stop.abort()
          await running
          await reader.close()
        },
        async kill() {
          stop.abort()
          await reader.close()
        },
      }
    },
    async there() {
      const keys: string[] = []
      for await (const { key } of blobs.list('')) keys.push(key)
      const logged = await events.query({ limit: 10_000 })
      return { keys, events: logged.map(({ event }) => event.id) }
    },
    async close() {
      await events.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function interfering(interfere: Interference) {
  const counts = new Map<Step, number>()
  return async <T>(step: Step, work: () => Promise<T>): Promise<T> => {
    const n = (counts.get(step) ?? 0) + 1
    counts.set(step, n)
    await interfere(step, 'before', n)
    const result = await work()
    await interfere(step, 'after', n)
    return result
  }
}

/** A file in the directory's place fails every call below it, also for root. Returns what puts the directory back. */
export async function obstruct(dir: string): Promise<() => Promise<void>> {
  await rename(dir, `${dir}.away`)
  await writeFile(dir, '')
  return async () => {
    await rm(dir)
    await rename(`${dir}.away`, dir)
  }
}

/** Another process holds the log's write lock. Returns what lets go of it. */
export function lockLog(dir: string): () => void {
  const db = new Sqlite(join(dir, 'events.db'))
  db.exec('BEGIN IMMEDIATE')
  return () => {
    db.exec('ROLLBACK')
    db.close()
  }
}
