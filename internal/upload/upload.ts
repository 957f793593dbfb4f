// Package upload takes entries out of the spool: the objects of each message to the object store, then its events to the log,
// and only then is the spool told to let go.
//
// Keys and event ids derive from the entry, so a stage that was stopped anywhere does the same again and nothing is there twice.
// Order within an entry: bytes, envelope, events, done. What fails is tried for ever; the spool's bound holds the mail meanwhile.
// Only an entry that no further try can mend is set aside, so that it pins nothing: one of ASIDE.

import { createHash, hash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Registry } from '@prometheus-io/client'
import { BlobError, type BlobStore, type Upload, type Verified } from '../blob/blob.ts'
import { traceIdOf, withEnvelope } from '../envelope/envelope.ts'
import { makeEvent, type EventLog, type MailEvent } from '../eventlog/eventlog.ts'
import { traced, UNTRACED, type Clock, type Log, type Tracer } from '../ports/ports.ts'
import { SpoolError } from '../../spool/spool.ts'
import { Stopped, target, type Target } from './backoff.ts'
import { inHand, metrics, type EntriesNow, type InHand, type TargetName } from './metrics.ts'
import { parcelsOf, type Parcel } from './parcel.ts'
import { publisher, type Publish } from './publisher.ts'
import { refusalLane, type Note, type RefusalLane } from './refusals.ts'

/** One accepted transaction, as the spool gives it. */
export interface Entry {
  id: string
  envelope: unknown
  sizeBytes: number
  /** Hex. */
  sha256: string
  /** Milliseconds since 1970. */
  receivedAt: number
  /** May be called again; the stream fails if the bytes are not those of `sha256`. */
  open(): Readable
  /** The same where it is small, checked, for the first try of each put; let go when the objects are there. */
  bytes?: Buffer | undefined
}

/** The part of the spool's reader that the uploader needs. */
export interface Entries {
  entries(signal: AbortSignal): AsyncIterable<Entry | Note>
  done(id: string): Promise<void>
  setAside(id: string, reason: string): Promise<void>
  stats(): EntriesNow
}

export interface UploaderOptions {
  reader: Entries
  blobs: BlobStore
  log: Pick<EventLog, 'append'>
  clock: Clock
  logger: Log
  registry: Registry
  tracer?: Tracer
  /** Entries on their way to the object store at one time; those that wait for the log do not count. */
  concurrency: number
  /** Longest pause between two tries, milliseconds. */
  retryMaxMs: number
  /** `source` of the events: `/ingest/<deployment>/uploaderd`. */
  source: string
}

export interface Uploader {
  /** Carries entries until `signal` aborts; what is under way then ends its step, or is given up after 3 s, and stays in the spool. Rejects on bugs and when the spool cannot be read. */
  run(signal: AbortSignal): Promise<void>
  /** What has kept failing for TROUBLE_MS, for people. */
  problem(): string | undefined
}

/** A target that fails for so long, milliseconds, is trouble; before that it is a restart or an election. */
const TROUBLE_MS = 10_000

/** Entries that have their objects and wait for the log, a few KiB each: while it is away objects are put all the same. */
const PUBLISHING_MAX = 4096

/** Why an entry is set aside. */
export const ASIDE = {
  envelope: 'its envelope cannot be read',
  damaged: 'its bytes are not those that were accepted',
} as const
type AsideReason = keyof typeof ASIDE

/** No further try mends this entry. */
class Hopeless extends Error {
  readonly reason: AsideReason

  constructor(reason: AsideReason, cause: unknown) {
    super((cause as Error).message, { cause })
    this.reason = reason
  }
}

