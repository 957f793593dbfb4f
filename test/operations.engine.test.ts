import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe } from 'vitest'
import { blobsOf } from '../cmd/adapters.ts'
import { loadConfig } from '../internal/config/config.ts'
import { systemClock } from '../internal/daemon/clock.ts'
import { systemIds } from '../internal/daemon/ids.ts'
import { makeTopics, startEngines } from './engines/engines.ts'
import { enginesUnavailable } from './engines/install.ts'
import { operations } from './operations.ts'

const missing = enginesUnavailable()
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** As any tool does that copies a bucket: key, bytes, type. */
async function copyBucket(settings: Record<string, string>, to: string): Promise<void> {
  const parts = { clock: systemClock, ids: systemIds(systemClock), log: silent }
  const [source, target] = await Promise.all(
    [settings, { ...settings, OBJECT_STORE_URL: to }].map((each) => blobsOf(loadConfig(each), parts)),
  )
  if (source === undefined || target === undefined) throw new TypeError('two stores')
  for await (const { key, sizeBytes } of source.list('')) {
    const chunks: Buffer[] = []
    for await (const chunk of (await source.get(key))?.body ?? []) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const contentType = 'application/octet-stream'
    await target.put(key, { sizeBytes, sha256, contentType, open: () => Readable.from([bytes]) })
  }
}

describe.skipIf(missing !== undefined)(`with real engines${missing === undefined ? '' : ` (${missing})`}`, () => {
  operations('Kafka, RGW and PostgreSQL', async () => {
    const engines = await startEngines()
    const folder = mkdtempSync(join(tmpdir(), 'operations-'))
    // The SDK reads them where it is asked for its credentials.
    for (const [name, value] of Object.entries(engines.settings)) if (name.startsWith('AWS_')) process.env[name] = value
    const { OBJECT_STORE_URL = '', DATABASE_URL = '' } = engines.settings
    const elsewhere = OBJECT_STORE_URL.replace(/^(s3:\/\/[^/?]+)[^?]*/, '$1/restored')
    return {
      folder,
      settings: engines.settings,
      copyStore: async () => ({ DATABASE_URL: await engines.postgres.copyByDump(DATABASE_URL) }),
      async copyObjects() {
        await copyBucket(engines.settings, elsewhere)
        return { OBJECT_STORE_URL: elsewhere }
      },
      async emptyLog() {
        await makeTopics(engines.kafka, 'again.')
        return { KAFKA_TOPIC_PREFIX: 'again.' }
      },
      async stop() {
        await engines.stop()
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
      },
    }
  })
})
