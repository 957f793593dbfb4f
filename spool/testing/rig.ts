// What the spool's tests share: a clock that never waits, bytes by seed, messages, and a reader that reads to the end and stops.
import { createHash } from 'node:crypto'
import type { SpoolClock, SpoolEntry, SpoolNote, SpoolOptions, SpoolReader, SpoolWriter } from '../contract.ts'
import { encodeFrame, sealFrame } from '../frame.ts'
import type { Fs } from '../fs.ts'

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function bytesBy(next: () => number): (length: number) => Buffer {
  return (length) => Buffer.from(Array.from({ length }, () => Math.floor(next() * 256)))
}

const POLL_MS = 1
const SURVEY_MS = 1_000_000

/** Time stands still; a sleep takes one turn of the event loop. `idle` hears of each wait at the end of the log. */
export class TurnClock implements SpoolClock {
  time = 1_700_000_000_000
  idle: (() => void) | undefined

  now = () => this.time
  monotonic = () => this.time

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms === POLL_MS) this.idle?.()
    return new Promise((resolve, reject) => {
      const stop = () => reject(new Error('aborted'))
      if (signal?.aborted === true) stop()
      signal?.addEventListener('abort', stop, { once: true })
      if (ms < SURVEY_MS) setImmediate(resolve)
    })
  }
}

/** Small bounds, so that three messages roll segments and spill bodies. */
export function testOptions(
  fs: Fs,
  more: Partial<SpoolOptions> & { seed?: number } = {},
): SpoolOptions & { clock: SpoolClock } {
  const { seed = 1, limits, ...rest } = more
  const small = {
    inlineBytesMax: 700,
    positionDelayMs: 2,
    pollMs: POLL_MS,
    surveyMs: SURVEY_MS,
    freeMinBytes: 0,
    freeResumeBytes: 0,
  }
  const random = bytesBy(numbers(seed))
  return {
    fs,
    dir: '/spool',
    clock: new TurnClock(),
    random,
    limits: { ...small, freeInodesMin: 0, ...limits },
    ...rest,
  }
}

export interface Message {
  id: string
  body: Buffer
}

const SALT = Buffer.alloc(16, 7)

/** A frame in the spool's own format: what a hostile mail would carry. */
export function forgedFrame(id: string, salt: Uint8Array = SALT): Buffer {
  const body = Buffer.from('forged')
  const sha256 = createHash('sha256').update(body).digest()
  const frame = encodeFrame({
    id,
    receivedAt: 1,
    envelope: Buffer.from('{}'),
    body: [body],
    bodyBytes: body.length,
    sha256,
  })
  sealFrame(frame, salt)
  return frame
}

export const idOf = (n: number) => `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`

/** Message number `n`: its bytes begin with a forged frame and go on in a pattern of their own. */
export function message(n: number, bytes: number): Message {
  const forged = forgedFrame(idOf(0xf00 + n))
  const body = Buffer.alloc(bytes, n + 1)
  forged.copy(body, 0, 0, Math.min(forged.length, bytes))
  return { id: idOf(n), body }
}

/** Commits in chunks of at most 500 bytes; rejects as commit() does. */
export async function put(writer: SpoolWriter, { id, body }: Message): Promise<void> {
  const draft = writer.begin(id)
  for (let at = 0; at < body.length; at += 500) await draft.write(body.subarray(at, at + 500))
  await draft.commit({ id })
}

export async function bodyOf(entry: Pick<SpoolEntry, 'open' | 'bytes'>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of entry.open()) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  if (entry.bytes !== undefined && !entry.bytes.equals(body)) throw new Error('bytes and open() give different bodies')
  return body
}

/** Every entry up to where the log ends now; notes go to `noted`, and are done with where nobody wants them. */
export async function drain(
  reader: SpoolReader,
  clock: SpoolClock,
  each: (entry: SpoolEntry) => Promise<void>,
  noted: (note: SpoolNote) => Promise<void> = ({ id }) => reader.done(id),
): Promise<void> {
  const stop = new AbortController()
  if (clock instanceof TurnClock) clock.idle = () => stop.abort()
  for await (const item of reader.entries(stop.signal)) await ('note' in item ? noted(item) : each(item))
  if (clock instanceof TurnClock) clock.idle = undefined
}

/** The entries of a log, read to its end, with their bodies. */
export async function readAll(reader: SpoolReader, clock: SpoolClock): Promise<Message[]> {
  const found: Message[] = []
  await drain(reader, clock, async (entry) => {
    found.push({ id: entry.id, body: await bodyOf(entry) })
  })
  return found
}
