// Killed at each step and started again: the rows are those of an undisturbed run (durability.md T18).

import { afterAll, describe, expect, test } from 'vitest'
import type { BlobStore } from '../blob/blob.ts'
import type { EventLog } from '../eventlog/eventlog.ts'
import type { Store } from '../store/store.ts'
import { Bed, eventually, testParsers, withCsv } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())

class Killed extends Error {}

/** A port whose n-th call of anything kills the indexer: nothing after it happens, as after SIGKILL. */
function killAt(n: number, kill: () => void) {
  let calls = 0
  let dead = false
  const step = async <T>(work: () => Promise<T>, after: boolean): Promise<T> => {
    if (dead) return new Promise<T>(() => {})
    calls += 1
    const mine = calls === n
    if (mine && !after) {
      dead = true
      kill()
      throw new Killed()
    }
    const result = await work()
    if (mine) {
      dead = true
      kill()
      throw new Killed()
    }
    return result
  }
  return { step, calls: () => calls }
}

function killable(on: Bed, n: number, after: boolean, kill: () => void) {
  const { step, calls } = killAt(n, kill)
  const blobs: BlobStore = {
    put: (key, upload) => step(() => on.blobs.put(key, upload), after),
    get: (key) => step(() => on.blobs.get(key), after),
    head: (key) => step(() => on.blobs.head(key), after),
    list: (prefix) => on.blobs.list(prefix),
    delete: (key) => on.blobs.delete(key),
  }
  const store: Store = {
    kysely: on.store.kysely,
    dialect: on.store.dialect,
    close: () => on.store.close(),
    singleRunner: (name, work, signal) => on.store.singleRunner(name, work, signal),
    transaction: (work) => step(() => on.store.transaction(work), after),
  }
  const log: EventLog = {
    append: (events) => step(() => on.log.append(events), after),
    consume: (want) => on.log.consume(want),
    ends: (topic) => on.log.ends(topic),
    offsetsAt: (topic, time) => on.log.offsetsAt(topic, time),
    close: () => on.log.close(),
  }
  const parse = async (input: Parameters<typeof on.parsers.parse>[0]) => step(() => on.parsers.parse(input), after)
  return { ports: { blobs, store, log, parsers: { parse } }, calls }
}

describe('killed at each step and started again (T18)', () => {
  const mails = [withCsv(1, 'a@x'), withCsv(2, 'a@x'), withCsv(3, 'b@x')]

  test.each([false, true])('after the step: %s', { timeout: 120_000 }, async (after) => {
    const calm = await Bed.open(pool)
    await calm.deliver(mails)
    await calm.index()
    const want = await calm.contents()
    await calm.close()

    let steps = 0
    for (let n = 1; ; n++) {
      const on = await Bed.open(pool)
      await on.deliver(mails)
      const state: { killed: boolean } = { killed: false }
      const { ports } = killable(on, n, after, () => {
        state.killed = true
      })
      const running = on.start({ ...ports, concurrency: 1 })
      await eventually(async () => state.killed || on.settled())
      void running.stop()
      if (!state.killed) {
        await on.close()
        break
      }
      await on.index()
      expect(await on.contents(), `killed at step ${n}`).toEqual(want)
      await on.close()
      steps = n
    }
    // Three messages: envelope, bytes, parse, attachment, commit, and the events' way out.
    expect(steps).toBeGreaterThan(15)
  })
})
