// An operator's desk: real engines in a temporary folder, and command lines run in this process with what they print collected.

import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { onTestFinished } from 'vitest'
import { nodeFs, openWriter } from '../../../spool/spool.ts'
import type { BlobStore } from '../../blob/blob.ts'
import { fileBlobs } from '../../blob/file.ts'
import { loadConfig } from '../../config/config.ts'
import { messageId, objectKeys, type Envelope, type MessageMeta } from '../../envelope/envelope.ts'
import { makeEvent, type MailEvent } from '../../eventlog/eventlog.ts'
import { sqliteEventLog, type SqliteEventLog } from '../../eventlog/sqlite.ts'
import { parserPool } from '../../message/message.ts'
import type { Clock, Ids, Log } from '../../ports/ports.ts'
import { clamdScanner } from '../../scanner/clamd.ts'
import { addDocuments, saveMessage, seedFirstStart, type Message, type Store } from '../../store/store.ts'
import { openSqliteStore, pendingSqliteSteps } from '../../store/sqlite.ts'
import { run, type Context } from '../cli.ts'
import { CliError } from '../exit.ts'

export const NOW = Date.UTC(2026, 9, 6, 10, 11, 12)

export const clock: Clock = {
  now: () => NOW,
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, { ...(signal && { signal }), ref: false })
  },
}

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let counted = 0
const hex = (width: number) => String((counted += 1)).padStart(width, '0')
export const ids: Ids = {
  entryId: () => `00000000-0000-7000-8000-${hex(12)}`,
  traceparent: () => `00-${hex(32)}-00000000000000ff-01`,
}

export interface Ran {
  status: number
  stdout: string
  bytes: Buffer
  stderr: string
}

export interface RunOptions {
  input?: string | Buffer
  environment?: Record<string, string>
  signal?: AbortSignal
  terminal?: boolean
  /** These instead of the desk's own. */
  clock?: Clock
  engines?: Partial<Context['engines']>
}

export interface Desk {
  dataDir: string
  store: Store
  log: SqliteEventLog
  blobs: BlobStore
  run(line: string | readonly string[], options?: RunOptions): Promise<Ran>
  json<T>(line: string): Promise<T>
}

/** A desk in a folder where nothing was ever started. */
export function emptyDesk(): Pick<Desk, 'dataDir' | 'run' | 'json'> {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'cli-')), 'data')
  onTestFinished(() => rmSync(join(dataDir, '..'), { recursive: true, force: true }))
  const runLine = async (line: string | readonly string[], options: RunOptions = {}): Promise<Ran> => {
    const out = collector(options.terminal === true)
    const err = collector(false)
    const context = contextOf(dataDir, { ...options, out: out.sink, err: err.sink })
    const status = await run(typeof line === 'string' ? line.split(' ').filter(Boolean) : line, context)
    return { status, bytes: out.bytes(), stdout: out.bytes().toString(), stderr: err.bytes().toString() }
  }
  const json = async <T>(line: string): Promise<T> => {
    const { status, stdout, stderr } = await runLine(`${line} --json`)
    if (status !== 0) throw new Error(`${line}: ${status} ${stderr}`)
    return JSON.parse(stdout) as T
  }
  return { dataDir, run: runLine, json }
}

/** A desk as after the first start: the tenant acme and nothing else. */
export async function openDesk(): Promise<Desk> {
  const desk = emptyDesk()
  mkdirSync(desk.dataDir, { recursive: true })
  const store = await openSqliteStore({ file: join(desk.dataDir, 'store.db') })
  const log = sqliteEventLog({ file: join(desk.dataDir, 'events.db'), clock, log: silent })
  mkdirSync(join(desk.dataDir, 'objects'))
  const blobs = fileBlobs({ dir: join(desk.dataDir, 'objects'), clock, ids })
  onTestFinished(async () => {
    await store.close()
    await log.close()
  })
  await seedFirstStart(store, { domain: 'mail.localhost', now: NOW })
  return { ...desk, store, log, blobs }
}

function collector(isTTY: boolean) {
  const chunks: Buffer[] = []
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk))
      done()
    },
  })
  return { sink: Object.assign(sink, { isTTY, columns: 100 }), bytes: () => Buffer.concat(chunks) }
}

