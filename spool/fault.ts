// What can go wrong in the spool: a closed set, so that a caller's table from fault to reply can be complete.

/**
 * `full`: short of space (or of file handles); passes when some is freed. `poisoned`: a write or fsync failed, so nothing more is taken
 * until a restart verifies the log. `locked`: another process has it. `closed`: after close(). `damaged`: bytes do not match their
 * checksum. `mounted`: the directory is no longer the one that was opened.
 */
export type SpoolFault = 'full' | 'poisoned' | 'locked' | 'closed' | 'damaged' | 'mounted'

/** Every rejection of the spool that is not a bug of the caller. The text is for people; decide by `fault`. */
export class SpoolError extends Error {
  readonly fault: SpoolFault

  constructor(fault: SpoolFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'SpoolError'
    this.fault = fault
  }
}

/** The errno name of a file system error, or '' for anything else. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** No space: the one kind of write error after which the file still is what it was before the write, apart from its tail. */
export function isNoSpace(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** A file could not be opened for want of something that will be there again later; nothing was written. */
export function isShortage(error: unknown): boolean {
  const code = codeOf(error)
  return isNoSpace(error) || code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM'
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

/** A plain sentence of any thrown value, for the text of a SpoolError. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
