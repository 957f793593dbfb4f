import { Registry } from '@prometheus-io/client'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { documentsOf, getMessage, listEvents, listMessages, parseQuery, searchMessages } from '../store/store.ts'
import { Bed, eventually, mail, testParsers } from './testing/bed.ts'

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
})
afterEach(() => bed.close())
afterAll(() => pool.close())

const PDF = `From: Ann <ann@example.org>
To: orders@mail.localhost
Subject: Invoice 4711
Message-ID: <one@example.org>
Date: Mon, 01 Jan 2024 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

mark my words
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename="invoice.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--b--
`

describe('one message', () => {
  test('becomes a row, a document, an object, search text and events', async () => {
    const sent = mail(1, PDF)
    await bed.deliver([sent])
    const indexed: unknown[] = []
    await bed.index({ onIndexed: (message) => indexed.push(message.messageId) })

    const row = await getMessage(bed.store, sent.event.data.messageId)
    expect(row).toMatchObject({
      status: 'PARSED',
      subject: 'Invoice 4711',
      from: [{ name: 'Ann', address: 'ann@example.org' }],
      headerMessageId: '<one@example.org>',
      mailbox: 'orders@mail.localhost',
      sha256: sent.meta.sha256,
      attachmentCount: 1,
      synthetic: false,
    })
    const [document] = await documentsOf(bed.store, [row.id])
    expect(document).toMatchObject({ filename: 'invoice.pdf', contentType: 'application/pdf', ordinal: 0 })
    expect(await bed.blobs.head(document?.key ?? '')).toMatchObject({ sizeBytes: 9 })
    const { rows } = await searchMessages(bed.store, parseQuery('"mark my" filename:invoice').query, {
      limit: 10,
      now: 0,
    })
    expect(rows.map((each) => each.id)).toEqual([row.id])
    const events = await listEvents(bed.store, { messageId: row.id }, { limit: 10 })
    expect(events.rows.map((each) => each.type).sort()).toEqual(['indexer.indexed', 'ingest.received'])
    expect(indexed).toEqual([row.id])
  })
})

test('seen again without a replay, nothing changes; with one, the rows come out the same', async () => {
  const sent = mail(1, PDF)
  await bed.deliver([sent])
  await bed.index()
  const before = await bed.contents()
  await bed.log.append([sent.event, { ...sent.event, replay: { id: 'r1' } }, { ...sent.event, replay: { id: 'r1' } }])
  await bed.index()
  expect(await bed.contents()).toEqual(before)
  const told = await listEvents(bed.store, { types: ['indexer.indexed'] }, { limit: 10 })
  expect(new Set(told.rows.map((each) => each.id)).size).toBe(1)
  expect((await listMessages(bed.store, {}, { limit: 10 })).rows).toHaveLength(1)
})

test('published twice in a row, a message is told of once', async () => {
  const sent = mail(1, PDF)
  await bed.deliver([sent, sent, sent])
  await bed.index()
  expect((await listEvents(bed.store, { types: ['indexer.indexed'] }, { limit: 10 })).rows).toHaveLength(1)
})

test('events of one message are done in their order, however long each takes, and hold up no other', async () => {
  const sent = mail(1, PDF)
  const parse: typeof bed.parsers.parse = async (input) => {
    const first = (await listMessages(bed.store, { status: 'PARSED' }, { limit: 1 })).rows.length === 0
    if (input.workDir.includes(sent.meta.messageId) && first) await new Promise((resolve) => setTimeout(resolve, 300))
    return bed.parsers.parse(input)
  }
  const again = (id: string) => ({ ...sent.event, replay: { id } })
  await bed.deliver([sent])
  await bed.log.append([again('a'), again('b')])
  await bed.deliver([mail(2, 'Message-ID: <other@x>\n\nmark\n')])
  const order: string[] = []
  await bed.index({ concurrency: 2, parsers: { parse }, onIndexed: ({ messageId }) => order.push(messageId) })
  expect(order.indexOf(mail(2, '').meta.messageId)).toBe(0)
  const told = (
    await listEvents(bed.store, { types: ['indexer.indexed'], messageId: sent.meta.messageId }, { limit: 9 })
  ).rows
  const inLog = told.toSorted((one, other) => one.offset - other.offset)
  expect(inLog.map(({ replayId }) => replayId)).toEqual([null, 'a', 'b'])
})

