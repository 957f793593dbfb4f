// What the contract appends, and the time it runs in. Apart from the suite, so that a plain process can use it.

import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { uuidv5 } from '../../envelope/envelope.ts'
import type { Clock } from '../../ports/ports.ts'
import type { MailEvent } from '../events.ts'
import { sampleOf } from '../samples.ts'

/** Real time; what the daemon's clock does. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal && { signal }),
}

/** The n-th `ingest.received` of a tag: each is a message of its own. */
export function received(tag: string, n: number): MailEvent<'ingest.received'> {
  const sample = sampleOf('ingest.received') as MailEvent<'ingest.received'>
  const messageId = uuidv5(sample.id, `${tag}/${n}`)
  return {
    ...sample,
    id: uuidv5(messageId, 'received'),
    subject: messageId,
    data: { ...sample.data, messageId, sizeBytes: n },
  }
}
