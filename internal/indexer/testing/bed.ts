// The indexer among real engines in a directory of its own: SQLite store and log, file objects. Mail is put in as the uploader does.

import { createHash } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { sql } from 'kysely'
import type { BlobStore } from '../../blob/blob.ts'
import { fileBlobs } from '../../blob/file.ts'
import { messageId, objectKeys, type MessageMeta } from '../../envelope/envelope.ts'
import { sqliteEventLog, type SqliteEventLog } from '../../eventlog/sqlite.ts'
import { parserPool, type ParserPool } from '../../message/message.ts'
import type { Clock, Log } from '../../ports/ports.ts'
import { openSqliteStore } from '../../store/sqlite.ts'
import { checkpointOf, outboxState, type Store } from '../../store/store.ts'
import type { Received } from '../facts.ts'
import { indexer, receivedFromMeta, type IndexerOptions } from '../indexer.ts'

/** Waits are twenty times shorter than they say. */
export const fastClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleep(ms / 20, undefined, signal && { signal }),
}

export const realClock: Clock = { ...fastClock, sleep: (ms, signal) => sleep(ms, undefined, signal && { signal }) }

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let count = 0
const ids = {
  entryId: () => `${++count}`,
  traceparent: () => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
}

/** Parsers for one test file; they work below `root`. */
export function testParsers(): { parsers: ParserPool; root: string; close(): Promise<void> } {
  const root = mkdtempSync(join(tmpdir(), 'indexer-work-'))
  const parsers = parserPool({
    processes: 1,
    deadlineMs: 20_000,
    memoryMaxBytes: 384 * 1024 * 1024,
    limits: { partsMax: 1000, depthMax: 100, headerBytesMax: 1024 * 1024 },
    workRoot: root,
    clock: realClock,
    log: silent,
    registry: new Registry(),
  })
  const close = async () => {
    await parsers.close()
    await rm(root, { recursive: true, force: true })
  }
  return { parsers, root, close }
}

/** One mail as it lies in the object store. */
export interface Mail {
  event: Received
  raw: Buffer
  meta: MessageMeta
}

