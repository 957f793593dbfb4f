// Package blob keeps objects: raw messages, their envelopes, attachments. Keys derive from ids, so a put that is repeated
// writes the same bytes to the same place, and puts are unconditional.

import type { Readable } from 'node:stream'

export { BLOB_FAULTS, BlobError, type BlobFault } from './fault.ts'
export { checkKey } from './key.ts'
export { measured } from './measured.ts'

/** What to store. `open` is called once for each try. */
export interface Upload {
  sizeBytes: number
  /** Hex SHA-256 that the bytes must have. */
  sha256: string
  contentType: string
  /** Small string facts kept with the object where the engine can (S3 user metadata). */
  metadata?: Record<string, string>
  open(): Readable
  /** What `open` would give, where the caller has it in memory and knows that it is right: some engines take it from there. */
  bytes?: Buffer | undefined
}

/** An object that is there. */
export interface Stored {
  key: string
  sizeBytes: number
  /** The engine's own mark for this content: the hex MD5 on S3, the hex SHA-256 in a directory. Absent where it would cost a read. */
  etag?: string
  /** Milliseconds since 1970. */
  modifiedAt: number
}

/** An object that is there, with its bytes. */
export interface Found {
  stored: Stored
  body: Readable
  /** All of a small object, where the engine has it in memory: the stream can then be left alone. */
  bytes?: Buffer | undefined
  /** What was put beside it, where the engine keeps that. */
  metadata?: Record<string, string>
}

/** What a put answers: the mark is always known then, since the bytes have just been verified. */
export type Verified = Stored & { etag: string }

/** A place for objects. All errors are `BlobError`, also those of a body; a source stream's own error is the `cause`. */
export interface BlobStore {
  /** Stores durably and verifies what is stored; resolves only then. A digest or length that differs is `BlobError` `digest`. */
  put(key: string, upload: Upload): Promise<Verified>
  /** The object, or undefined if there is none. The caller consumes or destroys its stream, or takes its bytes. */
  get(key: string): Promise<Found | undefined>
  head(key: string): Promise<Stored | undefined>
  /** Every object whose key starts with `prefix`, in key order. */
  list(prefix: string): AsyncIterable<Stored>
  /** Resolves also if there was none. */
  delete(key: string): Promise<void>
}
