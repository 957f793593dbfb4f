// SASL_SSL with a CA of our own and an authorizer that allows only what docs/kafka.md says is needed.

import { readFile } from 'node:fs/promises'
import kafkajs, { type AclEntry, type Admin } from 'kafkajs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import type { EventLog, Keeping } from './eventlog.ts'
import { kafkaTopics } from './kafka-topics.ts'
import { brokersOf, securityOf, type KafkaSecurity } from './kafka-url.ts'
import { ACLS } from './kafka-acls.ts'
import { adminOf, appendRaw, makeTopics, openLog, testLog } from './testing/kafka-bed.ts'
import { realClock, received } from './testing/records.ts'

const TOPIC = 'mail.ingest.v1'
const prefix = 'secured.'
let kafka: Kafka
let tlsCa: string
let admin: Admin
const opened: EventLog[] = []
/** Events that all tests have appended. */
let appended = 0

function login(name: 'admin' | 'ingest', changes: Partial<Parameters<typeof securityOf>[0]> = {}): KafkaSecurity {
  const { security } = kafka
  if (security === undefined) throw new TypeError('not secured')
  const { username, password } = security[name]
  return securityOf({
    tlsCa,
    saslMechanism: 'scram-sha-512',
    saslUsername: username,
    saslPassword: password,
    ...changes,
  })
}

function open(security: KafkaSecurity): EventLog & Keeping {
  const log = openLog(kafka, prefix, { ...security, appendMaxMs: 5000 })
  opened.push(log)
  return log
}

beforeAll(async () => {
  kafka = await startKafka({ sasl: true })
  tlsCa = await readFile(kafka.security?.caFile ?? '', 'utf8')
  await makeTopics(kafka, { prefix, partitions: 2, security: login('admin') })
  admin = await adminOf(kafka, login('admin'))
})
afterAll(async () => {
  await admin.disconnect()
  await kafka.stop()
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
})

test('without a grant: rejected, and said so', async () => {
  await expect(open(login('ingest')).append([received('a', 0)])).rejects.toMatchObject({ fault: 'readonly' })
}, 60_000)

test.each<[string, Partial<Parameters<typeof securityOf>[0]>]>([
  ['scram-sha-512', {}],
  ['plain', { saslMechanism: 'plain' }],
])(
  '%s: with exactly the grants of docs/kafka.md, events go in and come out, in a group and without',
  async (_name, changes) => {
    await grant()
    const log = open(login('ingest', changes))
    // The broker follows its own controller: a grant holds a moment after it was made.
    await expect
      .poll(() => log.append([received('a', 1), received('b', 2)]).catch(String), { timeout: 10_000 })
      .toBe(undefined)
    appended += 2
    for (const group of ['indexer', undefined]) {
      const want = { topics: [TOPIC], startAt: async () => 0, batchMax: 9, untilEnd: true, ...(group && { group }) }
      let count = 0
      for await (const batch of log.consume({ ...want, signal: AbortSignal.timeout(20_000) })) count += batch.length
      expect(count).toBe(appended)
    }
    // What a group cannot read is kept, shown, put back and forgotten.
    const seen = (await log.deadLetters.counts())[0]?.count ?? 0
    const ends = await log.ends(TOPIC)
    await appendRaw(kafka, prefix, { key: 'k', value: 'no event' }, login('admin'))
    const startAt = async (_topic: string, of: number) => ends.find(({ partition }) => partition === of)?.offset ?? 0
    const signal = AbortSignal.timeout(20_000)
    const want = { group: 'indexer', topics: [TOPIC], startAt, batchMax: 9, untilEnd: true, signal }
    for await (const batch of log.consume(want)) expect(batch).toEqual([])
    expect((await log.deadLetters.counts())[0]?.count).toBe(seen + 1)
    for await (const letter of log.deadLetters.read({ group: 'indexer', topic: TOPIC, signal })) {
      await log.deadLetters.replay(letter)
      await log.deadLetters.dropThrough(letter)
    }
    expect((await log.deadLetters.counts())[0]?.count).toBe(0)
    const topics = kafkaTopics({
      brokers: brokersOf(kafka.url),
      clock: realClock,
      log: testLog,
      ...login('ingest', changes),
    })
    expect(await topics.plan({ prefix, replication: 1, partitions: 2 })).toEqual([])
    await topics.close()
  },
  60_000,
)

test.each<[string, () => KafkaSecurity]>([
  ['a wrong password', () => login('ingest', { saslPassword: 'wrong' })],
  ['a CA that nobody knows', () => login('ingest', { tlsCa: 'system' })],
  ['plain text', () => ({})],
])(
  '%s: rejected within the bound',
  async (_name, security) => {
    const began = Date.now()
    await expect(open(security()).append([received('a', 3)])).rejects.toMatchObject({ name: 'EventLogError' })
    expect(Date.now() - began).toBeLessThan(25_000)
  },
  60_000,
)

/** The rows of the document, for the user `ingest`. */
async function grant(): Promise<void> {
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
  const acl = ACLS.flatMap(({ resource, name, prefixed, operations }) =>
    operations.map((operation): AclEntry => ({
      resourceType: AclResourceTypes[resource],
      resourceName: prefix + name,
      resourcePatternType: prefixed ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
      principal: 'User:ingest',
      host: '*',
      operation: AclOperationTypes[operation],
      permissionType: AclPermissionTypes.ALLOW,
    })),
  )
  await admin.createAcls({ acl })
}
