// The command line while engines are away: what can be had is told in good time, and who did not answer.

import { mkdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import { ingestctl, temporaryFolder } from '../test/system.ts'

/** Less than an engine's own patience, and much for a machine with much to do. */
const TOOK_MAX_MS = 15_000
const TEST_MAX_MS = 40_000

/** `host:port` of a server that takes connections and says nothing, as a frozen one does. */
async function frozen(): Promise<string> {
  const server = createServer((socket) => socket.on('error', () => socket.destroy()))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function dataDirWithStore(): Promise<string> {
  const dataDir = join(temporaryFolder(), 'data')
  mkdirSync(dataDir)
  await (await openSqliteStore({ file: join(dataDir, 'store.db') })).close()
  return dataDir
}

/** `status --json` with these engines: exit status, facts, and the time it took. */
async function statusOf(dataDir: string, settings: Record<string, string>) {
  const began = performance.now()
  const { status, stdout } = await ingestctl(dataDir, ['status', '--json'], settings)
  const tookMs = performance.now() - began
  return { status, tookMs, facts: JSON.parse(stdout.toString()) as Record<string, { level: string; value: unknown }> }
}

test.each([
  ['frozen', frozen],
  ['not there', async () => '127.0.0.1:1'],
])(
  'status with Kafka %s tells all else, and that it is critical',
  async (_state, broker) => {
    const EVENT_LOG_URL = `kafka://${await broker()}`
    const { status, tookMs, facts } = await statusOf(await dataDirWithStore(), { EVENT_LOG_URL })
    expect(status).toBe(2)
    expect(facts).toMatchObject({
      spool: {},
      messages: { level: 'ok' },
      outbox: {},
      disk: {},
      'event log': { level: 'crit' },
    })
    expect(tookMs).toBeLessThan(TOOK_MAX_MS)
  },
  TEST_MAX_MS,
)

test(
  'status with PostgreSQL frozen tells all else, and that it is critical',
  async () => {
    const DATABASE_URL = `postgresql://u:hunter2@${await frozen()}/x`
    const { status, tookMs, facts } = await statusOf(await dataDirWithStore(), { DATABASE_URL })
    expect(status).toBe(2)
    expect(facts).toMatchObject({ spool: {}, disk: {}, store: { level: 'crit', value: 'no answer in 3.0 s' } })
    expect(tookMs).toBeLessThan(TOOK_MAX_MS)
  },
  TEST_MAX_MS,
)
