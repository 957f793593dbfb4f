// The types of the spool's face; spool.ts has the contract in prose.
import type { Readable } from 'node:stream'
import type { Fs } from './fs.ts'
import type { SpoolLimits } from './limits.ts'

/** The time that the spool needs, in milliseconds. */
export interface SpoolClock {
  now(): number
  monotonic(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** What recovery found: an entry to hand on again, something never acknowledged, or bytes that fail their checksum. */
export type RecoveryOutcome = 'requeued' | 'partial' | 'corrupt'

/** Told as it happens; must not throw and must return at once. */
export interface SpoolObserver {
  /** One fsync or fdatasync of the commit path took `ms`. */
  fsync(ms: number): void
  /** At openWriter, once for each outcome. */
  recovered(outcome: RecoveryOutcome, count: number): void
  /** So many entries have become durable, or notes readable. A reader in the same process is woken from here. */
  committed(entries: number): void
  /** So many notes that note() took were dropped after all. */
  notesDropped(notes: number): void
  /** The writer takes nothing more until a restart. */
  poisoned(error: Error): void
  /** Something on disk is not as it should be; `what` is a sentence with file and offset. */
  damaged(what: string): void
}

export interface SpoolOptions {
  fs: Fs
  /** Its parent must exist. Everything below it belongs to the spool. */
  dir: string
  clock: SpoolClock
  /** So many unpredictable bytes: the salt that keeps bytes inside a mail from passing for a frame. node:crypto randomBytes fits. */
  random: (bytes: number) => Uint8Array
  observe?: Partial<SpoolObserver>
  limits?: Partial<SpoolLimits>
}

export interface Reservation {
  readonly bytes: number
  /** Gives the space back to the ledger; idempotent. */
  release(): void
}

export interface Receipt {
  id: string
  sizeBytes: number
  /** Of the body; hex. */
  sha256: string
}

export interface Draft {
  /** Takes the next bytes of the body and keeps the chunk: its memory must not be reused. One at a time: await each. */
  write(chunk: Uint8Array): Promise<void>
  /** What was written so far, for who wants to look at it before `commit`; between calls, which wait for its end. */
  content(): AsyncIterable<Uint8Array>
  /** Resolves after the fdatasync that covers the entry's frame: only then is it acknowledged. `envelope` is JSON-serialisable. */
  commit(envelope: object): Promise<Receipt>
  /** Drops what was written, after a call that is under way. Idempotent; does nothing after commit. */
  abort(): Promise<void>
}

export interface SpoolStats {
  poisoned: boolean
  /** Low on space: new mail is refused until freeResumeBytes are free. */
  short: boolean
  freeBytes: number
  capacityBytes: number
  reservedBytes: number
  committedMessages: number
  /** Frames that wait for the next write. */
  queuedMessages: number
  segment: string | undefined
}

export interface SpoolWriter {
  /** Takes `bytes` of space from the ledger before a body is read. Rejects `full`, `poisoned`, `closed` or `mounted`. */
  reserve(bytes: number): Promise<Reservation>
  /** Would `bytes` fit now? Holds nothing. Rejects like reserve(). */
  check(bytes: number): Promise<void>
  /** A body on its way in. `id` is a UUID in lower case that was never used before; throws TypeError for anything else. */
  begin(id: string): Draft
  /**
   * Takes a small fact along in the log, in order with the entries, without a sync: a crash may take it, and nobody waits for it. Any JSON of
   * at most noteBytesMax; RangeError beyond that. False: dropped, since the disk is not far from full, or notes wait already, or nothing is
   * written any more.
   */
  note(id: string, note: object): boolean
  stats(): SpoolStats
  /** Refuses new work, waits for commits under way, unlocks. Idempotent. */
  close(): Promise<void>
}

export interface SpoolEntry {
  id: string
  envelope: unknown
  sizeBytes: number
  /** Of the body; hex. */
  sha256: string
  /** Wall clock of the commit, milliseconds since 1970. */
  receivedAt: number
  /** The bytes as received. The last chunk is held back until length and SHA-256 match: a mismatch destroys the stream with `damaged`. */
  open(): Readable
  /** The same, checked, where it was in memory anyway: a small body that entries() gives. Who keeps the entry for long lets go of it. */
  bytes?: Buffer | undefined
}

/** What note() took. */
export interface SpoolNote {
  id: string
  note: unknown
  /** Wall clock of note(), milliseconds since 1970. */
  receivedAt: number
}

export interface ReaderStats {
  /** Entries in the log that are not done, also those that have not been yielded yet; no notes, here and below. */
  pendingMessages: number
  pendingBytes: number
  /** Wall clock of the oldest entry yielded and not done, milliseconds since 1970. */
  oldestReceivedAt: number | undefined
  asideMessages: number
}

export interface SpoolReader {
  /** Follows the log in order until `signal` aborts, then ends without error. One iteration at a time. Rejects `poisoned` or `closed`. */
  entries(signal: AbortSignal): AsyncIterable<SpoolEntry | SpoolNote>
  /** Cuts the wait at the end of the log short. */
  wake(): void
  /** The next stage holds it durably. Resolves also if unknown. */
  done(id: string): Promise<void>
  /** Moves the entry durably to aside/ with the reason, then it counts as done. Resolves also if unknown. */
  setAside(id: string, reason: string): Promise<void>
  stats(): ReaderStats
  /** Writes the position and unlocks. Idempotent. */
  close(): Promise<void>
}
