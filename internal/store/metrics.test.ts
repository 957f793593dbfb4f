import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import { expect, test } from 'vitest'
import { openSqliteStore } from './sqlite.ts'
import { createTenant, directoryVersion, storeMetrics, updateTenant, watchSize } from './store.ts'

test('statements are timed by their kind, those that fail as well, and the size is that of the file', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'store-metrics-'))
  const registry = new Registry()
  const metrics = storeMetrics(registry)
  const store = await openSqliteStore({ file: join(dir, 'store.db'), onQuery: metrics.queried })
  metrics.show(store.pool)
  const count = async (op: string): Promise<number> =>
    Number(new RegExp(`db_query_duration_seconds_count{op="${op}"} (\\d+)`).exec(await registry.metrics())?.[1])
  const [selects, inserts, updates] = [await count('select'), await count('insert'), await count('update')]

  const tenant = { slug: 'acme', name: 'Acme', now: 1 }
  await createTenant(store, tenant)
  await expect(createTenant(store, tenant)).rejects.toThrow('acme')
  await updateTenant(store, 'acme', { name: 'A', now: 2 })
  await directoryVersion(store)
  expect(await count('select')).toBeGreaterThan(selects)
  expect(await count('insert')).toBe(inserts + 2)
  expect(await count('update')).toBeGreaterThan(updates)

  const stop = new AbortController()
  const clock = { sleep: async () => stop.abort() }
  await watchSize(store, { metrics, clock, log: { debug: () => {} }, signal: stop.signal })
  expect(await registry.metrics()).toMatch(/mail_ingest_db_size_bytes [1-9]\d{4,}\n/)
  await store.close()
  rmSync(dir, { recursive: true })
})
