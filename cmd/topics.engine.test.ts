// `ingestctl topics`, `dlq` and `doctor` as processes, on a real Kafka.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { appendRaw } from '../internal/eventlog/testing/kafka-bed.ts'
import { startKafka, type Kafka } from '../test/engines/kafka.ts'
import { eventually, ingestctl, startSystem, temporaryFolder } from '../test/system.ts'

let kafka: Kafka
beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka.stop())

const TOPICS = [
  'mail.ingest.v1',
  'mail.messages.v1',
  'mail.refusals.v1',
  'indexer.mail.ingest.v1.dlt',
  'projector.mail.ingest.v1.dlt',
  'projector.mail.messages.v1.dlt',
  'projector.mail.refusals.v1.dlt',
]

/** Runs one command against the cluster. Steps are `what topic`. */
async function topics(line: string, settings: Record<string, string> = {}) {
  const { status, stdout, stderr } = await ingestctl(temporaryFolder(), [...`topics ${line}`.split(' '), '--json'], {
    EVENT_LOG_URL: kafka.url,
    KAFKA_REPLICATION: '1',
    KAFKA_PARTITIONS: '6',
    ...settings,
  })
  const steps =
    stdout.length === 0 ? [] : (JSON.parse(stdout.toString()) as { do: string; topic: string; what: string }[])
  return { status, steps: steps.map((step) => `${step.do} ${step.topic}`), what: steps.map(({ what }) => what), stderr }
}

test('topics are planned, made once, changed by settings, and not where that would break the order of keys', async () => {
  const made = TOPICS.map((topic) => `create ${topic}`)
  expect(await topics('plan')).toMatchObject({ status: 0, steps: made })
  const tooMany = await topics('apply', { KAFKA_REPLICATION: '3' })
  expect(tooMany).toMatchObject({ status: 5, steps: [] })
  expect(tooMany.stderr).toMatch(
    /nothing was changed: .* 3 copies \(KAFKA_REPLICATION\), and the cluster has brokers for 1/,
  )
  expect(await topics('apply')).toMatchObject({ status: 0, steps: made })
  expect(await topics('plan')).toMatchObject({ status: 0, steps: [] })

  const longer = { KAFKA_INGEST_RETENTION_DAYS: '20', KAFKA_DEAD_LETTER_RETENTION_DAYS: '40' }
  const retained = await topics('apply', longer)
  expect(retained.steps).toEqual(
    [TOPICS[0], ...TOPICS.filter((topic) => topic.endsWith('.dlt'))].map((topic) => `configure ${topic}`),
  )
  expect(retained.what[0]).toContain('retention.ms 1209600000 to 1728000000')
  expect(retained.what[1]).toContain('retention.ms 2592000000 to 3456000000')
  // A broker tells of a change a moment after it was made.
  await expect.poll(() => topics('plan', longer), { timeout: 10_000 }).toMatchObject({ status: 0, steps: [] })

  const three = await topics('apply', { ...longer, KAFKA_REPLICATION: '3' })
  expect(three.status).toBe(5)
  expect(three.stderr).toMatch(/nothing was changed: .* has 1 replicas, 3 are wanted; .*kafka-reassign-partitions/)

  const more = { ...longer, KAFKA_PARTITIONS: '8' }
  const refused = await topics('plan', more)
  expect(refused).toMatchObject({ status: 5, steps: TOPICS.map((topic) => `refuse ${topic}`) })
  expect((await topics('apply', more)).stderr).toContain('--accept-reordering')
  expect(await topics('apply --accept-reordering', more)).toMatchObject({
    status: 0,
    steps: TOPICS.map((topic) => `grow ${topic}`),
  })
  await expect.poll(() => topics('plan', more), { timeout: 10_000 }).toMatchObject({ status: 0, steps: [] })
  expect(await topics('plan', longer)).toMatchObject({ status: 5 })

  const prefixed = await topics('plan', { KAFKA_TOPIC_PREFIX: 'com.example.' })
  expect(prefixed.steps).toEqual(TOPICS.map((topic) => `create com.example.${topic}`))
}, 120_000)

