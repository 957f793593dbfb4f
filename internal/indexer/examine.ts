// One message read and judged: envelope and bytes from the object store, parsed in a child, attachments put beside them.

import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BlobError, type BlobStore } from '../blob/blob.ts'
import { attachmentKey, POLICY_RULES, type MessageMeta } from '../envelope/envelope.ts'
import type { ParsedAttachment, ParsedMessage, ParseOutcome, ParserPool } from '../message/message.ts'
import { traced, type Clock, type Tracer } from '../ports/ports.ts'
import { policyOf, type IndexFlag, type Judgement, type ParsedJudgement, type Received } from './facts.ts'
import type { IndexerMetrics, Stage } from './metrics.ts'
import { fetchMessage, type RawObject } from './objects.ts'
import { passed, type Passing } from './passing.ts'
import type { Scanner } from '../scanner/scanner.ts'
import { ScanBeside, type Scanned, type Scanning } from './scan.ts'
import { blobTrouble, Fault, Outage, type Progress } from './trouble.ts'
import { Stopped, unlessStopped } from './waiting.ts'

export interface ExamineParts {
  blobs: BlobStore
  parsers: Pick<ParserPool, 'parse'>
  scanning?: Scanning
  clock: Clock
  tracer: Tracer
  metrics: IndexerMetrics
  progress: Progress
  /** Directory in which each message gets one of its own. */
  workDir: string
  signal: AbortSignal
}

export interface Want {
  event: Received
  /** Names the work directory; no two tries at one time have the same. */
  attempt: number
  /** Traceparent of the span that all of this is in. */
  within: string
  /** An operator wants it, whatever the tenant's policy says. */
  released: boolean
  /** Whether the attachments are needed; a duplicate's are not. Asked once the header is known. */
  keep(judged: ParsedJudgement): Promise<boolean>
}

/** Rejects with Outage, Fault or Stopped; whatever the message itself does is a judgement. */
export async function examine(parts: ExamineParts, want: Want): Promise<Judgement> {
  const timed = timer(parts, want.within)
  const { meta, raw } = await timed('fetch', () => fetchMessage(parts, want.event))
  try {
    const policy = policyOf(meta)
    if (policy?.action === 'quarantine' && !want.released) {
      const message = POLICY_RULES[policy.rule]
      return { kind: 'quarantined', meta, reason: 'policy', detail: { message, rule: policy.rule } }
    }
    return await examineBytes(parts, want, { meta, raw, timed })
  } finally {
    raw.close()
  }
}