/** The stage; `run` it. */
export function uploader(options: UploaderOptions): Uploader {
  const hand = inHand()
  const gauges = metrics(options.registry, () => hand.now(options.reader.stats()))
  const failing = new Map<TargetName, { since: number; message: string }>()
  const failed = (name: TargetName, error: Error | undefined) => {
    gauges.failed(name, error)
    const since = failing.get(name)?.since ?? options.clock.monotonic()
    // No reason to call a stage unready that carries mail.
    if (error === undefined || name === 'refusals') failing.delete(name)
    else failing.set(name, { since, message: error.message })
  }
  return {
    problem() {
      const now = options.clock.monotonic()
      const lasting = [...failing].filter(([, { since }]) => now - since >= TROUBLE_MS)
      const texts = lasting.map(([name, { since, message }]) => {
        return `${name} fails since ${Math.round((now - since) / 1000)} s: ${message}`
      })
      return texts.length === 0 ? undefined : texts.join('; ')
    },
    async run(signal) {
      const stop = new AbortController()
      const abort = () => stop.abort()
      signal.addEventListener('abort', abort, { once: true })
      if (signal.aborted) abort()
      const { clock, logger: log, retryMaxMs } = options
      const reachable = (name: TargetName) =>
        target({
          name,
          clock,
          log,
          retryMaxMs,
          signal: stop.signal,
          failed: (error) => failed(name, error),
          waiting: (id, waits) => hand.waiting(id, waits),
        })
      const publish = publisher(options.log, reachable('eventlog'))
      try {
        const spool = reachable('spool')
        const failures: unknown[] = []
        const refusals = refusalLane({
          ...options,
          target: reachable('refusals'),
          done: (id) => spool.reach(id, () => options.reader.done(id)),
          failed: (error) => {
            failures.push(error)
            stop.abort()
          },
        })
        await carryAll({ options, hand, stop, failures, store: reachable('objectstore'), spool, publish, refusals })
      } finally {
        signal.removeEventListener('abort', abort)
      }
    },
  }
}

/** One run of the stage. */
interface Run {
  options: UploaderOptions
  hand: InHand
  stop: AbortController
  /** What no further try mends; the first ends the run. */
  failures: unknown[]
  store: Target
  spool: Target
  publish: Publish
  refusals: RefusalLane
}

async function carryAll(run: Run): Promise<void> {
  const { options, stop, hand, failures, refusals } = run
  const underWay = new Set<Promise<void>>()
  /** Those of them whose objects are not put yet. */
  const putting = new Set<Promise<void>>()
  const begin = (entry: Entry) => {
    const { promise: put, resolve: isPut } = Promise.withResolvers<void>()
    putting.add(put)
    void put.then(() => putting.delete(put))
    const task = (async () => {
      hand.take(entry.id, entry.receivedAt)
      try {
        await carry(run, entry, isPut)
      } catch (error) {
        if (error instanceof Stopped) return
        failures.push(error)
        stop.abort()
      } finally {
        isPut()
        hand.leave(entry.id)
      }
    })()
    underWay.add(task)
    void task.then(() => underWay.delete(task))
  }
  try {
    for await (const entry of options.reader.entries(stop.signal)) {
      if ('note' in entry) refusals.offer(entry)
      else begin(entry)
      if (putting.size >= options.concurrency) await Promise.race(putting)
      if (underWay.size >= options.concurrency + PUBLISHING_MAX) await Promise.race(underWay)
      if (stop.signal.aborted) break
    }
  } catch (error) {
    failures.push(error)
    stop.abort()
  }
  // Nobody works on after run() has ended.
  await Promise.all(underWay)
  await refusals.ended()
  if (failures.length > 0) throw failures[0]
}

/** Takes an entry all the way; `isPut` is called when it has its objects and waits for the log, if anything. */
async function carry(run: Run, entry: Entry, isPut: () => void): Promise<void> {
  const { reader, logger } = run.options
  const { sizeBytes, sha256 } = entry
  try {
    const events: MailEvent[] = []
    const all = parcels(entry, run.options.source)
    if (all.length === 0) logger.info({ entryId: entry.id, sizeBytes, sha256 }, 'mail to nobody let go')
    for (const parcel of all) events.push(...(await stored(run, entry, parcel)))
    unlessStopped(run)
    // Thousands may wait for the log.
    entry.bytes = undefined
    isPut()
    await published(run, entry.id, events)
    await run.spool.reach(entry.id, () => reader.done(entry.id))
  } catch (error) {
    if (!(error instanceof Hopeless)) throw error
    const { reason, message } = error
    logger.error({ entryId: entry.id, reason, error: message }, 'entry set aside')
    await run.spool.reach(entry.id, () => reader.setAside(entry.id, reason))
  }
}

/** One append for all; each message's trace shows it. */
async function published({ options, publish }: Run, id: string, events: readonly MailEvent[]): Promise<void> {
  const { tracer = UNTRACED } = options
  const received = events.filter(({ type }) => type === 'ingest.received')
  const spans = received.map(({ traceparent }) => tracer.span('publish', traceparent))
  await traced(spans, () => publish(id, events))
}

function inSpan<T>({ options }: Run, name: string, { traceparent }: MailEvent, work: () => Promise<T>): Promise<T> {
  return traced((options.tracer ?? UNTRACED).span(name, traceparent), work)
}

