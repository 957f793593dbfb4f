// What ends a try on a message without a verdict on it: something about its objects, or something that all messages need.

import { BlobError } from '../blob/blob.ts'
import type { MessageMeta } from '../envelope/envelope.ts'
import type { FailureReason } from './facts.ts'

/** Tried again a few times, since a store may be behind; then the message is FAILED with this reason. */
export class Fault extends Error {
  readonly reason: FailureReason
  readonly meta: MessageMeta | undefined

  constructor(reason: FailureReason, message: string, options: ErrorOptions & { meta?: MessageMeta } = {}) {
    super(message, options)
    this.name = 'Fault'
    this.reason = reason
    this.meta = options.meta
  }
}

/** What every message needs: objects read, a verdict of a parser and of the malware scanner, objects written, the store. */
export type Need = 'read' | 'parse' | 'scan' | 'put' | 'store'

/** How many messages had each of them. It tells an outage of all from one of a single message. */
export type Progress = Record<Need, number>

export const noProgress = (): Progress => ({ read: 0, parse: 0, scan: 0, put: 0, store: 0 })

/** Something that all messages need is out of order; it is tried for ever, and nothing is lost. */
export class Outage extends Error {
  readonly need: Need

  constructor(need: Need, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Outage'
    this.need = need
  }
}

/**
 * An error of the object store. Other bytes than were put are about this object; all else is an outage. Of `client` too: with the
 * wrong key, without the bucket or a right to it, every object is refused; where one is, it is found out by its being alone.
 */
export function blobTrouble(error: unknown, need: Need, meta?: MessageMeta): never {
  if (!(error instanceof BlobError)) throw error
  if (error.fault === 'digest') throw new Fault('digest', error.message, { cause: error, ...(meta && { meta }) })
  throw new Outage(need, error.message, { cause: error })
}
