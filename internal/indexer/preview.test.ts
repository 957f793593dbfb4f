import { sql } from 'kysely'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BlobError, type BlobStore } from '../blob/blob.ts'
import { findMessage, getMessage } from '../store/store.ts'
import { Outage, previewReplay, replay, type Preview, type PreviewParts, type ReplaySelector } from './indexer.ts'
import { Bed, fastClock, mail, testParsers, withCsv } from './testing/bed.ts'
import { everything } from './testing/rows.ts'

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
})
afterEach(() => bed.close())
afterAll(() => pool.close())

const poison = mail(9, `From: a@b\nMessage-ID: <p@x>\n${'X: y\n'.repeat(20_000)}\nmark\n`)
const mails = [withCsv(1, 'a@x'), withCsv(2, 'b@x'), withCsv(3, 'b@x'), mail(4, 'Subject: s\n\nmark\n'), poison]
const idOf = (n: number) => mails[n]?.meta.messageId ?? ''
const all: ReplaySelector = { by: 'filter', filter: {} }

const parts = (change: Partial<PreviewParts> = {}): PreviewParts => ({
  store: bed.store,
  blobs: bed.blobs,
  log: bed.log,
  parsers: bed.parsers,
  workDir: `${bed.workRoot}/preview`,
  clock: fastClock,
  retries: 3,
  source: '/ingest/test/ctl',
  ...change,
})

async function previewed(
  selector: ReplaySelector,
  change: Partial<PreviewParts> = {},
  options: { force?: 'duplicate'; limit?: number } = {},
): Promise<Map<string, Preview>> {
  const found = new Map<string, Preview>()
  const signal = new AbortController().signal
  for await (const preview of previewReplay(parts(change), { selector, perSecond: 10_000, signal, ...options })) {
    found.set(preview.messageId, preview)
  }
  return found
}

const replayed = async (selector: ReplaySelector): Promise<void> => {
  const options = { jobId: 'j', selector, perSecond: 10_000, signal: new AbortController().signal }
  await replay(parts() as PreviewParts & { log: Bed['log'] }, options)
  await bed.index()
}

const objects = async (): Promise<string[]> => {
  const keys: string[] = []
  for await (const { key } of bed.blobs.list('')) keys.push(key)
  return keys
}

/** Rows as an older parser might have left them. */
const older = `update messages set parser = 'older', subject = 'was', status = 'QUARANTINED', reason = 'malformed', detail = '{"message":"m"}'`

describe('nothing stays of a preview', () => {
  test('not a row, an event or an object, whatever it finds', async () => {
    await bed.deliver(mails)
    await bed.index()
    await sql.raw(older).execute(bed.store.kysely)
    await sql.raw(`delete from messages where id = '${idOf(3)}'`).execute(bed.store.kysely)
    await sql.raw(`delete from message_keys where message_id = '${idOf(3)}'`).execute(bed.store.kysely)
    for (const key of await objects()) if (key.includes('/attachments/')) await bed.blobs.delete(key)
    const state = async () => [await everything(bed.store), await objects(), await bed.log.ends('mail.ingest.v1')]
    const before = await state()
    const found = await previewed({ by: 'objects', prefix: '' })
    expect([...found.values()].map(({ outcome }) => outcome).toSorted()).toEqual([
      'changed',
      'changed',
      'changed',
      'changed',
      'new',
    ])
    expect(await state()).toEqual(before)
  })
})

