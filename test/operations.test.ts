import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import { sql } from 'kysely'
import { operations } from './operations.ts'

operations('embedded engines', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'operations-'))
  const at = (name: string) => join(folder, name)
  const store = (name: string) => ({ DATABASE_URL: `sqlite:${at(name)}` })
  const log = (name: string) => ({ EVENT_LOG_URL: `sqlite:${at(name)}` })
  const objects = (name: string) => ({ OBJECT_STORE_URL: `file:${at(name)}` })
  return {
    folder,
    settings: { ...objects('objects'), ...store('store.db'), ...log('events.db') },
    async copyStore() {
      const from = await openSqliteStore({ file: at('store.db') })
      await sql`vacuum into ${at('backup.db')}`.execute(from.kysely)
      await from.close()
      return store('backup.db')
    },
    async copyObjects() {
      cpSync(at('objects'), at('objects-backup'), { recursive: true })
      return objects('objects-backup')
    },
    emptyLog: async () => log('events-new.db'),
    stop: async () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  }
})