test('more replicas in sync than there are: refused before anything is asked of the cluster', async () => {
  const { status, stderr } = await topics('plan', { KAFKA_MIN_INSYNC_REPLICAS: '2' })
  expect(status).toBe(2)
  expect(stderr).toContain('KAFKA_MIN_INSYNC_REPLICAS: must not be above KAFKA_REPLICATION (1)')
})

test('doctor tells what topics lack and what differs', async () => {
  const found = async (settings: Record<string, string>) => {
    const around = { EVENT_LOG_URL: kafka.url, KAFKA_REPLICATION: '1', ...settings }
    const { stdout } = await ingestctl(temporaryFolder(), ['doctor', '--json'], around)
    const rows = JSON.parse(stdout.toString()) as { check: string; level: string; text: string }[]
    return rows.filter(({ check }) => check === 'topics').map(({ level, text }) => `${level}: ${text}`)
  }
  const settings = { KAFKA_TOPIC_PREFIX: 'doctor.', KAFKA_PARTITIONS: '1' }
  expect(await found(settings)).toEqual(TOPICS.map((topic) => `fail: doctor.${topic} is missing`))
  await topics('apply', settings)
  expect(await found(settings)).toEqual(['ok: as the settings want them'])
  const [differs] = await found({ ...settings, KAFKA_INGEST_RETENTION_DAYS: '1' })
  expect(differs).toMatch(/^warn: configure doctor.mail.ingest.v1: retention.ms/)
}, 60_000)

test('a record that the indexer cannot read: mail behind it goes on, metrics tell, dlq shows, replays and drops', async () => {
  const settings = {
    EVENT_LOG_URL: kafka.url,
    KAFKA_REPLICATION: '1',
    KAFKA_PARTITIONS: '1',
    KAFKA_TOPIC_PREFIX: 'dlq.',
  }
  await topics('apply', settings)
  const dataDir = temporaryFolder()
  const system = await startSystem(dataDir, settings)
  const dlq = async (line: string) => {
    const { status, stdout, stderr } = await ingestctl(dataDir, ['dlq', ...line.split(' '), '--json'], settings)
    if (status !== 0) throw new Error(`dlq ${line}: ${status} ${stderr}`)
    return JSON.parse(stdout.toString()) as Record<string, unknown> & Record<string, unknown>[]
  }
  const bad = { key: 'k', headers: { by: 'somebody' }, value: 'no event' }
  await appendRaw(kafka, 'dlq.', bad)
  const environment = { ...settings, SMTP_PORT: String(system.smtpPort) }
  const sent = await ingestctl(dataDir, ['send', 'pdf', '--wait', '--json'], environment)
  expect(sent).toMatchObject({ status: 0 })

  const letters = ['indexer', 'projector'].map((group) => ({ id: `${group}/mail.ingest.v1/0/0`, reason: 'malformed' }))
  // The projector gathers for a second.
  const listed = () => dlq('list')
  await eventually(async () => ((await listed()).length === 2 ? true : undefined), 20_000, 'both dead letters')
  expect(await listed()).toMatchObject(letters)
  expect(await dlq('show indexer/mail.ingest.v1/0/0')).toMatchObject({ value: 'no event', headers: bad.headers })
  const metric = async (line: string) => (await (await fetch(`${system.metricsUrl}/metrics`)).text()).includes(line)
  expect(await metric('mail_ingest_dead_letters_total{group="indexer",reason="malformed"} 1')).toBe(true)
  expect(await metric('mail_ingest_dead_letters_total{group="indexer",reason="data"} 0')).toBe(true)
  await expect.poll(() => metric('mail_ingest_dead_letters_pending{group="indexer"} 1'), { timeout: 15_000 }).toBe(true)

  expect(await dlq('replay --all --yes')).toEqual({ count: 2 })
  // Nobody can read it still: a letter for each group again, of the record's new place.
  await expect.poll(async () => (await dlq('list')).length, { timeout: 20_000 }).toBe(2)
  expect((await dlq('list'))[0]?.['offset']).toBeGreaterThan(0)
  expect(await dlq('drop --all --yes')).toEqual({ count: 2 })
  expect(await dlq('list')).toEqual([])
  await expect.poll(() => metric('mail_ingest_dead_letters_pending{group="indexer"} 0'), { timeout: 15_000 }).toBe(true)
  expect(await system.stop()).toBe(0)
}, 120_000)
