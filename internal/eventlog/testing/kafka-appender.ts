// Another process that appends to Kafka: `node kafka-appender.ts URL PREFIX TAG COUNT`, one event at a time.

import { brokersOf, kafkaEventLog } from '../kafka.ts'
import { realClock, received } from './records.ts'

const [url = '', topicPrefix = '', tag = '', count = '0'] = process.argv.slice(2)
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const log = kafkaEventLog({
  brokers: brokersOf(url),
  topicPrefix,
  clock: realClock,
  log: silent,
  freshId: () => crypto.randomUUID(),
})
for (let n = 0; n < Number(count); n += 1) await log.append([received(tag, n)])
await log.close()