function parcels(entry: Entry, source: string): Parcel[] {
  try {
    return parcelsOf(entry.envelope, entry, source)
  } catch (error) {
    throw new Hopeless('envelope', error)
  }
}

/** Puts both objects of a message, the bytes first: where an envelope is, its bytes are. Returns the events that say so. */
async function stored(run: Run, entry: Entry, parcel: Parcel): Promise<MailEvent[]> {
  const { clock, logger, source } = run.options
  const { keys, received, tenant, messageId } = parcel
  const began = clock.monotonic()
  const raw = await inSpan(run, 'put object', received, () =>
    putVerified(run, keys.raw, entry, rawUpload(entry, parcel)),
  )
  await inSpan(run, 'put object', received, () => putVerified(run, keys.meta, entry, metaUpload(parcel)))
  const durationMs = Math.max(0, clock.monotonic() - began)
  const { sizeBytes } = entry
  const traceId = traceIdOf(received.traceparent)
  logger.info({ entryId: entry.id, messageId, tenant, traceId, sizeBytes, durationMs }, 'message stored')
  const uploaded = makeEvent('objectstore.uploaded', {
    source,
    time: new Date(clock.now()).toISOString(),
    traceparent: received.traceparent,
    data: {
      messageId,
      entryId: entry.id,
      tenant,
      rawKey: keys.raw,
      metaKey: keys.meta,
      etag: raw.etag,
      sizeBytes,
      durationMs,
    },
  })
  return [received, uploaded]
}

const rawUpload = (entry: Entry, { meta, received, messageId, tenant }: Parcel): Upload => ({
  sizeBytes: entry.sizeBytes,
  sha256: entry.sha256,
  contentType: 'message/rfc822',
  metadata: withEnvelope(
    {
      sha256: entry.sha256,
      entryid: entry.id,
      messageid: messageId,
      tenant,
      traceparent: received.traceparent,
    },
    meta,
  ),
  open: () => entry.open(),
  bytes: entry.bytes,
})

const metaUpload = ({ meta, received, messageId, tenant }: Parcel): Upload => ({
  sizeBytes: meta.length,
  sha256: hash('sha256', meta),
  contentType: 'application/json',
  metadata: { messageid: messageId, tenant, traceparent: received.traceparent },
  open: () => Readable.from([meta], { objectMode: false }),
  bytes: meta,
})

/** Puts until what the store says it holds is what was sent. */
function putVerified(run: Run, key: string, entry: Entry, upload: Upload): Promise<Verified> {
  unlessStopped(run)
  const put = async () => {
    try {
      const verified = await run.options.blobs.put(key, upload)
      if (!agrees(verified, upload)) throw new BlobError('digest', `${key}: the store holds other bytes`)
      return verified
    } catch (error) {
      if (isDamage((error as Error).cause)) throw new Hopeless('damaged', error)
      // Whose fault is it? If the spool's bytes are good, the store's are not, and that may pass.
      if (error instanceof BlobError && error.fault === 'digest') {
        await checkSource(entry)
        // What is in memory may have changed there: the next try reads it again.
        upload.bytes = undefined
      }
      throw error
    }
  }
  return run.store.reach(entry.id, put, (error) => error instanceof Hopeless)
}

/** A mark that looks like a SHA-256 is one; other engines verify against marks of their own. */
function agrees({ sizeBytes, etag }: Verified, upload: Upload): boolean {
  return sizeBytes === upload.sizeBytes && (!/^[0-9a-f]{64}$/.test(etag) || etag === upload.sha256)
}

/** Reads the entry once more. Throws Hopeless if its bytes are not those that were accepted. */
async function checkSource(entry: Entry): Promise<void> {
  const hash = createHash('sha256')
  let length = 0
  try {
    for await (const chunk of entry.open()) {
      hash.update(chunk as Uint8Array)
      length += (chunk as Uint8Array).byteLength
    }
  } catch (error) {
    if (isDamage(error)) throw new Hopeless('damaged', error)
    throw error
  }
  if (length === entry.sizeBytes && hash.digest('hex') === entry.sha256) return
  throw new Hopeless('damaged', new Error(`${length} bytes of another digest`))
}

/** The spool says that what it read does not match its checksum. */
const isDamage = (error: unknown): boolean => error instanceof SpoolError && error.fault === 'damaged'

function unlessStopped({ stop }: Run): void {
  if (stop.signal.aborted) throw new Stopped()
}
