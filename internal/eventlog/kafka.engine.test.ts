// The contract of every event log on a real Kafka of one node.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll } from 'vitest'
import { startKafka, type Kafka } from '../../test/engines/kafka.ts'
import { eventLogContract } from './contract.ts'
import type { EventLog } from './eventlog.ts'
import { freshPrefix, makeTopics, openLog } from './testing/kafka-bed.ts'

const run = promisify(execFile)
let kafka: Kafka
beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka.stop())

eventLogContract('Kafka', async () => {
  const prefix = freshPrefix()
  await makeTopics(kafka, { prefix, partitions: 1 })
  const opened: EventLog[] = []
  return {
    async open() {
      const log = openLog(kafka, prefix, { appendMaxMs: 3000 })
      opened.push(log)
      return log
    },
    async outage() {
      await kafka.kill(0)
      return () => kafka.restart(0)
    },
    async appendElsewhere(tag, count) {
      const script = join(import.meta.dirname, 'testing/kafka-appender.ts')
      await run(process.execPath, [script, kafka.url, prefix, tag, String(count)])
    },
    async close() {
      for (const each of opened) await each.close()
    },
  }
})
