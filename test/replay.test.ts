import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { replays } from './replays.ts'

replays('embedded engines', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'replays-'))
  let made = 0
  const store = () => ({ DATABASE_URL: `sqlite:${join(folder, `store-${++made}.db`)}` })
  const log = () => ({ EVENT_LOG_URL: `sqlite:${join(folder, `events-${++made}.db`)}` })
  return {
    folder,
    settings: { DATA_DIR: folder, OBJECT_STORE_URL: `file:${join(folder, 'objects')}`, ...store(), ...log() },
    emptyStore: async () => store(),
    emptyLog: async () => log(),
    stop: async () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  }
})
