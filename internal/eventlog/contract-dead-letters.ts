// What every event log does with records that a group cannot read; part of the contract in contract.ts.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { toBinary } from './codec.ts'
import type { EventLogFixture, RawRecord } from './contract.ts'
import type { Consumption, DeadLetter, EventLog, Keeping, LoggedEvent, Passed, Unreadable } from './eventlog.ts'
import { received } from './testing/records.ts'

const TOPIC = 'mail.ingest.v1'
const GROUP = 'indexer'
type Log = EventLog & Keeping

const good = toBinary(received('bad', 0))
const withHeaders = (headers: Record<string, string>): RawRecord => ({ ...good, headers })
const BAD = { ...good, value: '{"not": "ours"}' }

/** What a group, or a reader alone, reads up to the end, and the ids of letters that were kept when each batch came. */
async function consumed(log: Log, { alone = false, from = 0 } = {}) {
  const seen: { offset: number; letters: string[] }[] = []
  const told: Unreadable[] = []
  const passed: Passed[] = []
  const signal = AbortSignal.timeout(30_000)
  const want: Consumption = { topics: [TOPIC], startAt: async () => from, batchMax: 10, untilEnd: true, signal }
  const unreadable = (record: Unreadable) => void told.push(record)
  for await (const batch of log.consume({
    ...want,
    unreadable,
    passed: (record) => void passed.push(record),
    ...(alone ? {} : { group: GROUP }),
  })) {
    const kept = (await letters(log)).map(({ id }) => id)
    seen.push(...batch.map(({ offset }) => ({ offset, letters: kept })))
  }
  return { seen, told, passed }
}

async function letters(log: Log, group = GROUP): Promise<DeadLetter[]> {
  const found: DeadLetter[] = []
  const signal = AbortSignal.timeout(20_000)
  for await (const letter of log.deadLetters.read({ group, topic: TOPIC, signal })) found.push(letter)
  return found
}

const idOf = (offset: number) => `${GROUP}/${TOPIC}/0/${offset}`
const texts = (headers: object) =>
  Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, String(text)]))

