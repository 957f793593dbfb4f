// Two indexers write to one PostgreSQL at once, told the same mails in different orders: the rows are those of one indexer on SQLite.

import { afterAll, describe, expect, test } from 'vitest'
import { checkpointOf } from '../store/store.ts'
import { farAway } from '../store/testing/far-away.ts'
import { freshStore, missing, sharedBed } from '../store/testing/postgres-bed.ts'
import { Bed, eventually, mail, testParsers, withCsv, type Mail } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())

const HEAD = 'From: ann@example.org\nTo: orders@mail.localhost\nDate: Mon, 01 Jan 2024 10:00:00 +0000\n'

const GROUPS = 6

/** Mails that contend for ids and conversations as much as they can, in groups of the same size. */
function contending(): Mail[] {
  const mails: Mail[] = []
  const next = () => mails.length + 1
  for (let group = 0; group < GROUPS; group++) {
    // R16: three with one Message-ID and an attachment each.
    for (let n = 0; n < 3; n++) mails.push(withCsv(next(), `same-${group}@x`))
    // R16: without a Message-ID, two contents in turns.
    for (let n = 0; n < 4; n++) mails.push(mail(next(), `${HEAD}Subject: s${group}\n\nmark ${n % 2}\n`))
    // R22: a conversation that its middle links.
    for (const [id, refs] of [
      ['a', ''],
      ['c', 'b'],
      ['b', 'a'],
      ['d', 'c'],
    ] as const) {
      const references = refs === '' ? '' : `References: <${refs}-${group}@x>\n`
      mails.push(mail(next(), `${HEAD}Message-ID: <${id}-${group}@x>\n${references}\nmark\n`))
    }
  }
  return mails
}

/** Each group from its end: both indexers are at one group at one time, and at different mails of it. */
function turned(mails: readonly Mail[]): Mail[] {
  const size = mails.length / GROUPS
  return Array.from({ length: GROUPS }, (_, at) => mails.slice(at * size, (at + 1) * size).reverse()).flat()
}

describe.skipIf(missing)(`two indexers on PostgreSQL ${missing ?? ''}`, () => {
  const postgres = sharedBed()
  const store = freshStore(postgres)

  test.each([1, 2, 3])('the same rows as one (%i)', async () => {
    const mails = contending()
    const alone = await Bed.open(pool)
    await alone.deliver(mails)
    await alone.index()
    const want = await alone.contents()
    await alone.close()

    const first = await Bed.open(pool, farAway(await postgres().open()))
    const second = await Bed.open(pool, farAway(await postgres().open()))
    await first.deliver(mails)
    await second.deliver(turned(mails))
    const running = [first.start({ group: 'one' }), second.start({ group: 'two' })]
    const isDone = async (group: string) =>
      (await checkpointOf(store(), group, 'mail.ingest.v1', 0)) >=
      ((await first.log.ends('mail.ingest.v1'))[0]?.offset ?? 0)
    await eventually(async () => (await isDone('one')) && (await isDone('two')), 60_000)
    for (const each of running) expect(await each.stop()).toBeUndefined()
    expect(await first.contents()).toEqual(want)
    await first.close()
    await second.close()
  })
})
