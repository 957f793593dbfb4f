// What needs no broker: URLs and logins, partitions, records, topics, the hand-over between library and caller.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import kafkajs from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { CodecError, toStructured } from './codec.ts'
import { ACLS } from './kafka-acls.ts'
import { Handoff } from './kafka-handoff.ts'
import { mayPass } from './kafka-client.ts'
import { kafkaLines } from './kafka-lines.ts'
import { partitionOf } from './kafka-partitions.ts'
import { deadRecordOf, eventOf, letterOf, recordOf } from './kafka-records.ts'
import { brokersOf, securityOf } from './kafka-url.ts'
import { sampleOf } from './samples.ts'
import { planTopics, stepText, wantedTopics, type TopicShape } from './topics.ts'

describe('EVENT_LOG_URL', () => {
  test.each([
    ['kafka://a.example:9092', ['a.example:9092']],
    ['kafka://a,b:1,10.0.0.1:65535/', ['a:9092', 'b:1', '10.0.0.1:65535']],
    ['kafka://[::1]:9092', ['[::1]:9092']],
  ])('%s', (url, brokers) => expect(brokersOf(url)).toEqual(brokers))

  test.each([
    'kafka:',
    'kafka://',
    'kafka://a:0',
    'kafka://a:65536',
    'kafka://a:x',
    'kafka://a,,b',
    'kafka://a/topic',
    'http://a',
  ])('%s is refused', (url) => expect(() => brokersOf(url)).toThrow(TypeError))
})

describe('KAFKA_SASL_* and KAFKA_TLS_CA', () => {
  const none = { tlsCa: '', saslMechanism: '', saslUsername: '', saslPassword: '' }
  const login = { saslMechanism: 'SCRAM-SHA-512', saslUsername: 'u', saslPassword: 'p' }
  const sasl = { mechanism: 'scram-sha-512', username: 'u', password: 'p' }
  test.each([
    ['nothing', none, {}],
    ['a CA of one’s own', { ...none, tlsCa: 'PEM' }, { tls: { ca: 'PEM' } }],
    ['the CAs that Node knows', { ...none, tlsCa: 'system' }, { tls: {} }],
    ['SCRAM, which never sends the password', { ...none, ...login }, { sasl }],
    [
      'all',
      { tlsCa: 'PEM', ...login, saslMechanism: 'plain' },
      { tls: { ca: 'PEM' }, sasl: { ...sasl, mechanism: 'plain' } },
    ],
  ])('%s', (_name, texts, security) => expect(securityOf(texts)).toEqual(security))

  test.each([
    ['half a login', { ...none, saslUsername: 'u' }, /set together/],
    ['an unknown mechanism', { ...none, ...login, saslMechanism: 'gssapi' }, /one of plain/],
    ['a password in plain text', { ...none, ...login, saslMechanism: 'plain' }, /needs KAFKA_TLS_CA/],
  ])('%s is refused', (_name, texts, why) => expect(() => securityOf(texts)).toThrow(why))
})

describe('partitions', () => {
  // Utils.toPositive(Utils.murmur2(key)) of Apache Kafka's Java client; the hashes are from its own test (UtilsTest.testMurmur2).
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('%s hashes as in Java', (key, hash) => {
    for (const count of [1, 2, 7, 12, 1000]) expect(partitionOf(key, count)).toBe((hash & 0x7fffffff) % count)
  })
})

