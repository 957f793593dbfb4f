import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import Sqlite from 'better-sqlite3'
import { afterAll, expect, test } from 'vitest'
import { getMessage } from '../store/store.ts'
import { Bed, mail, testParsers } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())

test.each([
  ['at the end of the log', 2],
  ['before a message', 1],
])(
  'a record that cannot be read, %s: checkpoints of both groups pass it, and it is counted',
  async (_name, bad) => {
    const bed = await Bed.open(pool)
    const mails = [1, 2, 3].map((n) => mail(n, `From: a@example.org\nMessage-ID: <${n}@x>\n\nhello ${n}\n`))
    await bed.deliver(mails)
    const db = new Sqlite(join(bed.dir, 'events.db'))
    db.exec(`UPDATE events SET data = '{' WHERE event_offset = ${bad}`)
    db.close()
    const registry = new Registry()
    // Ends when every checkpoint is at the end: no lag is left for a record that nobody will ever read.
    await bed.index({ registry })
    for (const [at, { event }] of mails.entries()) {
      if (at !== bad) expect(await getMessage(bed.store, event.data.messageId)).toMatchObject({ status: 'PARSED' })
    }
    const text = await registry.metrics()
    for (const group of ['indexer', 'projector']) {
      expect(text).toContain(
        `mail_ingest_consumer_events_total{group="${group}",topic="mail.ingest.v1",result="dead_letter"} 1\n`,
      )
    }
    const counts = await bed.log.deadLetters.counts()
    expect(counts.map(({ count }) => count)).toEqual([1, 1, 0, 0])
    await bed.close()
  },
  30_000,
)

test('a record of a type that this release does not know, at the end of the log: checkpoints of both groups pass it', async () => {
  const bed = await Bed.open(pool)
  await bed.deliver([1, 2].map((n) => mail(n, `From: a@example.org\nMessage-ID: <${n}@x>\n\nhello ${n}\n`)))
  const db = new Sqlite(join(bed.dir, 'events.db'))
  db.exec("UPDATE events SET headers = json_set(headers, '$.ce_type', 'ingest.later') WHERE event_offset = 1")
  db.close()
  // Ends when every checkpoint is at the end.
  await bed.index()
  expect((await bed.log.deadLetters.counts()).map(({ count }) => count)).toEqual([0, 0, 0, 0])
  await bed.close()
})
