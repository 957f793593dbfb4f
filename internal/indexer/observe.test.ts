// The gauges that are read off the store and the log.

import { Registry } from '@prometheus-io/client'
import { afterAll, expect, test } from 'vitest'
import type { Log } from '../ports/ports.ts'
import { enqueue, refuseOutbox } from '../store/store.ts'
import { indexerMetrics } from './metrics.ts'
import { observeState } from './observe.ts'
import { Bed, eventually, fastClock, silent, testParsers } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())
const groups = { indexer: ['mail.ingest.v1'] } as const

test('a lag that cannot be read is told at the first failure of each series; the other gauges go on', async () => {
  const bed = await Bed.open(pool)
  const registry = new Registry()
  const stop = new AbortController()
  const warned: string[] = []
  const warn: Log['warn'] = (_fields, message) => void warned.push(message)
  let looks = 0
  let down = true
  const ends: typeof bed.log.ends = async (topic) => {
    if (topic === 'mail.ingest.v1') looks += 1
    if (down) throw new Error('down')
    return bed.log.ends(topic)
  }
  const observing = observeState({
    log: { ends },
    store: bed.store,
    clock: { ...fastClock, sleep: (_ms, signal) => fastClock.sleep(100, signal) },
    logger: { ...silent, warn },
    metrics: indexerMetrics(registry, groups),
    groups,
    indexer: 'indexer',
    signal: stop.signal,
  })
  const after = async (more: number) => {
    const until = looks + more
    await eventually(() => looks >= until)
  }
  await after(3)
  expect(warned).toHaveLength(1)
  down = false
  await after(2)
  down = true
  await after(3)
  expect(warned).toHaveLength(2)
  await bed.store.transaction((tx) =>
    enqueue(
      tx,
      [1, 2].map((n) => ({ id: `${n}`, type: 't', subject: 's' })),
      7000,
    ),
  )
  await refuseOutbox(bed.store, 1, 'too large')
  await eventually(async () => (await registry.metrics()).includes('outbox_refused{queue="events"} 1'))
  expect(await registry.metrics()).toContain('outbox_pending{queue="events"} 1')
  stop.abort()
  await observing
  await bed.close()
})

test('a topic that the log has not got is told once, and the lag of the others stays true', async () => {
  const bed = await Bed.open(pool)
  const registry = new Registry()
  const stop = new AbortController()
  const warned: unknown[] = []
  const warn: Log['warn'] = ({ topic }) => void warned.push(topic)
  let missing = 0
  let end = 3
  const ends: typeof bed.log.ends = async (topic) => {
    if (topic !== 'mail.refusals.v1') return [{ topic, partition: 0, offset: end }]
    missing += 1
    throw new Error('no topic')
  }
  const wide = { indexer: ['mail.ingest.v1'], projector: ['mail.ingest.v1', 'mail.refusals.v1'] } as const
  const observing = observeState({
    log: { ends },
    store: bed.store,
    clock: { ...fastClock, sleep: (_ms, signal) => fastClock.sleep(100, signal) },
    logger: { ...silent, warn },
    metrics: indexerMetrics(registry, wide),
    groups: wide,
    indexer: 'indexer',
    signal: stop.signal,
  })
  const lagOf = (group: string, topic: string, lag: number) => async () =>
    (await registry.metrics()).includes(`lag_messages{group="${group}",topic="${topic}"} ${lag}\n`)
  for (end of [3, 5]) {
    await eventually(lagOf('indexer', 'mail.ingest.v1', end), 5000)
    await eventually(lagOf('projector', 'mail.ingest.v1', end), 5000)
  }
  await eventually(() => missing >= 3)
  expect(warned).toEqual(['mail.refusals.v1'])
  stop.abort()
  await observing
  await bed.close()
})
