import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import { expect, test } from 'vitest'
import { openSqliteStore } from '../store/sqlite.ts'
import { claimReply, dayOf, listEvents, projectEvents, saveMessage, usageOf, type EventRow } from '../store/store.ts'
import { draft } from '../store/testing/draft.ts'
import { keepEventsFor } from './indexer.ts'
import { fastClock, silent } from './testing/bed.ts'

const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 10, 21)

const event = (offset: number, appendedAt: number): EventRow => ({
  topic: 't',
  partition: 0,
  offset,
  id: `i${offset}`,
  type: 'x',
  subject: 'm',
  tenant: 'acme',
  entryId: null,
  time: 5,
  appendedAt,
  traceId: 't',
  traceparent: 'p',
  source: 's',
  replayId: null,
  data: {},
})

test.each([
  [30, [2, 3], 'older ones go, in as many batches as it takes'],
  [0, [0, 1, 2, 3], 'for ever'],
])('events are kept for %j days: %j (%s)', async (days, kept, _why) => {
  const dir = mkdtempSync(join(tmpdir(), 'upkeep-'))
  const store = await openSqliteStore({ file: join(dir, 'store.db') })
  const ages = [300, 31, 30, 0]
  const many = Array.from({ length: 2500 }, (_, n) => event(1000 + n, NOW - 40 * DAY_MS))
  await store.transaction((tx) => projectEvents(tx, days === 0 ? [] : many))
  await store.transaction((tx) =>
    projectEvents(
      tx,
      ages.map((age, n) => event(n, NOW - age * DAY_MS)),
    ),
  )
  for (const [n, age] of [101, 99].entries()) {
    await store.transaction((tx) => saveMessage(tx, draft(n, { receivedAt: NOW - age * DAY_MS })))
  }
  await store.transaction(async (tx) => {
    const claim = { address: 'a@x', everyMs: DAY_MS }
    for (let n = 1; n <= 1001; n++) await claimReply(tx, { ...claim, sender: `${n}@x`, now: NOW - n * DAY_MS })
    await claimReply(tx, { ...claim, sender: 'fresh@x', now: NOW - DAY_MS + 1 })
  })
  const stopping = new AbortController()
  // The first look is done when the hour's wait begins.
  const clock = {
    ...fastClock,
    now: () => NOW,
    sleep: async (ms: number) => (ms > 1000 ? stopping.abort() : undefined),
  }
  const registry = new Registry()
  await keepEventsFor({ store, clock, logger: silent, registry, days }, stopping.signal)
  const shown = await registry.metrics()
  expect(shown).toContain(`retention_deleted_total{kind="events"} ${days === 0 ? 0 : 2502}\n`)
  expect(shown).toContain(`retention_last_success_timestamp_seconds{kind="events"} ${days === 0 ? 0 : NOW / 1000}\n`)
  const { rows } = await listEvents(store, {}, { limit: 1000 })
  expect(rows.map((row) => row.offset)).toEqual(kept)
  const came = async (age: number) => (await usageOf(store, ['acme'], dayOf(NOW) - age)).get('acme')?.messages
  expect([await came(101), await came(99)]).toEqual([0, 1])
  const replied = await store.kysely.selectFrom('autoReplied').select('sender').execute()
  expect(replied).toEqual([{ sender: 'fresh@x' }])
  await store.close()
  rmSync(dir, { recursive: true })
})
