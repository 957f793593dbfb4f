// Whatever the order of indexing, the rows come out the same (R16, R22).

import { afterAll, describe, expect, test } from 'vitest'
import { getMessage } from '../store/store.ts'
import { Bed, mail, testParsers, type Mail } from './testing/bed.ts'

const pool = testParsers()
afterAll(() => pool.close())

interface Text {
  id?: string
  refs?: string
  subject?: string
  body?: string
  attachment?: string
}

/** One mail; without `id` it has no Message-ID. */
function text({ id, refs, subject = 's', body = 'mark', attachment }: Text): string {
  const head = `From: ann@example.org\nTo: orders@mail.localhost\nSubject: ${subject}\nDate: Mon, 01 Jan 2024 10:00:00 +0000\n`
  const ids = `${id === undefined ? '' : `Message-ID: <${id}>\n`}${refs === undefined ? '' : `References: ${refs}\n`}`
  if (attachment === undefined) return `${head}${ids}\n${body}\n`
  return `${head}${ids}MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n${body}\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=a.csv\n\n${attachment}\n--b--\n`
}

const SETS: [why: string, mails: Mail[], statuses: string[]][] = [
  [
    'R16: three with one Message-ID; the oldest is first',
    [1, 2, 3].map((n) => mail(n, text({ id: 'a@x', body: `mark ${n}`, attachment: `row,${n}` }))),
    ['PARSED', 'DUPLICATE', 'DUPLICATE'],
  ],
  [
    'R16: the same mail to two tenants is two messages',
    [mail(1, text({ id: 'a@x' })), mail(1, text({ id: 'a@x' }), { tenant: 'other' }), mail(2, text({ id: 'a@x' }))],
    ['PARSED', 'PARSED', 'DUPLICATE'],
  ],
  [
    'R16: one synthetic id with the same bytes is a duplicate',
    [mail(1, text({})), mail(2, text({})), mail(3, text({}))],
    ['PARSED', 'DUPLICATE', 'DUPLICATE'],
  ],
  [
    'R16: one synthetic id with other bytes takes the content hash in',
    [mail(1, text({ body: 'mark 1' })), mail(2, text({ body: 'mark 2' })), mail(3, text({ body: 'mark 3' }))],
    ['PARSED', 'PARSED', 'PARSED'],
  ],
  [
    'R16: synthetic ids with two contents, twice each',
    [
      mail(1, text({ body: 'mark a' })),
      mail(2, text({ body: 'mark b' })),
      mail(3, text({ body: 'mark a' })),
      mail(4, text({ body: 'mark b' })),
    ],
    ['PARSED', 'PARSED', 'DUPLICATE', 'DUPLICATE'],
  ],
  [
    'R16: synthetic ids, the content of the oldest comes last too',
    [
      mail(1, text({ body: 'mark b' })),
      mail(2, text({ body: 'mark a' })),
      mail(3, text({ body: 'mark b' })),
      mail(4, text({ body: 'mark a' })),
    ],
    ['PARSED', 'PARSED', 'DUPLICATE', 'DUPLICATE'],
  ],
  [
    'R22: a chain that is linked by its middle',
    [
      mail(1, text({ id: 'a@x' })),
      mail(2, text({ id: 'b@x', refs: '<a@x>' })),
      mail(3, text({ id: 'c@x', refs: '<b@x>' })),
      mail(4, text({ id: 'd@x' })),
    ],
    ['PARSED', 'PARSED', 'PARSED', 'PARSED'],
  ],
  [
    'R22: a duplicate links conversations that its first does not',
    [
      mail(1, text({ id: 'a@x' })),
      mail(2, text({ id: 'b@x' })),
      mail(3, text({ id: 'b@x', refs: '<a@x>' })),
      mail(4, text({ refs: '<b@x>' })),
    ],
    ['PARSED', 'PARSED', 'DUPLICATE', 'PARSED'],
  ],
]

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((item, at) => permutations(items.toSpliced(at, 1)).map((rest) => [item, ...rest]))
}

/** Indexes one at a time, in this order. */
async function indexed(
  mails: readonly Mail[],
): Promise<{ contents: unknown; statuses: (mails: Mail[]) => Promise<string[]>; bed: Bed }> {
  const bed = await Bed.open(pool)
  await bed.deliver(mails)
  await bed.index({ concurrency: 1 })
  const statuses = async (sent: Mail[]) =>
    (await Promise.all(sent.map((each) => getMessage(bed.store, each.event.data.messageId)))).map((row) => row.status)
  return { contents: await bed.contents(), statuses, bed }
}

describe.each(SETS)('%s', (_why, mails, statuses) => {
  test('in every order', async () => {
    const want = await indexed(mails)
    expect(await want.statuses(mails)).toEqual(statuses)
    await want.bed.close()
    for (const order of permutations(mails).slice(1)) {
      const got = await indexed(order)
      const ids = order.map((each) => each.event.data.entryId)
      expect({ ids, contents: got.contents }).toEqual({ ids, contents: want.contents })
      await got.bed.close()
    }
  })
})

test('a duplicate forced by hand is processed, and stays so when everything is indexed again', async () => {
  const mails = [mail(1, text({ id: 'a@x' })), mail(2, text({ id: 'a@x', body: 'mark 2' }))]
  const { bed } = await indexed(mails)
  const again = mails.map(({ event }) => event)
  await bed.log.append(again.slice(1).map((event) => ({ ...event, replay: { id: 'f', force: 'duplicate' } })))
  await bed.index()
  const forced = await bed.contents()
  const [first, second] = await Promise.all(again.map((event) => getMessage(bed.store, event.data.messageId)))
  expect(second).toMatchObject({ status: 'PARSED', duplicateOf: first?.id, forced: true })
  expect(forced['found']).toHaveLength(2)

  await bed.log.append(again.map((event) => ({ ...event, replay: { id: 'g' } })))
  await bed.index()
  expect(await bed.contents()).toEqual(forced)
  await bed.close()
})

describe('a newer parser quarantines the first: the roles are those of a run that never saw it parsed', () => {
  const newer: typeof pool.parsers = {
    close: async () => {},
    parse: async (input) =>
      input.workDir.includes(mail(1, '').meta.messageId)
        ? { ok: false, reason: 'malformed', detail: 'says the newer parser' }
        : pool.parsers.parse(input),
  }

  test.each(SETS)('%s', async (_why, mails) => {
    const fresh = await Bed.open(pool)
    await fresh.deliver(mails)
    await fresh.index({ parsers: newer })
    const { bed } = await indexed(mails)
    // Only the first is told again; what follows from that, the indexer must see to.
    await bed.log.append(mails.slice(0, 1).map(({ event }) => ({ ...event, replay: { id: 'newer' } })))
    await bed.index({ parsers: newer })
    const { threads: _, ...got } = await bed.contents()
    const { threads: __, ...want } = await fresh.contents()
    // Conversations keep the links that were once read, so only their names may differ.
    const unnamed = (contents: Record<string, unknown[]>) => ({
      ...contents,
      messages: contents['messages']?.map((row) => ({ ...(row as object), threadId: undefined })),
    })
    expect(unnamed(got)).toEqual(unnamed(want))
    await bed.close()
    await fresh.close()
  })
})
