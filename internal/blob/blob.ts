// Package blob keeps objects: raw messages, their envelopes, attachments. Keys derive from ids, so a put that is repeated
// writes the same bytes to the same place, and puts are unconditional.

import type { Readable } from 'node:stream'

/** What to store. `open` is called once for each try. */
export interface Upload {
  sizeBytes: number
  /** Hex SHA-256 that the bytes must have. */
  sha256: string
  contentType: string
  /** Small string facts kept with the object where the engine can (S3 user metadata). */
  metadata?: Record<string, string>
  open(): Readable
}

/** An object that is there. */
export interface Stored {
  key: string
  sizeBytes: number
  /** The engine's own mark for this content: the hex MD5 on S3, the hex SHA-256 in a directory. */
  etag: string
  modifiedAt: number
}

/** A place for objects. All errors are `BlobError`. */
export interface BlobStore {
  /** Stores durably and verifies what is stored; resolves only then. A digest or length that differs is `BlobError` `digest`. */
  put(key: string, upload: Upload): Promise<Stored>
  /** The object's bytes as a stream, or undefined if there is none. The caller consumes or destroys the stream. */
  get(key: string): Promise<{ stored: Stored; body: Readable } | undefined>
  head(key: string): Promise<Stored | undefined>
  /** Every object whose key starts with `prefix`, in key order. */
  list(prefix: string): AsyncIterable<Stored>
  /** Resolves also if there was none. */
  delete(key: string): Promise<void>
}

/** Closed set of what can go wrong: `server` and `timeout` pass by themselves; `client` and `digest` are bugs or bad disks. */
export type BlobFault = 'client' | 'server' | 'timeout' | 'digest'

/** An operation on the store failed; `fault` says whether trying again helps. */
export class BlobError extends Error {
  readonly fault: BlobFault

  constructor(fault: BlobFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'BlobError'
    this.fault = fault
  }
}
