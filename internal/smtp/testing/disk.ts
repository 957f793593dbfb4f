// The real spool in a temporary directory, with what a test wants to know of it.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { Envelope, Refusal } from '../../envelope/envelope.ts'
import type { Clock } from '../../ports/ports.ts'
import {
  inspect,
  nodeFs,
  openReader,
  openWriter,
  type SpoolEntry,
  type SpoolNote,
  type SpoolWriter,
} from '../../../spool/spool.ts'

export interface Kept {
  id: string
  envelope: Envelope
  bytes: Buffer
}

export interface DiskSpool {
  writer: SpoolWriter
  /** Every entry, oldest first, as the next stage would read it. */
  kept(): Promise<Kept[]>
  /** Closes the writer; then every note, oldest first. */
  notes(): Promise<Refusal[]>
  close(): Promise<void>
}

/** A spool on a disk that has `capacityBytes` left, now and always. */
export async function openDiskSpool(capacityBytes: number, clock: Clock): Promise<DiskSpool> {
  const folder = mkdtempSync(join(tmpdir(), 'smtp-spool-'))
  const space = { freeBytes: capacityBytes, capacityBytes, freeInodes: 1_000_000, inodes: 2_000_000 }
  const fs = { ...nodeFs(), statfs: async () => space }
  const limits = { freeMinBytes: 0, freeResumeBytes: 0, freeInodesMin: 0 }
  const options = { fs, dir: join(folder, 'spool'), clock, random: randomBytes, limits }
  const writer = await openWriter(options)
  const reader = await openReader(options)
  const stopping = new AbortController()
  const entries = reader.entries(stopping.signal)[Symbol.asyncIterator]()
  const read: Kept[] = []
  return {
    writer,
    kept: async () => {
      while (read.length < writer.stats().committedMessages) {
        const next: IteratorResult<SpoolEntry | SpoolNote> = await entries.next()
        if (next.done === true) break
        if ('note' in next.value) continue
        const { id, envelope } = next.value
        read.push({ id, envelope: envelope as Envelope, bytes: await buffer(next.value.open()) })
      }
      return read
    },
    notes: async () => {
      await writer.close()
      const found: Refusal[] = []
      for await (const { note } of inspect(options).notes()) found.push(note as Refusal)
      return found
    },
    close: async () => {
      await writer.close()
      stopping.abort()
      await reader.close()
      rmSync(folder, { recursive: true })
    },
  }
}
