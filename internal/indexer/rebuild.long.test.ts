// A store that is lost comes back: from the log, or from the object store alone; and indexing again changes nothing.

import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { countByStatus, findMessage } from '../store/store.ts'
import { replay } from './indexer.ts'
import { Bed, fastClock, mail, testParsers, type Mail } from './testing/bed.ts'
import { corpusOf, transactions, type Corpus } from './testing/corpus.ts'
import { searchIndexOf } from './testing/rows.ts'

const pool = testParsers()
afterAll(() => pool.close())

/** Corpora of one run; each is indexed six times. */
const RUNS = 6

const beds: Bed[] = []
async function openBed(): Promise<Bed> {
  const bed = await Bed.open(pool)
  beds.push(bed)
  return bed
}

async function closeBeds(): Promise<void> {
  for (const bed of beds.splice(0).reverse()) await bed.close()
}

/** Everything but times of indexing and numbers of rows, byte by byte. */
const rowsOf = async (bed: Bed) => ({ ...(await bed.contents()), words: await searchIndexOf(bed.store) })

async function deliver(bed: Bed, { mails, lost }: Corpus): Promise<void> {
  await bed.deliver(mails)
  for (const { meta } of lost) await bed.blobs.delete(meta.rawKey)
}

/** Another store on the same log and objects. */
async function onSameLog(of: Bed): Promise<Bed> {
  const bed = await onSameObjects(of)
  await bed.log.close()
  bed.log = of.log
  return bed
}

/** Another store and an empty log on the same objects. */
async function onSameObjects(of: Bed): Promise<Bed> {
  const bed = await openBed()
  bed.blobs = of.blobs
  return bed
}

async function replayAll(bed: Bed, jobId: string, prefix?: string): Promise<void> {
  const { store, log, blobs } = bed
  const selector = prefix === undefined ? ({ by: 'filter', filter: {} } as const) : ({ by: 'objects', prefix } as const)
  const parts = { store, log, blobs, clock: fastClock, source: '/ingest/test/ctl' }
  const options = { jobId, selector, perSecond: 100_000, signal: new AbortController().signal }
  expect((await replay(parts, options)).state).toBe('done')
  await bed.index()
}

const property = (holds: (corpus: Corpus, bed: Bed) => Promise<void>) =>
  fc.assert(
    fc
      // A counterexample is printed, so it is the transactions and not the bytes.
      .asyncProperty(transactions, async (list) => {
        const corpus = corpusOf(list)
        const bed = await openBed()
        await deliver(bed, corpus)
        await bed.index()
        await holds(corpus, bed)
      })
      .afterEach(closeBeds),
    { numRuns: RUNS, endOnFailure: true },
  )

describe('any corpus, indexed once', () => {
  test('comes back in an empty store from the log', () =>
    property(async (_, bed) => {
      const fresh = await onSameLog(bed)
      await fresh.index()
      expect(await rowsOf(fresh)).toEqual(await rowsOf(bed))
    }))

  test('comes back in an empty store from the object store alone, with a new log', () =>
    property(async (_, bed) => {
      const fresh = await onSameObjects(bed)
      await replayAll(fresh, 'rebuild', '')
      expect(await rowsOf(fresh)).toEqual(await rowsOf(bed))
    }))

  test('comes out the same whatever the order of the log', () =>
    property(async (corpus, bed) => {
      const order = fc.shuffledSubarray(corpus.mails, { minLength: corpus.mails.length })
      for (const mails of fc.sample(order, 2)) {
        const fresh = await onSameObjects(bed)
        await fresh.log.append(mails.map(({ event }) => event))
        await fresh.index()
        expect(await rowsOf(fresh)).toEqual(await rowsOf(bed))
      }
    }))

  test('comes out the same, byte by byte, when it is indexed again and again', () =>
    property(async (_, bed) => {
      const before = await rowsOf(bed)
      for (const jobId of ['once', 'twice']) {
        await replayAll(bed, jobId)
        expect(await rowsOf(bed)).toEqual(before)
      }
    }))
})

test('the corpora have everything that could come out otherwise', async () => {
  const found = { PARSED: 0, DUPLICATE: 0, QUARANTINED: 0, FAILED: 0 }
  for (const list of fc.sample(transactions, { numRuns: 4, seed: 1 })) {
    const corpus = corpusOf(list)
    const bed = await openBed()
    await deliver(bed, corpus)
    await bed.index()
    const counts = await countByStatus(bed.store)
    for (const status of Object.keys(found) as (keyof typeof found)[]) found[status] += counts[status]
    await closeBeds()
  }
  for (const count of Object.values(found)) expect(count).toBeGreaterThan(3)
})

test('what an operator decided comes back from the log, and not from the objects', async () => {
  const text = 'From: a@b\nMessage-ID: <a@x>\n\nmark\n'
  const [first, second] = [mail(1, text), mail(2, `${text}more\n`)] as [Mail, Mail]
  const bed = await openBed()
  await bed.deliver([first, second])
  await bed.log.append([{ ...second.event, replay: { id: 'p', force: 'duplicate' } }])
  await bed.index()
  const fromLog = await onSameLog(bed)
  await fromLog.index()
  const fromObjects = await onSameObjects(bed)
  await replayAll(fromObjects, 'rebuild', '')
  const status = async (of: Bed) => (await findMessage(of.store, second.meta.messageId))?.status
  expect(await Promise.all([bed, fromLog, fromObjects].map(status))).toEqual(['PARSED', 'PARSED', 'DUPLICATE'])
  await closeBeds()
})
