// One message whose transaction never gets through, while those of all others do, on a real PostgreSQL.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { checkpointOf, countByStatus, getMessage, keyName } from '../store/store.ts'
import { missing, sharedBed } from '../store/testing/postgres-bed.ts'
import { Bed, eventually, testParsers, withCsv } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())

describe.skipIf(missing)(`a message alone with its trouble ${missing ?? ''}`, () => {
  const postgres = sharedBed()

  test('ends as FAILED, and neither its slot nor the checkpoint is held up for ever', async () => {
    await postgres().fresh()
    const store = await postgres().open({ statementTimeoutMs: 300 })
    const bed = await Bed.open(pool, store)
    const other = await postgres().open({ statementTimeoutMs: 100_000 })
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
    const { promise: holding, resolve: holds } = Promise.withResolvers<void>()
    const stuck = withCsv(0, 'stuck@x')
    const { tenant, envelope } = stuck.meta
    const name = keyName({ tenant, source: envelope.source, headerMessageId: '<stuck@x>' })
    const holder = other.transaction(async (tx) => {
      await tx.dialect.serialise(tx, [name])
      holds()
      await held
    })
    const running = bed.start({ concurrency: 1 })
    onTestFinished(async () => {
      letGo()
      await holder
      await running.stop()
      await other.close()
      await bed.close()
    })
    await holding
    await bed.deliver([stuck])
    let sent = 0
    await eventually(async () => {
      await bed.deliver([withCsv(++sent, `${sent}@x`)])
      await sleep(100)
      return (await countByStatus(store)).FAILED === 1
    }, 90_000)
    await eventually(() => bed.settled())
    expect(await countByStatus(store)).toMatchObject({ FAILED: 1, PARSED: sent })
    expect(await getMessage(store, stuck.meta.messageId)).toMatchObject({ reason: 'internal' })
    expect(await checkpointOf(store, 'indexer', 'mail.ingest.v1', 0)).toBe(sent + 1)
  })
})
