// What every event log must do, run by each adapter's test on the real engine.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deadLetterContract } from './contract-dead-letters.ts'
import {
  EventLogError,
  type Consumption,
  type EventLog,
  type Keeping,
  type LoggedEvent,
  type MailEvent,
} from './eventlog.ts'
import { sampleOf } from './samples.ts'
import { received } from './testing/records.ts'

/** One empty log and what a test may do to its engine. */
export interface EventLogFixture {
  /** A connection of its own to the same data; called again it is a restart, or another reader. The fixture closes it. */
  open(): Promise<EventLog & Keeping>
  /** Makes appends fail until the returned function is called. */
  outage(): Promise<() => Promise<void>>
  /** Appends `count` events of `received(tag, n)` from another process, one at a time. */
  appendElsewhere(tag: string, count: number): Promise<void>
  /** Puts a record on `mail.ingest.v1`, whatever it is. */
  appendRaw(record: RawRecord): Promise<void>
  /** Every record of `mail.ingest.v1`. */
  readRaw(): Promise<RawRecord[]>
  /** Makes keeping dead letters fail, and reading not, until the returned function is called. */
  deadLetterOutage(): Promise<() => Promise<void>>
  close(): Promise<void>
}

/** A record without a meaning. */
export interface RawRecord {
  key: string
  headers: Record<string, string>
  value: string
}

const TOPIC = 'mail.ingest.v1'
const many = (tag: string, count: number) => Array.from({ length: count }, (_, n) => received(tag, n))

/** All events that `want` gives, up to `count` of them. */
async function take(log: EventLog, count: number, want: Partial<Consumption> = {}): Promise<LoggedEvent[]> {
  const stop = new AbortController()
  const events: LoggedEvent[] = []
  const defaults = { topics: [TOPIC], startAt: async () => 0, batchMax: 7, signal: stop.signal }
  if (count === 0) return events
  for await (const batch of log.consume({ ...defaults, ...want })) {
    events.push(...batch)
    if (events.length >= count) break
  }
  return events
}

const all = (log: EventLog, want: Partial<Consumption> = {}) => take(log, Infinity, { untilEnd: true, ...want })
const sizes = (events: readonly LoggedEvent[]) =>
  events.map(({ event }) => (event.data as { sizeBytes: number }).sizeBytes)
const offsets = (events: readonly LoggedEvent[]) => events.map(({ offset }) => offset)
const upTo = (count: number, from = 0) => Array.from({ length: count - from }, (_, at) => from + at)

/** Runs the suite on fresh logs from `make`. */
export function eventLogContract(name: string, make: () => Promise<EventLogFixture>): void {
  describe(`event log: ${name}`, () => {
    let fixture: EventLogFixture
    let log: EventLog & Keeping
    beforeEach(async () => {
      fixture = await make()
      log = await fixture.open()
    })
    afterEach(() => fixture.close())

    reading(() => log)
    following(() => ({ fixture, log }))
    deadLetterContract(() => ({ fixture, log }))

    test('a restart keeps events and offsets, and goes on with the next', async () => {
      await log.append(many('a', 3))
      await log.close()
      const again = await fixture.open()
      await again.append([received('b', 3)])
      expect(offsets(await all(again))).toEqual([0, 1, 2, 3])
      expect(sizes(await all(again))).toEqual([0, 1, 2, 3])
    })

    test('an append that fails tells, leaves nothing partial, and works when the engine is back', async () => {
      await log.append(many('a', 2))
      const mend = await fixture.outage()
      await expect(log.append(many('b', 5))).rejects.toThrow(EventLogError)
      await mend()
      await log.append(many('b', 5))
      const ids = (await all(log)).map(({ event }) => event.id)
      expect(ids).toEqual([...many('a', 2), ...many('b', 5)].map(({ id }) => id))
    })

    test('appenders in two processes: every event once, no gap, each process in its order', async () => {
      const both = { running: true }
      const there = fixture.appendElsewhere('there', 100).finally(() => (both.running = false))
      const here: MailEvent[] = []
      while (both.running) {
        here.push(received('here', here.length))
        await log.append(here.slice(-1))
        await sleep(1)
      }
      await there
      const events = await all(log, { batchMax: 100 })
      expect(offsets(events)).toEqual(upTo(here.length + 100))
      for (const wanted of [here, many('there', 100)].map((each) => each.map(({ id }) => id))) {
        const known = new Set(wanted)
        expect(events.map(({ event }) => event.id).filter((id) => known.has(id))).toEqual(wanted)
      }
    }, 60_000)

    test('a closed log rejects', async () => {
      await log.close()
      await expect(log.append([received('a', 1)])).rejects.toMatchObject({ fault: 'closed' })
    })
  })
}

