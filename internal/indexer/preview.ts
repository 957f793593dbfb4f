// What a replay would change: each message is read, parsed and applied as the indexer does it, in a transaction that is always
// taken back. Nothing is told, no attachment is put. Each message is compared by itself with the rows as they are now.

import { Registry } from '@prometheus-io/client'
import type { BlobStore } from '../blob/blob.ts'
import type { ParserPool } from '../message/message.ts'
import { UNTRACED, type Clock } from '../ports/ports.ts'
import {
  documentsOf,
  findMessage,
  hold,
  isUnavailable,
  messageName,
  type Document,
  type Message,
  type Store,
  type Tx,
} from '../store/store.ts'
import { applyJudgement, type Applied, type Applying, isForced } from './apply.ts'
import { failure } from './failures.ts'
import { examine, type ExamineParts } from './examine.ts'
import type { Judgement, Received } from './facts.ts'
import { indexerMetrics } from './metrics.ts'
import { Pace } from './pace.ts'
import type { Scanning } from './scan.ts'
import { select, type Found, type ReplaySelector, type SelectionParts } from './selection.ts'
import { noProgress, Outage } from './trouble.ts'
import { pause, pauseMs, Stopped } from './waiting.ts'

export interface PreviewParts extends SelectionParts {
  blobs: BlobStore
  parsers: Pick<ParserPool, 'parse'>
  scanning?: Scanning
  /** Below the parsers' work root; each message gets a directory in it that goes again. */
  workDir: string
  clock: Clock
  /** The indexer's tries after the first: how often a message that fails would have been tried. */
  retries: number
}

export interface PreviewOptions {
  selector: ReplaySelector
  force?: 'duplicate'
  /** Most messages compared. */
  limit?: number
  /** Messages each second. */
  perSecond: number
  signal: AbortSignal
}

/** A field of the row, or its documents, before and after. */
export interface FieldChange {
  field: string
  before: unknown
  after: unknown
}

export interface Preview {
  messageId: string
  /** `new`: it has no row yet. `kept`: another try would fail and the rows stay. `gone`: there is nothing to tell it from. */
  outcome: 'same' | 'changed' | 'new' | 'kept' | 'gone'
  /** Of `kept` and `gone`: why. */
  why?: string
  changes: FieldChange[]
  /** Other messages that change with it. */
  others: { messageId: string; becomes: string }[]
}

/** Tries of one transaction that another process is in the way of. */
const TRIES_MAX = 5

/**
 * One message after the other. Ends early when `signal` aborts. Rejects with Outage when the objects or the parser are out of
 * reach, and with `unavailable` when the store is. The store must be open for writing: its transactions are begun, never committed.
 */