describe('records', () => {
  const place = { topic: 'mail.ingest.v1', partition: 3 }
  const bytes = (texts: Record<string, string>) =>
    Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]))
  const message = (headers: Record<string, Buffer | Buffer[]>, value: string | null) => {
    const fields = { key: null, attributes: 0, offset: '7', timestamp: '1700000000000' }
    return { ...fields, headers, value: value === null ? null : Buffer.from(value) }
  }
  const sample = sampleOf('indexer.indexed')
  const { record } = recordOf(sample, 3)

  test('an event goes and comes back, with its place', () => {
    const headers = bytes(record.headers as Record<string, string>)
    const logged = { ...place, offset: 7, event: sample, appendedAt: 1_700_000_000_000 }
    expect(eventOf(place, message(headers, String(record.value)))).toEqual([logged])
    expect(record).toMatchObject({ key: sample.subject, partition: 3 })
  })

  test('structured mode is read as well', () => {
    const headers = bytes({ 'content-type': 'application/cloudevents+json; charset=UTF-8' })
    expect(eventOf(place, message(headers, JSON.stringify(toStructured(sample))))).toMatchObject([{ event: sample }])
  })

  const known = record.headers as Record<string, string>
  test.each<[string, Record<string, string>, string | null, string]>([
    ['no headers', {}, '{}', 'malformed'],
    ['a tombstone', known, null, 'malformed'],
    ['no JSON', known, '{', 'malformed'],
    ['another content type', { ...known, 'content-type': 'text/plain' }, '{}', 'malformed'],
    ['data that the schema forbids', known, '{}', 'data'],
    ['a major version of a newer release', { ...known, ce_dataschema: 'x/v2.json' }, '{}', 'unknown_version'],
  ])('%s is dead', (_name, headers, value, fault) => {
    expect(eventOf(place, message(bytes(headers), value))).toMatchObject({ name: 'CodecError', fault })
  })

  test('a type of a newer release is passed over, whatever else it has or lacks (events.md: ignore unknown types)', () => {
    const headers = { ce_specversion: '1.0', ce_type: 'x.y', 'content-type': 'application/protobuf' }
    expect(eventOf(place, message(bytes(headers), '\x08'))).toEqual([])
  })

  test('a dead letter is the record as it was, and says why; its stack is cut', () => {
    const error = new CodecError('data', 'no')
    error.stack = 'é'.repeat(5000)
    const given = message({ ...bytes(known), twice: [Buffer.from('1'), Buffer.from([0xff])] }, '{}')
    const { record: dead } = deadRecordOf({ item: given, error }, { group: 'g', ...place, attempts: 2 })
    expect(dead).toMatchObject({ key: given.key, value: given.value, partition: 3 })
    expect(String(dead.headers?.['dlt_stack'])).toBe('é'.repeat(2048))
    const headers = Object.fromEntries(
      Object.entries(dead.headers ?? {}).map(([name, value]) => [
        name,
        typeof value === 'string' ? Buffer.from(value) : value,
      ]),
    )
    const [letter] = letterOf({ ...given, headers, offset: '5' })
    const told = {
      group: 'g',
      ...place,
      offset: 7,
      appendedAt: 1_700_000_000_000,
      reason: 'data',
      error: 'no',
      attempts: 2,
    }
    expect(letter).toMatchObject({ id: 'g/mail.ingest.v1/3/7', at: 5, ...told })
    expect(letter?.record).toEqual({ key: given.key, value: given.value, headers: given.headers })
    expect(letterOf(given)).toEqual([])
  })
})

describe('topics', () => {
  const settings = { prefix: 'org.', replication: 3 }
  const wanted = wantedTopics(settings)
  const [first, ...others] = wanted as [TopicShape, ...TopicShape[]]
  const plan = (change: Partial<TopicShape>, options = {}) =>
    planTopics(wanted, [{ ...first, ...change }, ...others], options).map(stepText)

  test('an empty cluster gets all of them', () => {
    expect(planTopics(wanted, []).map(stepText)).toEqual([
      'create org.mail.ingest.v1: 12 partitions, 3 replicas',
      'create org.mail.messages.v1: 12 partitions, 3 replicas',
      'create org.mail.refusals.v1: 12 partitions, 3 replicas',
      'create org.indexer.mail.ingest.v1.dlt: 12 partitions, 3 replicas',
      'create org.projector.mail.ingest.v1.dlt: 12 partitions, 3 replicas',
      'create org.projector.mail.messages.v1.dlt: 12 partitions, 3 replicas',
      'create org.projector.mail.refusals.v1.dlt: 12 partitions, 3 replicas',
    ])
  })

  test('more copies than there are brokers are refused, and what is missing is told all the same', () => {
    expect(planTopics(wanted.slice(0, 1), [], { brokers: 1 }).map(stepText)).toEqual([
      'refused: org.mail.ingest.v1 is to have 3 copies (KAFKA_REPLICATION), and the cluster has brokers for 1',
      'create org.mail.ingest.v1: 12 partitions, 3 replicas',
    ])
    expect(planTopics(wanted, wanted, { brokers: 1 })).toEqual([])
  })

  test('one replica may be away, and a single one may not', () => {
    const least = (replication: number) => wantedTopics({ prefix: '', replication })[0]?.config['min.insync.replicas']
    expect([1, 2, 3, 5].map(least)).toEqual(['1', '1', '2', '4'])
  })

  test('the largest event fits whatever the brokers allow, and so does its dead letter', () => {
    const sizes = wanted.map(({ config }) => Number(config['max.message.bytes']) / 1024 / 1024)
    expect(sizes).toEqual([1, 1, 1, 2, 2, 2, 2])
  })

  test.each<[string, Partial<TopicShape>, object, RegExp[]]>([
    ['all as wanted', {}, {}, []],
    ['what others have set does not matter', { config: { ...first.config, 'segment.bytes': '1' } }, {}, []],
    [
      'another retention',
      { config: { ...first.config, 'retention.ms': '1' } },
      {},
      [/configure .* retention.ms 1 to 1209600000/],
    ],
    ['fewer partitions break key order', { partitions: 6 }, {}, [/refused: .* order .*--accept-reordering/]],
    ['unless that is accepted', { partitions: 6 }, { acceptReordering: true }, [/grow .*: 6 to 12/]],
    ['more partitions never go', { partitions: 24 }, { acceptReordering: true }, [/refused: .* cannot take away/]],
    ['other replicas', { replication: 1 }, {}, [/refused: .* kafka-reassign-partitions/]],
  ])('%s', (_name, change, options, steps) => {
    const texts = plan(change, options)
    expect(texts).toHaveLength(steps.length)
    for (const [at, step] of steps.entries()) expect(texts[at]).toMatch(step)
  })
})

