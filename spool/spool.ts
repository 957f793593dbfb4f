// Package spool keeps accepted mail on disk until it is safe elsewhere.
//
// The frame in the log is the only commit point: commit() resolves after the fdatasync that covers its frame, never before. A body of up
// to inlineBytesMax is in the frame; a larger one is in a file of its own, which is durable together with its name before a frame
// names it.
//
// Invariant: once commit() has resolved, entries() yields that entry, complete and identical, after any crash, until done(id) or
// setAside(id) has resolved. It may be yielded again after that: deletes are not durable, so the next stage must be idempotent by id.
// An entry whose commit() was rejected, or cut off by a crash, may be yielded or not; it is never partial.
//
// One writer and one reader, each under its lock, in one process or in two. The order of calls:
//
//   writer: reserve (or check) -> begin -> write ... -> commit | abort -> release
//   reader: entries -> open ... -> done | setAside
//
// Beside entries the log carries notes: facts that are worth a line and no sync. They are read in order with the entries and done like them;
// a crash may take those that no later commit covers, and they give way long before mail does.
//
// Errors are SpoolError with a fault of a closed set. `full` passes when space is freed and the entry is not in the log. `poisoned` (a
// failed write, cut, fsync or close) ends writing until a restart has verified the log; fsync is never tried again after it failed.
//
// On disk, below the directory:
//
//   log/<sequence>-<salt>.seg   frames; only the newest is appended to, and a writer never appends to a segment of an earlier start
//   large/<id>                  bodies of their own
//   aside/                      what could not be handed on, each with a reason; the spool never deletes there
//   reader.pos                  what is done; losing it means only doing work again
//   writer.lock, reader.lock    locks that end with their process
//
// Recovery (openWriter) and the reader believe nothing that fails its checksum. A torn tail is cut only off the newest segment, and a
// copy is kept in aside/; other bad bytes are copied there and reading goes on at the next valid frame. A segment of an unknown format
// version is left alone. The writer deletes nothing that it has acknowledged; the reader alone removes what is done.
export type {
  Draft,
  Receipt,
  ReaderStats,
  RecoveryOutcome,
  Reservation,
  SpoolClock,
  SpoolEntry,
  SpoolNote,
  SpoolObserver,
  SpoolOptions,
  SpoolReader,
  SpoolStats,
  SpoolWriter,
} from './contract.ts'
export { SpoolError, type SpoolFault } from './fault.ts'
export { nodeFs, type Fs } from './fs.ts'
export { LIMITS, type SpoolLimits } from './limits.ts'
export { openReader } from './reader.ts'
export { openWriter } from './writer.ts'
export { inspect, type AsideEntry, type Finding, type InspectedEntry, type Inspection } from './inspect.ts'
