import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { makeTopics, startEngines } from './engines/engines.ts'
import { enginesUnavailable } from './engines/install.ts'
import { replays } from './replays.ts'

const missing = enginesUnavailable()

describe.skipIf(missing !== undefined)(`with real engines${missing === undefined ? '' : ` (${missing})`}`, () => {
  replays('Kafka, RGW and PostgreSQL', async () => {
    const engines = await startEngines()
    const folder = mkdtempSync(join(tmpdir(), 'replays-'))
    return {
      folder,
      settings: { DATA_DIR: folder, ...engines.settings },
      emptyStore: async () => ({ DATABASE_URL: await engines.postgres.createDatabase() }),
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
