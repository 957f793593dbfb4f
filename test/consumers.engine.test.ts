// Teams that have the AsyncAPI document and their language's usual client read the topics: examples/consumers on a real broker.

import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import kafkajs from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { messageId, uuidv5 } from '../internal/envelope/envelope.ts'
import { folderNow } from '../internal/eventlog/testing/history.ts'
import { adminOf, makeTopics, openLog, testLog } from '../internal/eventlog/testing/kafka-bed.ts'
import { kafkaClient } from '../internal/eventlog/kafka-client.ts'
import {
  EVENT_TYPES,
  TOPICS,
  isEventType,
  keyOf,
  makeEvent,
  topicOf,
  type EventLog,
  type MailEvent,
} from '../internal/eventlog/eventlog.ts'
import { sampleOf } from '../internal/eventlog/samples.ts'
import {
  LANGUAGE_NAMES,
  installConsumers,
  languageUnavailable,
  startConsumer,
  type LanguageName,
  type Line,
  type RunningConsumer,
} from './consumers.ts'
import { kafkaUnavailable, startKafka, type Kafka } from './engines/kafka.ts'
import { entryIdOf, mailOf, Session } from './mail.ts'
import { eventually, ingestctl, pause, startSystem, temporaryFolder } from './system.ts'

const ROOT = join(import.meta.dirname, '..')
const DOCUMENT = join(ROOT, 'schemas/asyncapi.json')
const PARTITIONS = 6
const MESSAGES = 12
const READ_MS_MAX = 60_000

const unavailable = [kafkaUnavailable(), ...LANGUAGE_NAMES.map(languageUnavailable)].find((why) => why !== undefined)
const run = promisify(execFile)
let folders: Map<LanguageName, string>

test('Kafka and the three languages can run here', (context) => {
  if (unavailable !== undefined) context.skip(unavailable)
})

/** What a record is sent as and read as, but for its place. */
type Sent = Omit<Line, 'partition' | 'offset' | 'duplicate'> | { topic: string; skipped: string }
const sentAs = (event: MailEvent): Sent => ({
  topic: topicOf(event.type),
  type: event.type,
  id: event.id,
  key: keyOf(event),
  tenant: event.tenant,
  replay: event.replay?.id ?? null,
})

/** One event of every type about the n-th message. */
function eventsAbout(n: number): MailEvent[] {
  const message = uuidv5('019a8b2c-4d5e-7f60-8a1b-2c3d4e5f6071', `message ${n}`)
  return EVENT_TYPES.map((type) => {
    const { source, time, traceparent, data } = sampleOf(type)
    const id = type === 'ingest.refused' ? { refusalId: message } : { messageId: message }
    const about = { ...data, ...id, tenant: `tenant-${n % 3}` }
    return makeEvent<typeof type>(type, { source, time, traceparent, data: about })
  })
}

/** Records as they are, past our publisher: what once stood in the log, and what newer releases may bring. */
function foreignRecords(): { sent: Sent; record: { key: string; headers: Record<string, string>; value: string } }[] {
  const historic = [...folderNow(ROOT)].filter(([path]) => path.startsWith('schemas/fixtures/'))
  const read = historic.map(([, text]) => {
    const { key, headers, value } = JSON.parse(text) as { key: string; headers: Record<string, string>; value: unknown }
    const { ce_type: type = '', ce_id: id = '', ce_tenant: tenant = '', ce_replayid: replay = null } = headers
    if (!isEventType(type)) throw new TypeError(type)
    return {
      sent: { topic: topicOf(type), type, id, key, tenant, replay },
      record: { key, headers, value: JSON.stringify(value) },
    }
  })
  const [known] = read
  if (known === undefined) throw new TypeError('no fixtures')
  const { sent, record } = known
  const [id, newer] = [randomUUID(), { ...(JSON.parse(record.value) as object), added: { later: true } }]
  const withMore = {
    ...record,
    headers: { ...record.headers, ce_id: id, ce_added: 'later' },
    value: JSON.stringify(newer),
  }
  const unknown = (headers: Record<string, string>) => ({ ...record, headers: { ...record.headers, ...headers } })
  return [
    ...read,
    { sent: { ...sent, id }, record: withMore },
    { sent: { topic: sent.topic, skipped: 'message.folded' }, record: unknown({ ce_type: 'message.folded' }) },
    {
      sent: { topic: sent.topic, skipped: record.headers['ce_type'] ?? '' },
      record: unknown({ ce_dataschema: 'https://mail-ingest.invalid/schemas/events/any/v2.json' }),
    },
  ]
}