function reading(log: () => EventLog): void {
  test('events come back as they were, with place and time, in order of appending', async () => {
    const events = [received('a', 0), sampleOf('objectstore.uploaded'), received('a', 2)]
    await log().append(events)
    const logged = await all(log())
    expect(logged.map(({ event }) => event)).toEqual(events)
    expect(offsets(logged)).toEqual([0, 1, 2])
    for (const { topic, partition, appendedAt } of logged) {
      expect({ topic, partition }).toEqual({ topic: TOPIC, partition: 0 })
      expect(Math.abs(appendedAt - Date.now())).toBeLessThan(60_000)
    }
  })

  test('the same event again is another record with the same id', async () => {
    await log().append([received('a', 1)])
    await log().append([received('a', 1)])
    const logged = await all(log())
    expect(offsets(logged)).toEqual([0, 1])
    expect(new Set(logged.map(({ event }) => event.id)).size).toBe(1)
  })

  test('appending nothing is nothing', async () => {
    await log().append([])
    expect(await log().ends(TOPIC)).toEqual([{ topic: TOPIC, partition: 0, offset: 0 }])
  })

  test('data that its schema forbids is a bug: nothing of the append is there', async () => {
    const { data, ...rest } = received('a', 1)
    const wrong = { ...rest, data: { ...data, sizeBytes: -1 } }
    await expect(log().append([received('a', 0), wrong])).rejects.toThrow(TypeError)
    expect(await all(log())).toEqual([])
  })

  test('batches are bounded, and of one topic', async () => {
    const mixed = many('a', 20).flatMap((event) => [event, sampleOf('message.failed')])
    await log().append(mixed)
    const topics = [TOPIC, 'mail.messages.v1']
    const startAt = async () => 0
    let count = 0
    const signal = new AbortController().signal
    for await (const batch of log().consume({ topics, startAt, batchMax: 7, untilEnd: true, signal })) {
      expect(batch.length).toBeLessThanOrEqual(7)
      expect(new Set(batch.map(({ topic }) => topic)).size).toBe(1)
      count += batch.length
    }
    expect(count).toBe(40)
  })

  test('replay from an offset; from the end there is nothing', async () => {
    await log().append(many('a', 10))
    expect(sizes(await all(log(), { startAt: async () => 6 }))).toEqual([6, 7, 8, 9])
    expect(await all(log(), { startAt: async () => 10 })).toEqual([])
  })

  test('replay from a time: the first offset appended at or after it', async () => {
    await log().append(many('a', 3))
    await sleep(5)
    const between = Date.now()
    await log().append(many('b', 2))
    const at = async (timeMs: number) => (await log().offsetsAt(TOPIC, timeMs))[0]?.offset
    expect(await at(0)).toBe(0)
    expect(await at(between)).toBe(3)
    expect(await at(Date.now() + 60_000)).toBe(5)
    expect(await log().offsetsAt('mail.messages.v1', 0)).toMatchObject([{ offset: 0 }])
  })

  test('lag is the distance of a checkpoint to ends()', async () => {
    await log().append(many('a', 12))
    const [end] = await log().ends(TOPIC)
    expect((end?.offset ?? 0) - 5).toBe((await all(log(), { startAt: async () => 5 })).length)
  })
}

function following(given: () => { fixture: EventLogFixture; log: EventLog }): void {
  test('a consumer at the end gets what is appended then, also by another process', async () => {
    const { log, fixture } = given()
    const taken = take(log, 6)
    await sleep(30)
    await log.append(many('a', 3))
    await fixture.appendElsewhere('b', 3)
    expect(offsets(await taken)).toEqual(upTo(6))
  }, 60_000)

  test('two consumers see the same, each at its own pace', async () => {
    const { log, fixture } = given()
    const other = await fixture.open()
    const both = [take(log, 30, { batchMax: 1 }), take(other, 30, { batchMax: 100 })]
    for (const event of many('a', 30)) await log.append([event])
    for (const events of await Promise.all(both)) expect(sizes(events)).toEqual(upTo(30))
  })

  test('a consumer resumes at its checkpoint', async () => {
    const { log } = given()
    await log.append(many('a', 20))
    const first = await take(log, 10, { batchMax: 5 })
    const checkpoint = (first.at(-1)?.offset ?? -1) + 1
    expect(sizes([...first, ...(await all(log, { startAt: async () => checkpoint }))])).toEqual(upTo(20))
  })

  test('untilEnd ends at the end as it was, also while more is appended', async () => {
    const { log } = given()
    await log.append(many('a', 10))
    const seen: LoggedEvent[] = []
    const signal = new AbortController().signal
    for await (const batch of log.consume({
      topics: [TOPIC],
      startAt: async () => 0,
      batchMax: 3,
      untilEnd: true,
      signal,
    })) {
      seen.push(...batch)
      await log.append(batch.map((_, n) => received('more', n)))
    }
    expect(sizes(seen)).toEqual(upTo(10))
  })

  test('the signal ends the iteration without an error, while it waits and before it begins', async () => {
    const { log } = given()
    const stop = new AbortController()
    const waiting = take(log, 1, { signal: stop.signal })
    await sleep(30)
    stop.abort()
    expect(await waiting).toEqual([])
    expect(await take(log, 1, { signal: stop.signal })).toEqual([])
  })
}