describe('docs/kafka.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/kafka.md'), 'utf8')

  test('names every topic with its numbers', () => {
    for (const { name, partitions, config } of wantedTopics({ prefix: '', replication: 3 })) {
      const days = Number(config['retention.ms']) / 86_400_000
      const key = name.endsWith('.dlt') ? 'as it was' : name === 'mail.refusals.v1' ? 'tenant' : 'message id'
      expect(page).toContain(`| \`${name}\` | ${partitions} | ${days} days | ${config['cleanup.policy']} | ${key} |`)
    }
  })

  test('asks for exactly the grants that the test on a secured broker gives', () => {
    const rows = ACLS.map(({ resource, name, prefixed, operations, why }) => {
      const what = `${resource.toLowerCase()}${prefixed ? ', prefixed' : ''}`
      return `| ${what} | \`${name}\` | ${operations.map((each) => `\`${each}\``).join(', ')} | ${why} |`
    })
    for (const row of rows) expect(page).toContain(row)
    expect(page.match(/^\| (topic|group), /gm)).toHaveLength(rows.length)
  })
})

describe('hand-over', () => {
  test('a batch is finished when its taker comes back', async () => {
    const handoff = new Handoff<string>()
    const { done } = handoff.offer('a')
    let finished: boolean | undefined
    const noted = done.then((value) => (finished = value))
    expect(await handoff.take()).toBe('a')
    expect(finished).toBeUndefined()
    const next = handoff.take()
    await noted
    expect(finished).toBe(true)
    handoff.end()
    expect(await next).toBeUndefined()
  })

  test('what is withdrawn is not taken; what comes later is', async () => {
    const handoff = new Handoff<string>()
    handoff.offer('a').withdraw()
    const taken = handoff.take()
    void handoff.offer('b').done
    expect(await taken).toBe('b')
  })

  test('the end wakes both sides, and an error comes out where batches do', async () => {
    const handoff = new Handoff<string>()
    const taken = handoff.take()
    handoff.end(new Error('broken'))
    handoff.end()
    await expect(taken).rejects.toThrow('broken')
    expect(await handoff.offer('c').done).toBe(false)
  })
})

test('kafkajs is the version whose inside was read: kafka-quiet.ts, kafka-publisher.ts and kafka-consumption.ts rely on it', async () => {
  const { default: manifest } = (await import('kafkajs/package.json', { with: { type: 'json' } })) as {
    default: { version: string }
  }
  expect(manifest.version).toBe('2.2.4')
  expect(kafkajs.Kafka).toBeTypeOf('function')
})

describe('errors of the Kafka client that pass', () => {
  const retriable = { retriable: true }
  test.each<[string, unknown, boolean]>([
    ['one that says so', Object.assign(new Error('no leader'), retriable), true],
    ['one that wraps it', new Error('gave up', { cause: retriable }), true],
    ['no metadata of topics', new TypeError("Cannot read properties of null (reading 'topicMetadata')"), true],
    ['none of the cluster', new TypeError("Cannot destructure property 'brokers' of '(…)' as it is null."), true],
    ['a bug', new TypeError("Cannot read properties of undefined (reading 'x')"), false],
    ['a refusal', new Error('not authorized'), false],
  ])('%s', (_what, error, passes) => expect(mayPass(error)).toBe(passes))
})

describe('lines of the Kafka client', () => {
  const missing = { message: 'Response Metadata(key: 3)', error: 'This server does not host this topic-partition' }
  test.each<[string, kafkajs.logLevel, Record<string, string>, string[]]>([
    [
      'what it repeats is told once a minute, with how often it came',
      kafkajs.logLevel.ERROR,
      missing,
      ['warn', 'debug', 'debug', 'warn 2'],
    ],
    [
      'everyday trouble is quiet',
      kafkajs.logLevel.ERROR,
      { message: 'The group is rebalancing' },
      ['debug', 'debug', 'debug', 'debug'],
    ],
    [
      'what it tells of its work is quiet',
      kafkajs.logLevel.INFO,
      { message: 'Consumer has joined' },
      ['debug', 'debug', 'debug', 'debug'],
    ],
  ])('%s', (_what, level, line, told) => {
    const lines: string[] = []
    const at = (name: string) => (fields: Record<string, unknown>) =>
      void lines.push(typeof fields['repeated'] === 'number' ? `${name} ${fields['repeated']}` : name)
    const tell = kafkaLines({ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') })
    const said = { logger: 'kafkajs', message: '', ...line }
    for (const second of [0, 1, 59.9, 60]) {
      const log = { ...said, correlationId: second, timestamp: new Date(second * 1000).toISOString() }
      tell({ namespace: 'Connection', level, label: '', log })
    }
    expect(lines).toEqual(told)
  })
})
