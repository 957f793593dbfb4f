import { expect, test } from 'vitest'
import { startKafka } from '../test/engines/kafka.ts'
import { ingestctl, temporaryFolder } from '../test/system.ts'

test('topics are planned, made once, and not changed where that would break the order of keys', async ({
  onTestFinished,
}) => {
  const kafka = await startKafka()
  onTestFinished(() => kafka.stop())
  const dataDir = temporaryFolder()
  const topics = async (verb: string, settings: Record<string, string> = {}) => {
    const { status, stdout, stderr } = await ingestctl(dataDir, ['topics', verb, '--json'], {
      EVENT_LOG_URL: kafka.url,
      KAFKA_REPLICATION: '1',
      ...settings,
    })
    const steps = stdout.length === 0 ? [] : (JSON.parse(stdout.toString()) as { do: string; topic: string }[])
    return { status, steps: steps.map((step) => `${step.do} ${step.topic}`), stderr }
  }
  const made = ['create mail.ingest.v1', 'create mail.messages.v1']
  expect(await topics('plan')).toMatchObject({ status: 0, steps: made })
  expect(await topics('apply')).toMatchObject({ status: 0, steps: made })
  expect(await topics('plan')).toMatchObject({ status: 0, steps: [] })
  const three = await topics('apply', { KAFKA_REPLICATION: '3' })
  expect(three.status).toBe(5)
  expect(three.stderr).toContain('nothing was changed')
  const prefixed = await topics('plan', { KAFKA_TOPIC_PREFIX: 'com.example.' })
  expect(prefixed.steps).toEqual(['create com.example.mail.ingest.v1', 'create com.example.mail.messages.v1'])
})
