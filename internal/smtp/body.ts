// One mail on its way into the spool: real octets counted, space held, and given back on every path.

import type { Evaluation, Findings } from '../authentication/authentication.ts'
import type { Log } from '../ports/ports.ts'
import { HeaderScan } from './header-scan.ts'
import { HeaderSize } from './header-size.ts'
import type { ReplyName } from './replies.ts'

/** Space held for a body. `release` may be called again. */
export interface Reservation {
  release(): void
}

export interface Draft {
  write(chunk: Uint8Array): Promise<void>
  /** What was written so far. */
  content(): AsyncIterable<Uint8Array>
  commit(envelope: object): Promise<{ sizeBytes: number; sha256: string }>
  abort(): Promise<void>
}

/** The part of the spool that the front door needs. Rejections carry a `fault`: `full` is lack of space. */
export interface Spool {
  reserve(bytes: number): Promise<Reservation>
  check(bytes: number): Promise<void>
  begin(id: string): Draft
}

/** What the sender is told of a failure of the spool: too little space is said as such (RFC 5321 4.2.3, 452). */
export function spoolRefusal(error: unknown): ReplyName {
  return error instanceof Error && 'fault' in error && error.fault === 'full' ? 'spool_full' : 'spool_error'
}

export interface BodyOptions {
  spool: Spool
  log: Log
  entryId: string
  /** Most octets of the message. */
  limitBytes: number
  /** Most octets of its header block; 0 for no such limit. */
  headerBytesMax: number
  /** Octets that the sender announced, or the limit. */
  expectedBytes: number
  /** Reads along; given up with the body. */
  evaluation?: Evaluation | undefined
}

/** Received fields of a mail that is on its way somewhere. */
const HOPS_MAX = 100
/** Past so many times the limit nobody waits for the end any more. */
export const RUNAWAY_FACTOR = 2

/** Takes the space that the body is expected to need. Rejects as the spool does, and then nothing is held. */
export async function openBody(options: BodyOptions): Promise<Body> {
  const reservation = await options.spool.reserve(Math.min(options.expectedBytes, options.limitBytes))
  try {
    return new Body(options, reservation)
  } catch (error) {
    reservation.release()
    throw error
  }
}

export interface Committed {
  sizeBytes: number
  sha256: string
  headerMessageId: string
}

/**
 * Invariant: after `commit` or `abort` no space is held, and without a resolved `commit` no entry exists.
 * A failure on the way is kept, the rest of the body is read and dropped, and `commit` tells.
 */
export class Body {
  readonly #options: BodyOptions
  readonly #draft: Draft
  readonly #reservations: Reservation[]
  readonly #header = new HeaderScan()
  readonly #headerSize = new HeaderSize()
  #reservedBytes: number
  #bytes = 0
  #failure: ReplyName | undefined
  #state: 'open' | 'committing' | 'over' = 'open'

  constructor(options: BodyOptions, reservation: Reservation) {
    this.#options = options
    this.#draft = options.spool.begin(options.entryId)
    this.#reservations = [reservation]
    this.#reservedBytes = Math.min(options.expectedBytes, options.limitBytes)
  }

  /** Octets seen, stored or not. */
  get bytes(): number {
    return this.#bytes
  }

  /** Why the body will not be kept, once that is known. */
  get failure(): ReplyName | undefined {
    return this.#failure
  }

  /** Every octet is here, and the outcome is the spool's to decide. */
  get committing(): boolean {
    return this.#state === 'committing'
  }

  /** The mail goes round in circles (RFC 5321 6.3: a threshold of at least 100). */
  get looping(): boolean {
    return this.#header.hops > HOPS_MAX
  }

  /** The sender goes on far past the limit. */
  get runaway(): boolean {
    return this.#bytes > this.#options.limitBytes * RUNAWAY_FACTOR
  }

  /** Stores the next octets; never rejects. */
  async write(chunk: Buffer): Promise<void> {
    this.#bytes += chunk.length
    if (this.#failure !== undefined || this.#state !== 'open') return
    if (this.#bytes > this.#options.limitBytes) return this.#fail('too_large')
    this.#header.feed(chunk)
    const { headerBytesMax } = this.#options
    this.#headerSize.feed(chunk)
    if (headerBytesMax > 0 && this.#headerSize.octets > headerBytesMax) return this.#fail('header_too_large')
    try {
      await this.#holdEnough()
      await Promise.all([this.#draft.write(chunk), this.#options.evaluation?.write(chunk)])
    } catch (error) {
      await this.#fault(error)
    }
  }

  /** Every octet is here: who sent it, where that was asked. */
  async findings(): Promise<Findings | undefined> {
    return this.#options.evaluation?.end()
  }

  /** The octets as they will be kept, for a look before `commit`. Rejects when the disk does not give them back. */
  content(): AsyncIterable<Uint8Array> {
    return this.#draft.content()
  }

  /** Resolves once the message is durable, or with the reason why it is not kept. */
  async commit(envelope: object): Promise<Committed | ReplyName> {
    if (this.#state !== 'open') return this.#failure ?? 'internal'
    if (this.#failure !== undefined) {
      await this.abort()
      return this.#failure
    }
    this.#state = 'committing'
    try {
      const { sizeBytes, sha256 } = await this.#draft.commit(envelope)
      return { sizeBytes, sha256, headerMessageId: this.#header.messageId }
    } catch (error) {
      await this.#fault(error)
      return this.#failure ?? 'spool_error'
    } finally {
      this.#release()
      this.#state = 'over'
    }
  }

  /** Forgets the body. Does nothing once `commit` has begun: what was received in full is kept. */
  async abort(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'over'
    await this.#discard()
  }

  /** A sender may send more than it announced (RFC 1870 6.3 leaves that to us): hold as much as the limit allows. */
  async #holdEnough(): Promise<void> {
    if (this.#bytes <= this.#reservedBytes) return
    const more = this.#options.limitBytes - this.#reservedBytes
    this.#reservations.push(await this.#options.spool.reserve(more))
    this.#reservedBytes += more
    // The peer may have gone while we waited, and then nobody else gives this space back.
    if (this.#state !== 'open') this.#release()
  }

  async #fault(error: unknown): Promise<void> {
    if (this.#state === 'over') return
    this.#options.log.error({ err: error, entryId: this.#options.entryId }, 'spool refused a message')
    await this.#fail(spoolRefusal(error))
  }

  async #fail(reason: ReplyName): Promise<void> {
    this.#failure = reason
    await this.#discard()
  }

  async #discard(): Promise<void> {
    try {
      await this.#draft.abort()
    } catch (error) {
      this.#options.log.error({ err: error, entryId: this.#options.entryId }, 'draft could not be removed')
    } finally {
      this.#release()
    }
  }

  #release(): void {
    this.#options.evaluation?.abort()
    for (const reservation of this.#reservations.splice(0)) reservation.release()
  }
}
