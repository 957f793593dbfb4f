import { expect, test } from 'vitest'
import { ingestctl, temporaryFolder } from '../test/system.ts'

test('topics of an event log that is not Kafka: a sentence, exit 2', async () => {
  const { status, stderr } = await ingestctl(temporaryFolder(), ['topics', 'plan'])
  expect(status).toBe(2)
  expect(stderr).toMatch(/^ingestctl: the event log sqlite:.* is not Kafka and has no topics to make\n$/)
})