/** Part of eventLogContract. */
export function deadLetterContract(given: () => { fixture: EventLogFixture; log: Log }): void {
  test('what a group cannot read is kept, as it was and with the reason, before the group goes past it', async () => {
    const { fixture, log } = given()
    const began = Date.now()
    await log.append([received('a', 0)])
    await fixture.appendRaw(BAD)
    await log.append([received('a', 2)])
    const { seen, told } = await consumed(log)
    expect(seen).toEqual([
      { offset: 0, letters: [] },
      { offset: 2, letters: [idOf(1)] },
    ])
    const place = { topic: TOPIC, partition: 0, offset: 1 }
    const why = { reason: 'data', error: expect.stringContaining('ingest.received') as string }
    expect(told).toMatchObject([{ ...place, ...why }])
    // Another connection, as the command line has it.
    const [letter, ...more] = await letters(await fixture.open())
    expect(more).toEqual([])
    expect(letter).toMatchObject({ id: idOf(1), group: GROUP, ...place, ...why, attempts: 1 })
    expect(letter?.stack).toContain('CodecError')
    for (const time of [letter?.appendedAt, letter?.deadAt]) expect(Math.abs((time ?? 0) - began)).toBeLessThan(60_000)
    const { key, headers, value } = letter?.record ?? { key: null, headers: {}, value: null }
    expect({ key: String(key), headers: texts(headers), value: String(value) }).toEqual(BAD)
  })

  test.each<[string, RawRecord, string | undefined]>([
    ['no event at all', withHeaders({}), 'malformed'],
    ['no JSON', { ...good, value: '{' }, 'malformed'],
    ['data that the schema forbids', BAD, 'data'],
    ['a major version of a newer release', withHeaders({ ...good.headers, ce_dataschema: 'x/v2' }), 'unknown_version'],
    ['a type of a newer release, which consumers ignore', withHeaders({ ...good.headers, ce_type: 'x.y' }), undefined],
  ])('%s', async (_name, record, reason) => {
    const { fixture, log } = given()
    await fixture.appendRaw(record)
    await log.append([received('a', 1)])
    const { seen } = await consumed(log)
    expect(seen.map(({ offset }) => offset)).toEqual([1])
    expect((await letters(log)).map((letter) => letter.reason)).toEqual(reason === undefined ? [] : [reason])
  })

  test('of records that are ignored the last one is told where no event follows, so that a checkpoint can pass it', async () => {
    const { fixture, log } = given()
    const ignored = withHeaders({ ...good.headers, ce_type: 'x.y' })
    await fixture.appendRaw(ignored)
    await log.append([received('a', 1)])
    await fixture.appendRaw(ignored)
    await fixture.appendRaw(ignored)
    const { seen, passed } = await consumed(log)
    expect(seen).toEqual([{ offset: 1, letters: [] }])
    expect(passed).toMatchObject([{ topic: TOPIC, partition: 0, offset: 3 }])
    expect(Math.abs((passed[0]?.appendedAt ?? 0) - Date.now())).toBeLessThan(60_000)
  })

  test('a reader without a group is told, passes over, and keeps nothing', async () => {
    const { fixture, log } = given()
    await fixture.appendRaw(BAD)
    await log.append([received('a', 1)])
    const { seen, told } = await consumed(log, { alone: true })
    expect(seen).toEqual([{ offset: 1, letters: [] }])
    expect(told).toMatchObject([{ offset: 0, reason: 'data' }])
  })

  test('while dead letters cannot be kept the group waits before the record, and goes on when they can', async () => {
    const { fixture, log } = given()
    await log.append([received('a', 0)])
    await fixture.appendRaw(BAD)
    await log.append([received('a', 2)])
    const mend = await fixture.deadLetterOutage()
    const offsets: number[] = []
    const signal = AbortSignal.timeout(60_000)
    const want = { group: GROUP, topics: [TOPIC], startAt: async () => 0, batchMax: 10, untilEnd: true, signal }
    const reading = (async () => {
      for await (const batch of log.consume(want)) offsets.push(...batch.map((each: LoggedEvent) => each.offset))
    })()
    for (const end = Date.now() + 20_000; offsets.length === 0 && Date.now() < end;) await sleep(20)
    await sleep(2500)
    expect(offsets).toEqual([0])
    await mend()
    await reading
    expect(offsets).toEqual([0, 2])
    const kept = await letters(log)
    expect(kept.map(({ id }) => id)).toEqual([idOf(1)])
    // Tried again, and not without a pause.
    expect(kept[0]?.attempts).toBeGreaterThan(1)
    expect(kept[0]?.attempts).toBeLessThan(10)
  }, 90_000)

  test('replay puts the record back as it was, with the id of its letter; dropping forgets the letter and older ones', async () => {
    const { fixture, log } = given()
    for (let n = 0; n < 3; n += 1) await fixture.appendRaw({ ...BAD, value: `{"n":${n}}` })
    await consumed(log)
    const counted = async () =>
      (await log.deadLetters.counts()).find(({ group, topic }) => group === GROUP && topic === TOPIC)?.count
    const kept = await letters(log)
    expect(kept.map(({ id }) => id)).toEqual([idOf(0), idOf(1), idOf(2)])
    expect(await counted()).toBe(3)

    const [, second] = kept
    if (second === undefined) throw new Error('no letter')
    await log.deadLetters.replay(second)
    await log.deadLetters.replay(second)
    const records = await fixture.readRaw()
    const back = { ...BAD, value: '{"n":1}', headers: { ...BAD.headers, dlt_replayof: second.id } }
    expect(records.slice(3)).toEqual([back, back])
    await log.deadLetters.dropThrough(second)
    expect((await letters(log)).map(({ id }) => id)).toEqual([idOf(2)])
    expect(await counted()).toBe(1)

    // It could not be read again: the new letters are the records as they were at first.
    await consumed(log, { from: 3 })
    const again = (await letters(log)).slice(1)
    expect(again.map(({ id }) => id)).toEqual([idOf(3), idOf(4)])
    for (const { record } of again) expect(texts(record.headers)).toEqual(BAD.headers)
  }, 60_000)
}