const inOrder = (lines: readonly Line[]) =>
  lines.toSorted((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition || a.offset - b.offset)

/** A line without its place, as it was sent. */
function asSent({ partition: _partition, offset: _offset, duplicate: _duplicate, ...sent }: Line): Sent {
  return sent
}

/** Groups of what has one topic and key, in their order. */
const byKey = (sent: readonly Sent[]) =>
  Map.groupBy(sent, (each) => ('key' in each ? `${each.topic} ${each.key}` : 'skipped'))

const running: RunningConsumer[] = []
afterEach(async () => {
  for (const each of running.splice(0)) await each.stop()
})

/** Runs all consumers until each has read `count` records; then they must end well and agree. */
async function readByAll(kafka: Kafka, count: number, env: Record<string, string> = {}): Promise<Line[]> {
  const all = LANGUAGE_NAMES.map((name) => {
    const folder = folders.get(name) ?? ''
    const consumer = startConsumer(name, folder, [kafka.brokers.join(','), DOCUMENT, `team-${name}`], env)
    running.push(consumer)
    return { name, consumer }
  })
  const outputs = await Promise.all(
    all.map(async ({ name, consumer }) => {
      const done = () => consumer.lines.length >= count || !consumer.alive()
      await eventually(async () => done() || undefined, READ_MS_MAX, name).catch(() => undefined)
      // What is too much would come now.
      await pause(300)
      const status = await consumer.stop()
      const complaints = consumer.complaints()
      return { name, lines: inOrder(consumer.lines), status, complaints }
    }),
  )
  for (const { name, lines, status, complaints } of outputs) {
    expect({ name, complaints, count: lines.length }).toEqual({ name, complaints: '', count })
    // A JVM that was asked to end says so in its status, also when all went well.
    expect(status).toBe(name === 'java' ? 143 : 0)
    expect(lines).toEqual(outputs[0]?.lines)
  }
  return outputs[0]?.lines ?? []
}

describe.skipIf(unavailable !== undefined)('with the AsyncAPI document and a standard client', () => {
  let kafka: Kafka
  beforeAll(async () => {
    folders = await installConsumers()
    kafka = await startKafka()
    await makeTopics(kafka, { prefix: '', partitions: PARTITIONS })
  })
  afterAll(() => kafka.stop())

  test('Node, Python and Java read what becomes of real mail', async () => {
    const system = await startSystem(temporaryFolder(), { EVENT_LOG_URL: kafka.url })
    const session = await Session.open(system.smtpPort)
    const messages: string[] = []
    for (const token of ['one', 'two', 'three']) {
      const reply = await session.send('ann@sender.example', ['orders+acme@mail.localhost'], mailOf(token, 2000))
      expect(reply).toMatch(/^250 /)
      messages.push(messageId(entryIdOf(reply) ?? '', 'acme'))
    }
    // Bare line ends: refused, and told to the tenant.
    const bare = Buffer.from('Subject: x\r\n\r\na\nb\r\n')
    expect(await session.send('ann@sender.example', ['orders+acme@mail.localhost'], bare)).toMatch(/^550 /)
    session.close()

    const life = ['ingest.received', 'objectstore.uploaded', 'indexer.indexed']
    const wanted = [...messages.flatMap((message) => life.map((type) => `${message} ${type}`)), 'acme ingest.refused']
    const lines = await readByAll(kafka, wanted.length)
    expect(new Set(lines.map(({ key, type }) => `${key} ${type}`))).toEqual(new Set(wanted))
    expect(lines.filter(({ duplicate, skipped }) => duplicate || skipped !== undefined)).toEqual([])
    const refused = await eventually(async () => {
      const list = ['refusals', 'list', '--tenant', 'acme', '--json']
      const { stdout } = await ingestctl(system.dataDir, list, { EVENT_LOG_URL: kafka.url })
      const rows = JSON.parse(stdout.toString() || '[]') as object[]
      return rows.length > 0 ? rows : undefined
    })
    expect(refused).toMatchObject([{ reason: 'bare_lf', code: 550, stage: 'data', senderDomain: 'sender.example' }])
    await system.stop()
  }, 120_000)

  test('started again they go on where they were: each record, in order for a key, with its id; unknown ones are passed over', async () => {
    const log = openLog(kafka, '')
    const before = await placesOf(log)
    const sent = await publish(kafka, log)
    const after = await placesOf(log)
    await log.close()

    const lines = await readByAll(kafka, sent.length)
    expect(byKey(lines.map(asSent))).toEqual(byKey(sent))
    expect(lines.map(({ topic, partition, offset }) => `${topic} ${partition} ${offset}`)).toEqual(
      after.filter((place) => !before.includes(place)),
    )

    const seen = new Set<string>()
    const events = lines.filter(({ skipped }) => skipped === undefined)
    for (const { id, duplicate } of events) {
      expect(duplicate).toBe(seen.has(id))
      seen.add(id)
    }
    const partitions = await javaPartitions(events.map(({ key }) => key))
    expect(events.filter(({ key, partition }) => partition !== partitions.get(key))).toEqual([])
    expect(new Set(partitions.values()).size).toBe(PARTITIONS)
  }, 120_000)

  test('with TLS and a login, both as the document says, and no more than its grants', async () => {
    const kafka = await startKafka({ sasl: true })
    const { security } = kafka
    if (security === undefined) throw new TypeError('not secured')
    const tls = { ca: readFileSync(security.caFile, 'utf8') }
    const admin = { tls, sasl: { mechanism: security.mechanism, ...security.admin } }
    try {
      await makeTopics(kafka, { prefix: '', partitions: PARTITIONS, security: admin })
      const clerk = await adminOf(kafka, admin)
      const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
      const grant = { principal: 'User:ingest', host: '*', permissionType: AclPermissionTypes.ALLOW }
      const named = { ...grant, resourcePatternType: ResourcePatternTypes.PREFIXED }
      const topics = { ...named, resourceType: AclResourceTypes.TOPIC, resourceName: 'mail.' }
      const groups = { ...named, resourceType: AclResourceTypes.GROUP, resourceName: 'team-' }
      await clerk.createAcls({
        acl: [
          { ...topics, operation: AclOperationTypes.READ },
          { ...topics, operation: AclOperationTypes.DESCRIBE },
          { ...groups, operation: AclOperationTypes.READ },
        ],
      })
      await clerk.disconnect()
      const log = openLog(kafka, '', admin)
      const events = eventsAbout(0)
      await log.append(events)
      await log.close()
      const { username, password } = security.ingest
      const env = { KAFKA_USERNAME: username, KAFKA_PASSWORD: password, KAFKA_CA: security.caFile }
      const lines = await readByAll(kafka, events.length, env)
      expect(byKey(lines.map(asSent))).toEqual(byKey(events.map(sentAs)))
    } finally {
      for (const each of running.splice(0)) await each.stop()
      await kafka.stop()
    }
  }, 120_000)
})

/** Every place in the log, in the order of `inOrder`. */
async function placesOf(log: EventLog): Promise<string[]> {
  const ends = await Promise.all(TOPICS.map((topic) => log.ends(topic)))
  return ends
    .flat()
    .flatMap(({ topic, partition, offset }) => Array.from({ length: offset }, (_, at) => `${topic} ${partition} ${at}`))
}

/** All types, for each message in their order but the messages mixed; a duplicate, a replay, and foreign records. Resolves with all. */
async function publish(kafka: Kafka, log: EventLog): Promise<Sent[]> {
  const events = Array.from({ length: MESSAGES }, (_, n) => eventsAbout(n))
  const steps = EVENT_TYPES.map((_, step) => events.flatMap((each) => each[step] ?? []))
  for (const step of steps) await log.append(step)
  const [[repeated] = []] = steps
  if (repeated === undefined) throw new TypeError('no events')
  const again: MailEvent[] = [repeated, { ...repeated, replay: { id: randomUUID() } }]
  await log.append(again)

  const foreign = foreignRecords()
  const createPartitioner = kafkajs.Partitioners.DefaultPartitioner
  const client = kafkaClient({ brokers: kafka.brokers, clientId: 'test', log: testLog })
  const producer = client.producer({ createPartitioner })
  await producer.connect()
  for (const { sent, record } of foreign) await producer.send({ topic: sent.topic, messages: [record] })
  await producer.disconnect()
  return [...[...steps.flat(), ...again].map(sentAs), ...foreign.map(({ sent }) => sent)]
}

/** Where Java's own producer would put each key. */
async function javaPartitions(given: readonly string[]): Promise<Map<string, number>> {
  const keys = [...new Set(given)]
  const jars = join(folders.get('java') ?? '', 'libs/*')
  const program = join(import.meta.dirname, 'consumers/Partitions.java')
  const { stdout } = await run('java', ['-cp', jars, program, String(PARTITIONS), ...keys])
  const partitions = stdout.trim().split('\n').map(Number)
  return new Map(keys.map((key, at) => [key, partitions[at] ?? -1]))
}
