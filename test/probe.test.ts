// The canary through the whole product.

import { expect, test } from 'vitest'
import { findLine, startStage } from './cluster.ts'
import { samples, total } from './metrics.ts'
import { eventually, ingestctl, ingestctlJson, startSystem, temporaryFolder } from './system.ts'

const LAST = 'mail_ingest_probe_last_success_timestamp_seconds'
const FAILURES = 'mail_ingest_probe_failures_total'

test('comes through, says so when it does not, and when it does again', async () => {
  const system = await startSystem(temporaryFolder())
  await ingestctl(system.dataDir, ['tenants', 'add', 'canary'])
  const probed = await startStage('probed', `${system.dataDir}/probed`, {
    DATABASE_URL: `sqlite:${system.dataDir}/store.db`,
    PROBE_TARGETS: `127.0.0.1:${system.smtpPort}`,
    PROBE_EVERY_MS: '1000',
    PROBE_DEADLINE_MS: '3000',
  })
  const value = async (name: string) => total(await samples(probed), name)
  const cameThrough = async () => {
    const before = await value('mail_ingest_probe_duration_seconds_count')
    return eventually(async () => (await value('mail_ingest_probe_duration_seconds_count')) > before || undefined)
  }
  await cameThrough()
  const rows = await ingestctlJson<{ subject: string }[]>(system.dataDir, ['messages', 'list', '--tenant', 'canary'])
  expect(rows[0]?.subject).toBe('Canary')

  process.kill(system.pid, 'SIGSTOP')
  const failed = await value(FAILURES)
  await eventually(async () => (await value(FAILURES)) > failed || undefined)
  const last = await value(LAST)
  expect(findLine(probed.lines, 'a probe did not come through')).toMatchObject({ failure: 'unreachable' })
  expect(await value(LAST)).toBe(last)

  process.kill(system.pid, 'SIGCONT')
  await cameThrough()
  expect(await value(LAST)).toBeGreaterThan(last)
  expect(await probed.stop()).toBe(0)
})

test('a canary without a front door is refused at the start', async () => {
  await expect(startStage('probed', temporaryFolder(), {})).rejects.toThrow('PROBE_TARGETS: must be set')
})