async function examineBytes(
  parts: ExamineParts,
  want: Want,
  { meta, raw, timed }: { meta: MessageMeta; raw: RawObject; timed: ReturnType<typeof timer> },
): Promise<Judgement> {
  const { event, attempt } = want
  const { progress } = parts
  const workDir = join(parts.workDir, `${event.data.messageId}-${attempt}`)
  try {
    const known = scannedBefore(parts, event, meta)
    const scanner = known === undefined ? parts.scanning?.scanner : undefined
    const { outcome, scanned } = await timed('parse', () => parse(parts, event, { meta, raw, workDir, scanner }))
    progress.read += 1
    progress.parse += 1
    const scan = known ?? (scanned && (await timed('scan', () => unlessStopped(scanned, parts.signal))))
    if (scanned !== undefined && scan?.verdict !== 'down') progress.scan += 1
    if (scan?.verdict === 'infected') {
      const { signature } = scan
      return { kind: 'quarantined', meta, reason: 'malware', detail: { message: `malware: ${signature}`, signature } }
    }
    if (scan?.verdict === 'down' && parts.scanning?.down === 'defer') {
      throw new Outage('scan', `malware scanner: ${scan.error.message}`, { cause: scan.error })
    }
    if (!outcome.ok) {
      const { reason, detail } = outcome
      return { kind: 'quarantined', meta, reason, detail: { message: detail } }
    }
    const flags = flagsOf(outcome.message, scan)
    const judged = { kind: 'parsed', meta, message: outcome.message, flags, uploaded: true } as const
    if (!(await want.keep(judged))) return { ...judged, uploaded: false }
    const { attachments } = outcome.message
    const stored = await timed('attachments', () => putAttachments(parts, event.data.tenant, attachments))
    if (stored > 0) progress.put += 1
    return judged
  } finally {
    // Most messages leave nothing behind, and this is the quickest way to see it.
    if (existsSync(workDir)) await rm(workDir, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** What was found out before the 250, unless the message is judged afresh and somebody is there to do so. */
const scannedBefore = ({ scanning }: ExamineParts, { replay }: Received, { envelope }: MessageMeta) =>
  replay === undefined || scanning === undefined ? envelope.scan : undefined

function flagsOf({ attachments }: ParsedMessage, scan: Scanned | undefined): IndexFlag[] {
  const unscanned = scan?.verdict === 'down' || scan?.verdict === 'too_large'
  return [
    ...(attachments.length === 0 ? ['no_attachments' as const] : []),
    ...(unscanned ? ['unscanned' as const] : []),
  ]
}

function timer({ clock, metrics, tracer }: ExamineParts, within: string) {
  return async <T>(stage: Stage, work: () => Promise<T>): Promise<T> => {
    const began = clock.monotonic()
    try {
      return await traced(tracer.span(stage, within), work)
    } finally {
      metrics.stageSeconds.observe({ stage }, (clock.monotonic() - began) / 1000)
    }
  }
}

/** What the parser says, and what the scanner will have said. */
interface Read {
  outcome: Exclude<ParseOutcome, { trouble: unknown }>
  scanned: Promise<Scanned> | undefined
}

async function parse(
  { parsers, signal }: ExamineParts,
  { data }: Received,
  { meta, raw, workDir, scanner }: { meta: MessageMeta; raw: RawObject; workDir: string; scanner: Scanner | undefined },
): Promise<Read> {
  const passing: Passing = { digest: undefined, error: undefined }
  let beside: ScanBeside | undefined
  const open = async () => {
    const found = await raw.open()
    if (found === undefined) throw new Fault('object_missing', `no object ${data.rawKey}`, { meta })
    if (scanner !== undefined) beside = new ScanBeside(scanner, signal)
    return passed(found, passing, beside)
  }
  const { sizeBytes } = data
  const outcome = await unlessStopped(parsers.parse({ open, sizeBytes, workDir }), signal)
  if ('trouble' in outcome && outcome.trouble !== 'source') {
    if (outcome.trouble === 'closed' && signal.aborted) throw new Stopped()
    throw new Outage('parse', `parser (${outcome.trouble}): ${outcome.detail}`, { cause: outcome.cause })
  }
  const cause = passing.error ?? ('trouble' in outcome ? outcome.cause : undefined)
  if ('trouble' in outcome && (cause instanceof Fault || cause instanceof BlobError)) {
    if (cause instanceof Fault) throw cause
    blobTrouble(cause, 'read', meta)
  }
  // A verdict on other bytes than were received is no verdict: a bad disk must not look like a bad message.
  const digest = passing.digest ?? (await digestOf(raw, data.rawKey, meta))
  if (digest !== data.sha256) throw new Fault('digest', `${data.rawKey} has other bytes than were received`, { meta })
  if ('trouble' in outcome) throw new Outage('parse', `parser (${outcome.trouble}): ${outcome.detail}`, { cause })
  if (scanner !== undefined && beside === undefined)
    throw new Outage('scan', 'the parser came to a verdict without reading the message')
  return { outcome, scanned: beside?.scanned }
}

/** Of the whole object, for when the parser did not read it to its end. */
async function digestOf(raw: RawObject, key: string, meta: MessageMeta): Promise<string> {
  try {
    const found = await raw.open()
    if (found === undefined) throw new Fault('object_missing', `no object ${key}`, { meta })
    const hash = createHash('sha256')
    for await (const chunk of found.body) hash.update(chunk as Buffer)
    return hash.digest('hex')
  } catch (error) {
    return blobTrouble(error, 'read', meta)
  }
}

/** One object for each content in each tenant: what is there already is not put again. How many were put. */
async function putAttachments(
  { blobs, metrics }: ExamineParts,
  tenant: string,
  attachments: readonly ParsedAttachment[],
): Promise<number> {
  let puts = 0
  for (const { sha256, sizeBytes, contentType, path } of attachments) {
    const key = attachmentKey(tenant, sha256)
    try {
      const there = await blobs.head(key)
      const disposition = there?.sizeBytes === sizeBytes ? 'dedup' : 'stored'
      if (disposition === 'stored') {
        await blobs.put(key, { sizeBytes, sha256, contentType, open: () => createReadStream(path) })
        puts += 1
      }
      metrics.attachments.inc({ disposition })
      metrics.attachmentBytes.inc({ disposition }, sizeBytes)
    } catch (error) {
      blobTrouble(error, 'put')
    }
  }
  return puts
}
