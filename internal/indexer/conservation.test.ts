// What the log announced is in the store, or is told.

import { Registry } from '@prometheus-io/client'
import { sql } from 'kysely'
import { afterAll, expect, test } from 'vitest'
import { Conservation } from './conservation.ts'
import { indexerMetrics } from './metrics.ts'
import { Bed, fastClock, mail, silent, testParsers } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())

const mails = [1, 2, 3].map((n) => mail(n, `From: a@example.org\nMessage-ID: <${n}@x>\n\nhello ${n}\n`))

async function watched(bed: Bed) {
  const registry = new Registry()
  const lost: unknown[] = []
  const conservation = new Conservation({
    store: bed.store,
    clock: fastClock,
    logger: { ...silent, error: (fields) => void lost.push(fields['messageId']) },
    metrics: indexerMetrics(registry, { indexer: ['mail.ingest.v1'] }),
    indexer: 'indexer',
  })
  const residue = async () => {
    await conservation.look()
    return Number(/^mail_ingest_conservation_residue (\d+)$/m.exec(await registry.metrics())?.[1])
  }
  return { residue, lost }
}

test('a row that is lost is told once, with its id, and counts until it is there again', async () => {
  const bed = await Bed.open(pool)
  await bed.deliver(mails)
  await bed.index()
  const before = await watched(bed)
  expect([await before.residue(), before.lost]).toEqual([0, []])

  const id = mails[1]?.event.data.messageId
  await sql`create table kept as select * from messages where id = ${id}`.execute(bed.store.kysely)
  await sql`delete from messages where id = ${id}`.execute(bed.store.kysely)
  const anew = await watched(bed)
  expect([await anew.residue(), await anew.residue()]).toEqual([1, 1])
  expect(anew.lost).toEqual([id])

  await sql`insert into messages select * from kept`.execute(bed.store.kysely)
  expect(await anew.residue()).toBe(0)
  await bed.close()
})

test('what the indexer has still before it is a lag, and no residue', async () => {
  const bed = await Bed.open(pool)
  await bed.deliver(mails)
  await bed.index()
  // The copy of the log is ahead of the rows.
  await sql`delete from messages`.execute(bed.store.kysely)
  await sql`update checkpoints set next_offset = 1 where consumer_group = 'indexer'`.execute(bed.store.kysely)
  const { residue, lost } = await watched(bed)
  expect(await residue()).toBe(1)
  expect(lost).toEqual([mails[0]?.event.data.messageId])
  await bed.close()
})