test('lag is told in messages, and as the time of the oldest event that is not done', async () => {
  const registry = new Registry()
  const held = Promise.withResolvers<void>()
  const parse: typeof bed.parsers.parse = async (input) => {
    await held.promise
    return bed.parsers.parse(input)
  }
  const began = Date.now()
  const running = bed.start({ registry, parsers: { parse } })
  const gauge = async (name: string) => {
    const start = `mail_ingest_consumer_${name}{group="indexer",topic="mail.ingest.v1"} `
    const line = (await registry.metrics()).split('\n').find((each) => each.startsWith(start))
    return Number(line?.slice(start.length))
  }
  await bed.deliver([mail(1, PDF), mail(2, PDF)])
  await eventually(async () => (await gauge('lag_messages')) === 2)
  const oldest = await gauge('oldest_event_timestamp_seconds')
  expect(oldest * 1000).toBeGreaterThanOrEqual(began - 1)
  expect(oldest * 1000).toBeLessThanOrEqual(Date.now())
  held.resolve()
  await eventually(async () => (await gauge('lag_messages')) === 0)
  expect(await gauge('oldest_event_timestamp_seconds')).toBe(0)
  expect(await running.stop()).toBeUndefined()
})

test('every metric of the indexer is there from the start, with every label at zero', async () => {
  const registry = new Registry()
  const running = bed.start({ registry })
  await running.stop()
  const text = await registry.metrics()
  const samples = [
    'consumer_events_total{group="indexer",topic="mail.ingest.v1",result="retry"} 0',
    'consumer_events_total{group="projector",topic="mail.messages.v1",result="ok"} 0',
    'consumer_lag_messages{group="indexer",topic="mail.ingest.v1"} 0',
    'consumer_oldest_event_timestamp_seconds{group="projector",topic="mail.messages.v1"} 0',
    'consumer_last_processed_event_timestamp_seconds{group="indexer",topic="mail.ingest.v1"} 0',
    'consumer_rebalances_total{group="indexer"} 0',
    'checkpoint_timestamp_seconds{group="indexer"} 0',
    'index_stage_duration_seconds_count{stage="attachments"} 0',
    'end_to_end_seconds_count 0',
    'attachments_total{disposition="dedup"} 0',
    'attachment_bytes_total{disposition="stored"} 0',
    'quarantined_total{reason="malformed"} 0',
    'quarantine_messages{reason="malformed"} 0',
    'outbox_pending{queue="events"} 0',
    'outbox_oldest_timestamp_seconds{queue="events"} 0',
  ]
  expect(samples.filter((sample) => !text.includes(`\nmail_ingest_${sample}\n`))).toEqual([])
})

test('with as many attachments as may be, names and types as long as any, an event is well below what the log takes', async () => {
  const bed = await Bed.open(pool)
  // A tenth of as many, for the time it takes.
  const most = 500 / 10
  const files = Array.from({ length: most }, (_, n) =>
    [
      `--b\nContent-Type: ${'x'.repeat(127)}/${'y'.repeat(n % 2 === 0 ? 127 : 2000)}`,
      `Content-Disposition: attachment; filename="${'\\"'.repeat(260)}${n}"\n\n${n}\n`,
    ].join('\n'),
  )
  const head = 'From: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n'
  await bed.deliver([mail(1, `${head}${files.join('')}--b--\n`)])
  await bed.index()
  const [logged] = await bed.log.query({ type: 'indexer.indexed', limit: 1 })
  expect(logged?.event.data).toMatchObject({ status: 'PARSED', documents: { length: most } })
  expect(JSON.stringify(logged?.event).length * 10).toBeLessThan(0.75 * 1024 * 1024)
  await bed.close()
})