function contextOf(dataDir: string, options: RunOptions & { out: Writable; err: Writable }): Context {
  const environment = { DATA_DIR: dataDir, ...options.environment }
  const opened: { close(): Promise<void> }[] = []
  const there = (name: string): string => {
    const path = join(dataDir, name)
    if (existsSync(path)) return path
    throw new CliError('unavailable', `there is no ${name} yet`)
  }
  const kept = <T extends { close(): Promise<void> }>(engine: T): T => {
    opened.push(engine)
    return engine
  }
  return {
    version: '0.0.0',
    environment,
    config: () => loadConfig(environment),
    engines: {
      store: async (access) => kept(await openSqliteStore({ file: there('store.db'), readOnly: access === 'read' })),
      log: async (access) =>
        kept(sqliteEventLog({ file: there('events.db'), clock, log: silent, readOnly: access === 'read' })),
      topics: async () => {
        throw new CliError('usage', 'the event log is not Kafka')
      },
      schema: async () => ({
        pending: () => pendingSqliteSteps(join(dataDir, 'store.db')),
        migrate: async () => (await openSqliteStore({ file: join(dataDir, 'store.db') })).close(),
      }),
      blobs: async () => fileBlobs({ dir: there('objects'), clock, ids }),
      parsers: async () => {
        const workRoot = mkdtempSync(join(tmpdir(), 'cli-work-'))
        const limits = { partsMax: 1000, depthMax: 100, headerBytesMax: 1024 * 1024 }
        const around = { clock, log: silent, registry: new Registry(), workRoot }
        const parsers = parserPool({
          ...around,
          processes: 1,
          deadlineMs: 20_000,
          memoryMaxBytes: 384 * 1024 * 1024,
          limits,
        })
        const close = async () => {
          await parsers.close()
          rmSync(workRoot, { recursive: true, force: true })
        }
        return kept({ parsers, workDir: join(workRoot, 'messages'), close })
      },
      scanner: async () => {
        const { scannerUrl: place, scannerTimeoutMs: timeoutMs } = loadConfig(environment)
        return place && clamdScanner({ place, timeoutMs, connectionsMax: 1, streamMaxBytes: 1e6, clock })
      },
      spool: { fs: nodeFs(), dir: join(dataDir, 'spool') },
      close: async () => {
        for (const engine of opened) await engine.close()
      },
      ...options.engines,
    },
    clock: options.clock ?? clock,
    ids,
    random: randomBytes,
    streams: { input: Readable.from([Buffer.from(options.input ?? '')]), out: options.out, err: options.err },
    signal: options.signal ?? new AbortController().signal,
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export function envelopeFor(entryId: string, tenants: readonly string[] = ['acme']): Envelope {
  return {
    entryId,
    source: 'EMAIL',
    receivedAt: new Date(NOW).toISOString(),
    client: { address: '192.0.2.1', port: 40_000, helo: 'relay.example' },
    mailFrom: 'ann@example.org',
    recipients: tenants.map((tenant) => ({
      address: `orders+${tenant}@mail.localhost`,
      tenant,
      mailbox: `orders+${tenant}@mail.localhost`,
    })),
    smtpUtf8: false,
    body: '7BIT',
    traceparent: `00-${sha256(Buffer.from(entryId)).slice(0, 32)}-b7ad6b7169203331-01`,
    traceHeaders: { returnPath: 'Return-Path: <ann@example.org>\r\n', received: `Received: by test id ${entryId}\r\n` },
  }
}

/** Puts an entry into the spool, as the SMTP listener does. */
export async function spooled(
  desk: Pick<Desk, 'dataDir'>,
  entryId: string,
  bytes: Buffer,
  tenants?: readonly string[],
): Promise<void> {
  mkdirSync(desk.dataDir, { recursive: true })
  const writer = await openWriter({ fs: nodeFs(), dir: join(desk.dataDir, 'spool'), clock, random: randomBytes })
  const draft = writer.begin(entryId)
  await draft.write(bytes)
  await draft.commit(envelopeFor(entryId, tenants))
  await writer.close()
}

export interface Kept {
  id: string
  entryId: string
  traceId: string
  raw: Buffer
}

/** A message with its rows, objects and events, as the indexer leaves it. */
export async function indexed(
  desk: Desk,
  change: Partial<Message> = {},
  file?: { filename: string; content: Buffer },
): Promise<Kept> {
  const { entryId = ids.entryId(), tenant = 'acme' } = change
  const envelope = envelopeFor(entryId, [tenant])
  const raw = Buffer.from(`Subject: ${entryId}\r\n\r\nhello\r\n`)
  const id = messageId(entryId, tenant)
  const keys = objectKeys(tenant, envelope.receivedAt, id)
  const traceId = envelope.traceparent.split('-')[1] ?? ''
  const facts = { messageId: id, entryId, tenant, sizeBytes: raw.length, sha256: sha256(raw), rawKey: keys.raw }
  const { entryId: _, tenant: __, ...meta } = facts
  await put(desk.blobs, keys.raw, raw)
  const whole: MessageMeta = { version: 1, tenant, envelope, ...meta }
  await put(desk.blobs, keys.meta, Buffer.from(JSON.stringify(whole)))
  const row = { ...rowOf({ id, entryId, tenant, traceId, raw, keys }), ...change }
  const document = file && {
    id: ids.entryId(),
    messageId: id,
    tenant,
    ordinal: 0,
    filename: file.filename,
    contentType: 'text/csv',
    sizeBytes: file.content.length,
    sha256: sha256(file.content),
    key: `${tenant}/attachments/${sha256(file.content)}`,
  }
  if (file !== undefined && document !== undefined) await put(desk.blobs, document.key, file.content)
  await desk.store.transaction(async (tx) => {
    await saveMessage(tx, { ...row, attachmentCount: document === undefined ? 0 : 1 })
    await addDocuments(tx, document === undefined ? [] : [document])
  })
  await desk.log.append([receivedOf(facts, envelope, keys.meta)])
  return { id, entryId, traceId, raw }
}

export function receivedOf(
  facts: { messageId: string; entryId: string; tenant: string; sizeBytes: number; sha256: string; rawKey: string },
  { receivedAt, traceparent }: Envelope,
  metaKey: string,
): MailEvent<'ingest.received'> {
  const data = { ...facts, metaKey, source: 'EMAIL', receivedAt, recipientCount: 1, senderDomain: 'example.org' }
  return makeEvent('ingest.received', { source: '/ingest/test/uploaderd', time: receivedAt, traceparent, data })
}

export function rowOf(of: {
  id: string
  entryId: string
  tenant: string
  traceId: string
  raw: Buffer
  keys: { raw: string; meta: string }
}) {
  const mailbox = `orders+${of.tenant}@mail.localhost`
  return {
    id: of.id,
    entryId: of.entryId,
    tenant: of.tenant,
    mailbox,
    recipients: [{ address: mailbox, mailbox }],
    source: 'EMAIL',
    status: 'PARSED' as const,
    reason: null,
    detail: null,
    headerMessageId: `<${of.entryId}@example.org>`,
    syntheticBase: null,
    duplicateOf: null,
    forced: false,
    threadId: null,
    subject: 'Hello',
    from: [{ name: 'Ann', address: 'ann@example.org' }],
    to: [{ name: '', address: mailbox }],
    cc: [],
    date: null,
    receivedAt: NOW,
    indexedAt: NOW + 40,
    sizeBytes: of.raw.length,
    sha256: sha256(of.raw),
    traceId: of.traceId,
    rawKey: of.keys.raw,
    metaKey: of.keys.meta,
    mailFrom: 'ann@example.org',
    clientAddress: '192.0.2.1',
    snippet: 'hello',
    flags: [],
    parser: 'test-1',
    attachmentCount: 0,
    contentHash: null,
  }
}

const put = (blobs: BlobStore, key: string, bytes: Buffer) =>
  blobs.put(key, {
    sizeBytes: bytes.length,
    sha256: sha256(bytes),
    contentType: 'application/octet-stream',
    open: () => Readable.from([bytes]),
  })
