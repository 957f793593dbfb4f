import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { indexed, openDesk, type Desk } from './testing/desk.ts'

const TOPIC = 'mail.ingest.v1'
const idOf = (offset: number, group = 'indexer') => `${group}/${TOPIC}/0/${offset}`

/** A desk whose log has `count` events that no group can read, and the dead letters of `groups`. */
async function deskWith(count: number, groups = ['indexer']): Promise<Desk> {
  const desk = await openDesk()
  for (let n = 0; n < count; n += 1) await indexed(desk)
  const db = new Sqlite(join(desk.dataDir, 'events.db'))
  db.exec(`UPDATE events SET data = '{"n":' || event_offset || '}'`)
  db.close()
  for (const group of groups) await consume(desk, group, 0)
  return desk
}

async function consume(desk: Desk, group: string, from: number): Promise<void> {
  const signal = new AbortController().signal
  const want = { group, topics: [TOPIC], startAt: async () => from, batchMax: 100, untilEnd: true, signal }
  for await (const batch of desk.log.consume(want)) expect(batch).toEqual([])
}

const idsOf = (desk: Desk) => desk.json<string[]>('dlq list --ids')

describe('dlq list, show', () => {
  test('a list for scripts and for people; how many there are is a note', async () => {
    const desk = await deskWith(3, ['indexer', 'projector'])
    const rows = await desk.json<Record<string, unknown>[]>('dlq list --group indexer --limit 2')
    expect(rows.map(({ id }) => id)).toEqual([idOf(0), idOf(1)])
    const place = { group: 'indexer', topic: TOPIC, partition: 0, offset: 0 }
    expect(rows[0]).toMatchObject({ ...place, reason: 'data', attempts: 1, type: 'ingest.received', sizeBytes: 7 })
    const { stdout, stderr } = await desk.run('dlq list')
    expect(stdout).toMatch(/^KEPT \(UTC\) +ID +REASON +TYPE +ERROR\n/)
    expect(stderr).toBe(`in all: 3 of indexer on ${TOPIC}, 3 of projector on ${TOPIC}\n`)
  })

  test('nothing there, and a log of an earlier release without dead letters', async () => {
    const desk = await openDesk()
    expect(await idsOf(desk)).toEqual([])
    await desk.log.close()
    const db = new Sqlite(join(desk.dataDir, 'events.db'))
    db.exec('DROP TABLE dead_letters; PRAGMA user_version = 1')
    db.close()
    expect(await desk.run('dlq list')).toMatchObject({ status: 0, stderr: 'there are no dead letters\n' })
  })

  test('one, with why and the record as it was', async () => {
    const desk = await deskWith(2)
    const letter = await desk.json<Record<string, unknown>>(`dlq show ${idOf(1)}`)
    expect(letter).toMatchObject({ id: idOf(1), reason: 'data', value: '{"n":1}' })
    expect(letter['headers']).toMatchObject({ ce_type: 'ingest.received', 'content-type': 'application/json' })
    expect(letter['stack']).toContain('CodecError')
    expect((await desk.run(`dlq show ${idOf(1)}`)).stdout).toMatch(/^header ce_type: +ingest.received$/m)
  })

  test.each([
    [`dlq show ${idOf(99)}`, 3, /not among the dead letters/],
    ['dlq show 42', 2, /like indexer\/mail.ingest.v1\/3\/1204/],
    ['dlq list --group nobody', 2, /one of indexer, projector/],
    ['dlq list --topic nothing', 2, /no group reads/],
    ['dlq replay', 2, /say which/],
    [`dlq drop ${idOf(0)} --all`, 2, /say which/],
    ['dlq drop --all', 2, /--yes/],
  ])('%s: exit %i', async (line, exit, why) => {
    const { status, stderr } = await (await deskWith(1)).run(line)
    expect({ status, stderr }).toEqual({ status: exit, stderr: expect.stringMatching(why) as string })
  })
})

describe('dlq drop', () => {
  test('a dry run says how many, and does nothing', async () => {
    const desk = await deskWith(2)
    expect(await desk.json('dlq drop --all --dry-run')).toEqual({ dryRun: true, count: 2 })
    expect(await idsOf(desk)).toHaveLength(2)
  })

  test('by id: only with the older ones of its partition; they are named', async () => {
    const desk = await deskWith(3)
    const { status, stderr } = await desk.run(`dlq drop --yes ${idOf(1)}`)
    expect(status).toBe(5)
    expect(stderr).toMatch(new RegExp(`nothing was done:\n  ${idOf(0)}\n`))
    expect(await idsOf(desk)).toHaveLength(3)
    expect(await desk.json(`dlq drop --yes ${idOf(1)} ${idOf(0)}`)).toEqual({ count: 2 })
    expect(await idsOf(desk)).toEqual([idOf(2)])
    const piped = await desk.run('dlq drop --yes -', { input: `${idOf(2)}\n` })
    expect(piped.status).toBe(0)
    expect(await idsOf(desk)).toEqual([])
  })

  test('of one group; --limit takes the oldest', async () => {
    const desk = await deskWith(3, ['indexer', 'projector'])
    await desk.json('dlq drop --group indexer --limit 2 --yes')
    expect(await idsOf(desk)).toEqual([idOf(2), ...[0, 1, 2].map((offset) => idOf(offset, 'projector'))])
  })
})

describe('dlq replay', () => {
  test('records go back once, whoever could not read them, and their letters are forgotten; again is nothing', async () => {
    const desk = await deskWith(2, ['indexer', 'projector'])
    expect(await desk.json('dlq replay --all --yes')).toEqual({ count: 4 })
    expect(await desk.log.ends(TOPIC)).toMatchObject([{ offset: 4 }])
    expect(await idsOf(desk)).toEqual([])
    expect(await desk.json('dlq replay --all --yes')).toEqual({ dryRun: false, count: 0 })
    // This release cannot read them either: there are as many letters as before, not more.
    for (const group of ['indexer', 'projector']) await consume(desk, group, 2)
    expect(await idsOf(desk)).toEqual([idOf(2), idOf(3), idOf(2, 'projector'), idOf(3, 'projector')])
  })

  test('after an upgrade the consumer gets them, at the end, with their old ids', async () => {
    const desk = await openDesk()
    const { id } = await indexed(desk)
    const db = new Sqlite(join(desk.dataDir, 'events.db'))
    db.exec(`UPDATE events SET headers = replace(headers, '/v1.json', '/v9.json')`)
    await consume(desk, 'indexer', 0)
    expect((await desk.json<{ reason: string }[]>('dlq list'))[0]?.reason).toBe('unknown_version')
    await desk.json('dlq replay --all --yes')
    // What an upgrade would do to the reader is done to the record.
    db.exec(`UPDATE events SET headers = replace(headers, '/v9.json', '/v1.json')`)
    db.close()
    const events = []
    const want = { topics: [TOPIC], startAt: async () => 1, batchMax: 9, untilEnd: true, group: 'indexer' }
    for await (const batch of desk.log.consume({ ...want, signal: new AbortController().signal })) events.push(...batch)
    expect(events).toMatchObject([{ offset: 1, event: { subject: id, type: 'ingest.received' } }])
  })
})

test('events tail tells what it passes over', async () => {
  const desk = await deskWith(1)
  const { status, stdout, stderr } = await desk.run(`events tail --no-follow --topic ${TOPIC} --offset 0`)
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
  expect(stderr).toMatch(/^mail.ingest.v1\/0\/0 cannot be read and is passed over \(data: /)
})
