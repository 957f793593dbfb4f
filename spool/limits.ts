// Every bound of the spool, with its unit.
import { ENVELOPE_BYTES_LIMIT } from './frame.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const LIMITS = {
  /** Below this much free disk nothing new is taken. */
  freeMinBytes: 256 * MIB,
  /** Once short, free disk must rise to this before mail is taken again. */
  freeResumeBytes: 512 * MIB,
  freeInodesMin: 1000,
  /** How long one answer of statfs is believed. */
  spaceAgeMs: 100,
  /** A segment that reached this size is followed by a new one. */
  segmentBytes: 64 * MIB,
  /** A larger body gets a file of its own. */
  inlineBytesMax: 256 * KIB,
  envelopeBytesMax: 4 * MIB,
  /** One write and one fdatasync carry at most this much, or one frame. */
  batchBytesMax: 8 * MIB,
  /** A longer note is the caller's bug. */
  noteBytesMax: 16 * KIB,
  /** Notes waiting for their write; past it they are dropped. */
  notesBytesMax: 1 * MIB,
  /** Frames waiting for the committer; past it commit() rejects `full`. */
  queueBytesMax: 128 * MIB,
  /** Entries the reader has yielded that are not done. */
  windowEntries: 1024,
  /** How often the reader looks for more when nobody wakes it. */
  pollMs: 40,
  /** How often the reader counts what waits behind the entries it has handed out. */
  surveyMs: 1000,
  /** How long bytes at the end of the log may take to become a frame, before the reader looks for one behind them. */
  doubtMs: 1000,
  /** How long a done entry may wait for the position file; losing it means only doing work again. */
  positionDelayMs: 200,
}

export type SpoolLimits = typeof LIMITS

/** The defaults with the caller's values; RangeError for a bound that is no whole number of at least 0, or that contradicts another. */
export function limitsOf(given: Partial<SpoolLimits> = {}): SpoolLimits {
  const limits = { ...LIMITS, ...given }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`spool limit ${name} must be a whole number, got ${value}`)
  }
  if (limits.freeResumeBytes < limits.freeMinBytes)
    throw new RangeError('spool limit freeResumeBytes is below freeMinBytes')
  if (limits.windowEntries === 0) throw new RangeError('spool limit windowEntries must be at least 1')
  if (limits.envelopeBytesMax > ENVELOPE_BYTES_LIMIT)
    throw new RangeError('spool limit envelopeBytesMax is more than a reader takes')
  return limits
}
