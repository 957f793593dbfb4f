// Another process that appends: `node appender.ts FILE TAG COUNT`, one event at a time.

import { realClock, received } from './records.ts'
import { sqliteEventLog } from '../sqlite.ts'

const [file = '', tag = '', count = '0'] = process.argv.slice(2)
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const log = sqliteEventLog({ file, clock: realClock, log: silent })
for (let n = 0; n < Number(count); n += 1) await log.append([received(tag, n)])
await log.close()