export async function* previewReplay(parts: PreviewParts, options: PreviewOptions): AsyncGenerator<Preview> {
  const { selector, force, perSecond, signal, limit = Number.POSITIVE_INFINITY } = options
  // What this process counts, nobody reads.
  const examining: ExamineParts = {
    ...parts,
    metrics: indexerMetrics(new Registry(), {}),
    progress: noProgress(),
    tracer: UNTRACED,
    signal,
  }
  const pace = new Pace(parts.clock, perSecond)
  let count = 0
  try {
    for await (const found of select(parts, selector)) {
      if ((count += 1) > limit) return
      await pace.take(1, signal)
      yield await previewOf(parts, examining, { found, force })
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  }
}

async function previewOf(
  parts: PreviewParts,
  examining: ExamineParts,
  { found, force }: { found: Found; force: 'duplicate' | undefined },
): Promise<Preview> {
  const { messageId, event } = found
  if (event === undefined) return { messageId, outcome: 'gone', why: 'it cannot be found', changes: [], others: [] }
  const forced = force ?? event.replay?.force
  const marked: Received = { ...event, replay: { id: 'dry-run', ...(forced !== undefined && { force: forced }) } }
  const applying = { event: marked, now: parts.clock.now(), source: parts.source }
  const released = isForced(await findMessage(parts.store, messageId), marked)
  const judgement = await judge(examining, marked, { retries: parts.retries, released })
  try {
    return await tried(parts, examining.signal, { ...applying, judgement })
  } catch (error) {
    if (isUnavailable(error) || error instanceof Stopped) throw error
    return tried(parts, examining.signal, { ...applying, judgement: failure(error, parts.retries + 1) })
  }
}

async function judge(
  examining: ExamineParts,
  event: Received,
  { retries, released }: { retries: number; released: boolean },
): Promise<Judgement> {
  try {
    const judgement = await examine(examining, {
      event,
      attempt: 1,
      released,
      keep: async () => false,
      within: event.traceparent,
    })
    // The attachments are not put, yet it is judged as if they were.
    return judgement.kind === 'parsed' ? { ...judgement, uploaded: true } : judgement
  } catch (error) {
    if (error instanceof Stopped || error instanceof Outage || examining.signal.aborted) throw error
    return failure(error, retries + 1)
  }
}

/** Takes a transaction back, with what was seen in it. */
class Undone extends Error {
  readonly seen: Seen

  constructor(seen: Seen) {
    super('taken back')
    this.seen = seen
  }
}

interface Seen {
  before: Snapshot | undefined
  after: Snapshot | undefined
  applied: Applied
}

type Snapshot = Message & { documents: Document[] }

async function tried({ store, clock }: PreviewParts, signal: AbortSignal, applying: Applying): Promise<Preview> {
  for (let tries = 1; ; tries++) {
    try {
      return compared(applying, await undone(store, applying))
    } catch (error) {
      if (!isUnavailable(error) || tries >= TRIES_MAX) throw error
      await pause(clock, pauseMs(tries, applying.event.data.messageId), signal)
    }
  }
}

async function undone(store: Store, applying: Applying): Promise<Seen> {
  const { messageId } = applying.event.data
  try {
    await store.transaction(async (tx) => {
      await hold(tx, [messageName(messageId)])
      const before = await snapshot(tx, messageId)
      const applied = await applyJudgement(tx, applying)
      throw new Undone({ before, applied, after: await snapshot(tx, messageId) })
    })
  } catch (error) {
    if (error instanceof Undone) return error.seen
    throw error
  }
  throw new TypeError('a transaction that always throws has ended well')
}

async function snapshot(tx: Tx, messageId: string): Promise<Snapshot | undefined> {
  const row = await findMessage(tx, messageId)
  return row && { ...row, documents: await documentsOf(tx, [messageId]) }
}

function compared({ event, judgement }: Applying, { before, after, applied }: Seen): Preview {
  const { messageId } = event.data
  if (applied.result !== 'applied') {
    const why =
      judgement.kind === 'parsed' ? 'it was applied before' : `${judgement.reason}: ${judgement.detail.message}`
    return { messageId, outcome: 'kept', why, changes: [], others: [] }
  }
  const changes = changesBetween(before, after)
  const outcome = before === undefined ? 'new' : changes.length === 0 ? 'same' : 'changed'
  const others = applied.told.flatMap((told) => {
    if (told.subject === messageId) return []
    const becomes = told.type === 'indexer.indexed' ? told.data.status : 'indexed again'
    return [{ messageId: told.subject, becomes }]
  })
  return { messageId, outcome, changes, others }
}

/** Of a message that has no row yet, what it would be at a glance. */
const AT_A_GLANCE = ['status', 'reason', 'subject'] as const
/** When a row was written is no difference. */
const UNCOMPARED = new Set(['id', 'indexedAt'])

/** The fields in which two rows differ. */
export function changesBetween(before: Snapshot | undefined, after: Snapshot | undefined): FieldChange[] {
  if (after === undefined) return []
  if (before === undefined) return AT_A_GLANCE.map((field) => ({ field, before: null, after: after[field] }))
  return (Object.keys(after) as (keyof Snapshot)[])
    .filter((field) => !UNCOMPARED.has(field) && JSON.stringify(before[field]) !== JSON.stringify(after[field]))
    .map((field) => ({ field, before: before[field], after: after[field] }))
}