describe('a preview tells what the replay then does', () => {
  test('nothing, when nothing changed', async () => {
    await bed.deliver(mails)
    await bed.index()
    const found = await previewed(all)
    expect(new Set(found.keys())).toEqual(new Set(mails.map((_, n) => idOf(n))))
    for (const preview of found.values()) expect(preview).toMatchObject({ outcome: 'same', changes: [], others: [] })
  })

  test('every field of every message that an older parser judged otherwise', async () => {
    await bed.deliver(mails)
    await bed.index()
    await sql.raw(older).execute(bed.store.kysely)
    await sql.raw('delete from documents').execute(bed.store.kysely)
    const found = await previewed(all)
    await replayed(all)
    for (const { messageId, changes } of found.values()) {
      const row = { ...(await getMessage(bed.store, messageId)) } as Record<string, unknown>
      for (const { field, after } of changes.filter((each) => each.field !== 'documents'))
        expect(row[field]).toEqual(after)
    }
    expect(
      found
        .get(idOf(0))
        ?.changes.map(({ field }) => field)
        .toSorted(),
    ).toEqual(['detail', 'documents', 'parser', 'reason', 'status', 'subject'].toSorted())
    expect(found.get(idOf(0))?.changes.find(({ field }) => field === 'status')).toEqual({
      field: 'status',
      before: 'QUARANTINED',
      after: 'PARSED',
    })
    expect([...(await previewed(all)).values()].every(({ outcome }) => outcome === 'same')).toBe(true)
  })

  test('a message without a row would be new', async () => {
    await bed.deliver(mails.slice(0, 1))
    const found = await previewed({ by: 'objects', prefix: '' })
    expect(found.get(idOf(0))).toMatchObject({ outcome: 'new', changes: [{ before: null, after: 'PARSED' }, {}, {}] })
    expect(await findMessage(bed.store, idOf(0))).toBeUndefined()
  })

  test('a duplicate is processed where that is asked for', async () => {
    await bed.deliver(mails)
    await bed.index()
    const one: ReplaySelector = { by: 'messages', ids: [idOf(2)] }
    const found = await previewed(one, {}, { force: 'duplicate' })
    expect(found.get(idOf(2))?.changes).toContainEqual({ field: 'status', before: 'DUPLICATE', after: 'PARSED' })
    expect(found.get(idOf(2))?.changes).toContainEqual({ field: 'forced', before: false, after: true })
  })

  test('others that change with it: the duplicate of a first that a newer parser sets aside is indexed again', async () => {
    await bed.deliver(mails)
    await bed.index()
    const newer: PreviewParts['parsers'] = {
      parse: async () => ({ ok: false, reason: 'malformed', detail: 'says the newer parser' }),
    }
    const found = await previewed({ by: 'messages', ids: [idOf(1)] }, { parsers: newer })
    expect(found.get(idOf(1))).toMatchObject({
      outcome: 'changed',
      others: [{ messageId: idOf(2), becomes: 'indexed again' }],
    })
  })
})

describe('trouble', () => {
  test('an object that is missing is what would happen: FAILED, or kept where it was processed before', async () => {
    await bed.deliver(mails)
    await bed.index()
    for (const n of [0, 4]) await bed.blobs.delete(mails[n]?.meta.rawKey ?? '')
    const found = await previewed(all)
    expect(found.get(idOf(0))).toMatchObject({ outcome: 'kept', why: expect.stringMatching(/^object_missing: /) })
    expect(found.get(idOf(4))?.changes).toContainEqual({
      field: 'status',
      before: 'QUARANTINED',
      after: 'FAILED',
    })
    await replayed(all)
    for (const preview of (await previewed(all)).values()) expect(preview.changes).toEqual([])
  })

  test('an object store or a parser out of reach ends it, and says so', async () => {
    await bed.deliver(mails)
    await bed.index()
    const blobs: BlobStore = { ...bed.blobs, get: () => Promise.reject(new BlobError('timeout', 'no answer')) }
    await expect(previewed(all, { blobs })).rejects.toBeInstanceOf(Outage)
    const parsers: PreviewParts['parsers'] = { parse: async () => ({ ok: false, trouble: 'child', detail: 'none' }) }
    await expect(previewed(all, { parsers })).rejects.toBeInstanceOf(Outage)
  })

  test('an error of the program is what would happen, and does not end it', async () => {
    await bed.deliver(mails)
    await bed.index()
    await sql.raw(`delete from messages where id = '${idOf(3)}'`).execute(bed.store.kysely)
    const found = await previewed({ by: 'objects', prefix: '' })
    expect(found.size).toBe(5)
    expect(found.get(idOf(3))?.changes).toContainEqual({ field: 'reason', before: null, after: 'internal' })
  })

  test('what cannot be found is said so', async () => {
    const found = await previewed({ by: 'messages', ids: ['nothing'] })
    expect(found.get('nothing')).toMatchObject({ outcome: 'gone' })
  })
})

test('it ends at the limit, and when it is told to', async () => {
  await bed.deliver(mails)
  await bed.index()
  expect((await previewed(all, {}, { limit: 2 })).size).toBe(2)
  const stop = new AbortController()
  let seen = 0
  for await (const _ of previewReplay(parts(), { selector: all, perSecond: 10_000, signal: stop.signal })) {
    seen += 1
    stop.abort()
  }
  expect(seen).toBe(1)
})