/** The n-th entry's id: entries sort by `n`. */
export const entryIdOf = (n: number): string => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`

export function mail(
  n: number,
  text: string,
  about: { tenant?: string; to?: string[]; receivedAt?: string } = {},
): Mail {
  const {
    tenant = 'acme',
    to = ['orders@mail.localhost'],
    receivedAt = new Date(1.7e12 + n * 1000).toISOString(),
  } = about
  const raw = Buffer.from(text.replaceAll(/\r?\n/g, '\r\n'))
  const entryId = entryIdOf(n)
  const id = messageId(entryId, tenant)
  const meta: MessageMeta = {
    version: 1,
    messageId: id,
    tenant,
    envelope: {
      entryId,
      source: 'EMAIL',
      receivedAt,
      client: { address: '192.0.2.1', port: 40_000 + n, helo: 'relay.example' },
      mailFrom: 'ann@example.org',
      recipients: to.map((address) => ({ address, tenant, mailbox: address })),
      smtpUtf8: false,
      body: '7BIT',
      traceparent: `00-${String(n).padStart(32, '1')}-b7ad6b7169203331-01`,
      traceHeaders: { returnPath: '', received: '' },
    },
    sizeBytes: raw.length,
    sha256: createHash('sha256').update(raw).digest('hex'),
    rawKey: objectKeys(tenant, receivedAt, id).raw,
  }
  return { raw, meta, event: receivedFromMeta(meta, { source: '/ingest/test/uploaderd' }) }
}

/** A mail with one attachment of its own; the word `mark` is in its text. */
export const withCsv = (n: number, id: string): Mail =>
  mail(
    n,
    `From: ann@example.org\nMessage-ID: <${id}>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nmark\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=a.csv\n\nrow,${n}\n--b--\n`,
  )

const put = (blobs: BlobStore, key: string, bytes: Buffer) =>
  blobs.put(key, {
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    contentType: 'application/octet-stream',
    open: () => Readable.from([bytes]),
  })

export async function putMail(blobs: BlobStore, { raw, meta, event }: Mail): Promise<void> {
  await put(blobs, meta.rawKey, raw)
  await put(blobs, event.data.metaKey, Buffer.from(JSON.stringify(meta)))
}

export class Bed {
  readonly dir = mkdtempSync(join(tmpdir(), 'indexer-'))
  readonly registry = new Registry()
  readonly parsers: Pick<ParserPool, 'parse'>
  readonly workRoot: string
  readonly storeFile: string
  store: Store
  log: SqliteEventLog
  blobs: BlobStore

  private constructor(
    pool: { parsers: Pick<ParserPool, 'parse'>; root: string },
    store: Store,
    files: { storeFile: string },
  ) {
    this.storeFile = files.storeFile
    this.parsers = pool.parsers
    this.workRoot = mkdtempSync(join(pool.root, 'bed-'))
    this.store = store
    this.log = sqliteEventLog({ file: join(this.dir, 'events.db'), clock: realClock, log: silent })
    this.blobs = fileBlobs({ dir: join(this.dir, 'objects'), clock: realClock, ids })
  }

  /** On a store of its own unless one is given. */
  static async open(pool: { parsers: Pick<ParserPool, 'parse'>; root: string }, store?: Store): Promise<Bed> {
    const storeFile = join(mkdtempSync(join(tmpdir(), 'indexer-store-')), 'store.db')
    return new Bed(pool, store ?? (await openSqliteStore({ file: storeFile })), { storeFile })
  }

  /** Puts the objects and publishes the events. */
  async deliver(mails: readonly Mail[]): Promise<void> {
    for (const each of mails) await putMail(this.blobs, each)
    await this.log.append(mails.map((each) => each.event))
  }

  /** Starts an indexer; `stop` resolves with how it ended. */
  start(change: Partial<IndexerOptions> = {}): { stop(): Promise<unknown>; ended: Promise<unknown> } {
    const stopping = new AbortController()
    const { log, blobs, store, parsers } = this
    const stage = indexer({
      log,
      blobs,
      store,
      parsers,
      clock: fastClock,
      logger: silent,
      registry: new Registry(),
      workDir: this.workRoot,
      concurrency: 4,
      retries: 3,
      source: '/ingest/test/indexerd',
      ...change,
    })
    const ended = stage.run(stopping.signal).catch((error: unknown) => error)
    return {
      ended,
      stop: () => {
        stopping.abort()
        return ended
      },
    }
  }

  /** Whether everything in the log is indexed, told and projected. */
  async settled(): Promise<boolean> {
    // In the order in which one makes work for the next.
    if (!(await this.#isAtEnd('indexer', ['mail.ingest.v1']))) return false
    if ((await outboxState(this.store)).pending > 0) return false
    return this.#isAtEnd('projector', ['mail.ingest.v1', 'mail.messages.v1'])
  }

  async #isAtEnd(group: string, topics: readonly string[]): Promise<boolean> {
    for (const topic of topics) {
      for (const { partition, offset } of await this.log.ends(topic)) {
        if ((await checkpointOf(this.store, group, topic, partition)) < offset) return false
      }
    }
    return true
  }

  /** Runs an indexer until everything is settled, at most 10 s. */
  async index(change: Partial<IndexerOptions> = {}): Promise<void> {
    const running = this.start(change)
    await eventually(() => this.settled())
    const error = await running.stop()
    if (error !== undefined) throw error as Error
  }

  /** Everything that must not depend on order or repetition; times of indexing and numbers of rows are left out. */
  async contents(): Promise<Record<string, unknown[]>> {
    const read = async (statement: string) => (await sql.raw(statement).execute(this.store.kysely)).rows
    return {
      messages: (await read('select * from messages order by id')).map((row) => ({
        ...(row as object),
        seq: undefined,
        indexedAt: undefined,
      })),
      mailboxes: await read('select * from message_mailboxes order by mailbox, message_id'),
      keys: await read('select * from message_keys order by tenant, header_message_id'),
      documents: await read('select * from documents order by id'),
      reports: await read('select * from delivery_reports order by message_id'),
      threads: await read('select * from thread_ids order by tenant, header_id'),
      found: (
        await sql`select id from messages where ${this.store.dialect.matches({ words: ['mark'], prefix: false })} order by id`.execute(
          this.store.kysely,
        )
      ).rows,
    }
  }

  async close(): Promise<void> {
    await this.log.close()
    await this.store.close()
    for (const dir of [this.dir, dirname(this.storeFile)]) await rm(dir, { recursive: true, force: true })
  }
}

/** Waits until it holds, at most 10 s. */
export async function eventually(holds: () => Promise<boolean> | boolean, withinMs = 60_000): Promise<void> {
  const end = Date.now() + withinMs
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms`)
    await sleep(10)
  }
}
