// Gathers the events of several entries into one append. There is no timer: while one append runs, the next one gathers.

import type { EventLog, MailEvent } from '../eventlog/eventlog.ts'
import type { Target } from './backoff.ts'

/** Most events of one append, unless one entry alone has more. */
const APPEND_MAX = 500

interface Waiting {
  id: string
  events: readonly MailEvent[]
  acknowledged(): void
  failed(error: unknown): void
}

/** Resolves when the log has acknowledged all of `events`. Callers wait, so the queue is bounded by the entries under way. */
export type Publish = (id: string, events: readonly MailEvent[]) => Promise<void>

/** Appends to `log` through `target`; rejects when the target gives up. */
export function publisher(log: Pick<EventLog, 'append'>, target: Target): Publish {
  const queue: Waiting[] = []
  let running = false

  const run = async () => {
    running = true
    for (let batch = nextBatch(queue); batch.length > 0; batch = nextBatch(queue)) {
      const events = batch.flatMap((each) => each.events)
      try {
        await target.reach(batch[0]?.id ?? '', () => log.append(events))
        for (const each of batch) each.acknowledged()
      } catch (error) {
        for (const each of batch) each.failed(error)
      }
    }
    running = false
  }
  return (id, events) =>
    new Promise((acknowledged, failed) => {
      queue.push({ id, events, acknowledged, failed })
      if (!running) void run()
    })
}

/** Takes the oldest from the queue, as many as fit into one append, and at least one. */
function nextBatch(queue: Waiting[]): Waiting[] {
  let count = 0
  const end = queue.findIndex(({ events }, at) => (count += events.length) > APPEND_MAX && at > 0)
  return queue.splice(0, end === -1 ? queue.length : end)
}
