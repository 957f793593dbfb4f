/** True for what the file system throws: trouble of ours, never of the message. */
export function isFileSystemError(thrown: unknown): thrown is NodeJS.ErrnoException {
  return thrown instanceof Error && 'syscall' in thrown && 'code' in thrown
}
