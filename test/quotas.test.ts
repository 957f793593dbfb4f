// Quotas over several nodes: each a smtpd and an uploaderd of its own with a spool between them, one store for all.

import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import { createTenant, seedFirstStart, updateTenant } from '../internal/store/store.ts'
import { findLine, startCluster, startStage, type Node } from './cluster.ts'
import { mailOf, Session } from './mail.ts'
import { samples } from './metrics.ts'
import { eventually, ingestctl, temporaryFolder } from './system.ts'

const ACME = 'orders+acme@mail.localhost'
const GLOBEX = 'orders+globex@mail.localhost'

interface Status {
  quotas: { level: string; value: { over: string[] } }
}

let sent = 0

/** Sends mails one after the other until one is refused, `most` of them; says how many were taken. */
async function pour(node: Node, most: number): Promise<number> {
  const session = await Session.open(node.smtpPort)
  let taken = 0
  while (taken < most) {
    const reply = await session.send('ann@sender.example', [ACME], mailOf(`quota-${(sent += 1)}`, 1500))
    if (!reply.startsWith('250')) {
      expect(reply).toMatch(/^452 4\.2\.2 /)
      break
    }
    taken += 1
  }
  session.close()
  return taken
}

async function restarted(node: Node, settings: Record<string, string>): Promise<void> {
  await Promise.all([node.smtpd.stop('SIGKILL'), node.uploaderd.stop('SIGKILL')])
  node.smtpd = await startStage('smtpd', node.dataDir, settings)
  node.smtpPort = Number(findLine(node.smtpd.lines, 'listening for SMTP')?.['port'])
  node.uploaderd = await startStage('uploaderd', node.dataDir, settings)
}

/** Waits until a node knows that the store counted so many of so many, and has counted all that is its own. */
async function knows(node: Node, messages: number, most: number, own = 0): Promise<void> {
  const db = new Database(join(node.dataDir, 'usage.db'), { readonly: true })
  const known = db.prepare(`
    SELECT usage.messages || ' of ' || messages_per_day || ', own ' || ifnull((SELECT sum(messages) FROM own), 0) FROM usage`)
  const want = `${messages} of ${most}, own ${own}`
  await eventually(async () => (known.pluck().get() === want ? true : undefined), 60_000, want).finally(() =>
    db.close(),
  )
}

test('a quota holds over two nodes, through restarts, and without the indexer on what each node knows', async () => {
  const folder = temporaryFolder()
  const shared = {
    EVENT_LOG_URL: `sqlite:${join(folder, 'events.db')}`,
    DATABASE_URL: `sqlite:${join(folder, 'store.db')}`,
    OBJECT_STORE_URL: `file:${join(folder, 'objects')}`,
    DIRECTORY_REFRESH_MS: '200',
  }
  const store = await openSqliteStore({ file: join(folder, 'store.db'), busyTimeoutMs: 5000 })
  onTestFinished(() => store.close())
  const setQuota = (messagesPerDay: number) => updateTenant(store, 'acme', { messagesPerDay, now: Date.now() })
  await seedFirstStart(store, { domain: 'mail.localhost', now: 1 })
  await createTenant(store, { slug: 'globex', now: 1 })
  await setQuota(12)
  const { nodes, indexers } = await startCluster(folder, { settings: shared }, { nodes: 2, indexers: 1 })
  const [a, b] = nodes
  const [indexer] = indexers
  if (a === undefined || b === undefined || indexer === undefined) throw new Error('no cluster')

  // The sum of both: what one took is the other's to know once it is indexed and a look has passed.
  expect(await pour(a, 5)).toBe(5)
  await knows(b, 5, 12)
  expect(await pour(b, 4)).toBe(4)
  await knows(a, 9, 12)
  expect(await pour(a, 20)).toBe(3)
  await knows(b, 12, 12)
  expect(await pour(b, 1)).toBe(0)

  // Others are not concerned, nor is postmaster.
  const session = await Session.open(b.smtpPort)
  await session.expect(250, 'MAIL FROM:<ann@sender.example>')
  await session.expect(452, `RCPT TO:<${ACME}>`)
  await session.expect(250, `RCPT TO:<${GLOBEX}>`)
  await session.expect(250, 'RCPT TO:<postmaster@mail.localhost>')
  session.close()
  const refused = [...(await samples(b.smtpd))].find(([series]) => /smtp_recipients_total\{.*"quota"/.test(series))
  expect(refused?.[1]).toBe(2)
  const { stdout } = await ingestctl(folder, ['status', '--json'], shared)
  expect((JSON.parse(stdout.toString()) as Status).quotas).toMatchObject({ level: 'warn', value: { over: ['acme'] } })
  expect(b.smtpd.lines.filter((line) => line.includes('tenant is over its quota'))).toHaveLength(1)

  // Nothing is indexed, so each node goes by what it knows and by its own, which a kill takes nothing of.
  indexer.signal('SIGSTOP')
  await setQuota(20)
  await Promise.all([knows(a, 12, 20), knows(b, 12, 20)])
  expect(await pour(a, 5)).toBe(5)
  await restarted(a, shared)
  expect(await pour(a, 20)).toBe(3)
  expect(await pour(b, 20)).toBe(8)
  indexer.signal('SIGCONT')
  await Promise.all([knows(a, 28, 20), knows(b, 28, 20)])

  // What the store has counted is counted once: room for two more is room for two more.
  await setQuota(30)
  await Promise.all([knows(a, 28, 30), knows(b, 28, 30)])
  expect(await pour(b, 1)).toBe(1)
  await knows(a, 29, 30)
  expect(await pour(a, 5)).toBe(1)
}, 240_000)
