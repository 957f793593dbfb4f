// One object that cannot be read, while all others can: given up after many tries, which takes its time.

import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { BlobError, type BlobStore } from '../blob/blob.ts'
import { countByStatus, getMessage } from '../store/store.ts'
import { Bed, eventually, testParsers, withCsv } from './testing/bed.ts'

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
})
afterEach(() => bed.close())
afterAll(() => pool.close())

test('an object that alone cannot be read ends as FAILED, and its slot goes to the others meanwhile', async () => {
  const bad = withCsv(0, 'bad@x')
  await bed.deliver([bad])
  const blobs: BlobStore = {
    put: (key, upload) => bed.blobs.put(key, upload),
    head: (key) => bed.blobs.head(key),
    list: (prefix) => bed.blobs.list(prefix),
    delete: (key) => bed.blobs.delete(key),
    get: async (key) => {
      if (key === bad.meta.rawKey) throw new BlobError('client', 'AccessDenied')
      return bed.blobs.get(key)
    },
  }
  const running = bed.start({ blobs, concurrency: 1 })
  let sent = 0
  await eventually(async () => {
    await bed.deliver([withCsv(++sent, `${sent}@x`)])
    return (await countByStatus(bed.store)).FAILED === 1
  })
  await eventually(() => bed.settled())
  await running.stop()
  expect(await countByStatus(bed.store)).toMatchObject({ FAILED: 1, PARSED: sent })
  expect(await getMessage(bed.store, bad.meta.messageId)).toMatchObject({
    reason: 'unreachable',
    detail: { message: 'AccessDenied' },
  })
})
