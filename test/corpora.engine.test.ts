// Real mail through two nodes and two indexers on the real engines gives the same rows as one process on embedded ones; and the
// rows can be made again in an empty store, from the event log or from the object store alone.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCluster, startIndexer, type Stage } from './cluster.ts'
import { readContents, renamed, type Contents } from './contents.ts'
import { makeTopics, startEngines, type Engines } from './engines/engines.ts'
import { enginesUnavailable } from './engines/install.ts'
import { entryIdOf, Session } from './mail.ts'
import { drained } from './metrics.ts'
import { ingestctl, startSystem, temporaryFolder } from './system.ts'

/** A folder of mail files; those below its `auth` folder are no mail. */
const CORPORA = process.env['CORPORA'] ?? '../shared/corpora'
const TENANTS = ['acme', 'globex']
const MINUTES = 60_000

interface Mail {
  name: string
  bytes: Buffer
  to: string[]
}

const addressOf = (tenant: string) => `orders+${tenant}@mail.localhost`

/** Every mail of the corpora, with line ends as SMTP has them; every tenth goes to two tenants. */
function mails(): Mail[] {
  const files = readdirSync(CORPORA, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^(readme|licen[cs]e|copying)/i.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !relative(CORPORA, path).startsWith('auth'))
    .toSorted()
  return files.map((path, at) => ({
    name: relative(CORPORA, path),
    bytes: Buffer.from(readFileSync(path, 'latin1').replaceAll(/\r\n|\r|\n/g, '\r\n'), 'latin1'),
    to: (at % 10 === 0 ? TENANTS : TENANTS.slice(0, 1)).map(addressOf),
  }))
}

/** Sends them one after another, in turn through each port, and resolves with the name of the mail of each entry. */
async function sendAll(ports: readonly number[], all: readonly Mail[]): Promise<Map<string, string>> {
  const sessions = await Promise.all(ports.map((port) => Session.open(port)))
  const names = new Map<string, string>()
  for (const [at, { name, bytes, to }] of all.entries()) {
    const session = sessions[at % sessions.length] as Session
    const reply = await session.send('ann@sender.example', to, bytes)
    const entryId = entryIdOf(reply)
    if (entryId === undefined) throw new Error(`${name}: ${reply}`)
    names.set(entryId, name)
  }
  for (const session of sessions) session.close()
  return names
}

async function addTenants(dataDir: string, settings: Record<string, string>): Promise<void> {
  for (const tenant of TENANTS) await ingestctl(dataDir, ['tenants', 'add', tenant], settings)
}

async function directoryKnows(port: number): Promise<void> {
  for (;;) {
    const session = await Session.open(port)
    await session.expect(250, 'MAIL FROM:<ann@sender.example>')
    const replies = []
    for (const tenant of TENANTS) replies.push(await session.command(`RCPT TO:<${addressOf(tenant)}>`))
    session.close()
    if (replies.every((reply) => reply.startsWith('250'))) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function onEmbeddedEngines(all: readonly Mail[]): Promise<Contents> {
  const dataDir = temporaryFolder()
  const system = await startSystem(dataDir)
  await addTenants(dataDir, {})
  await directoryKnows(system.smtpPort)
  const names = await sendAll([system.smtpPort], all)
  await drained(system, 5 * MINUTES)
  await system.stop()
  return renamed(await readContents(dataDir), names)
}

const missing = existsSync(CORPORA) ? enginesUnavailable() : `no folder ${CORPORA}`

describe.skipIf(missing !== undefined)(`the corpora${missing === undefined ? '' : ` (${missing})`}`, () => {
  let engines: Engines
  beforeAll(async () => {
    engines = await startEngines()
  })
  afterAll(() => engines?.stop())

  test(
    'two nodes, Kafka with six partitions, RGW, two indexers and PostgreSQL: rows as on embedded engines',
    { timeout: 600_000 },
    async () => {
      const all = mails()
      const folder = temporaryFolder()
      const { nodes, indexers } = await startCluster(folder, engines, { nodes: 2, indexers: 2 })
      const { settings } = engines
      await addTenants(folder, settings)
      for (const node of nodes) await directoryKnows(node.smtpPort)
      const names = await sendAll(
        nodes.map((node) => node.smtpPort),
        all,
      )
      for (const node of nodes) await drained(node, 5 * MINUTES, settings)
      const original = await readContents(engines.postgres.url)
      expect(renamed(original, names)).toEqual(await onEmbeddedEngines(all))

      const stages = [...nodes.flatMap(({ smtpd, uploaderd }) => [smtpd, uploaderd]), ...indexers]
      for (const stage of stages) expect([stage.name, await stage.stop()]).toEqual([stage.name, 0])
      await fromTheLog(folder, original)
      await fromTheObjects(folder, original)
    },
  )

  async function fromTheLog(folder: string, original: Contents): Promise<void> {
    const settings = { ...engines.settings, DATABASE_URL: await engines.postgres.createDatabase() }
    expect(await remade(folder, settings)).toEqual(original)
  }

  async function fromTheObjects(folder: string, original: Contents): Promise<void> {
    const prefix = 'again.'
    await makeTopics(engines.kafka, prefix)
    const DATABASE_URL = await engines.postgres.createDatabase()
    const settings = { ...engines.settings, DATABASE_URL, KAFKA_TOPIC_PREFIX: prefix }
    const replay = ['replay', '--objects', '', '--rate', '1000', '--yes']
    expect(await remade(folder, settings, replay)).toEqual(original)
  }

  /** What an indexer makes in an empty store. */
  async function remade(folder: string, settings: Record<string, string>, command?: string[]): Promise<Contents> {
    const indexer: Stage = await startIndexer(folder, 'indexer-again', settings)
    if (command !== undefined) expect(await ingestctl(folder, command, settings)).toMatchObject({ status: 0 })
    await drained({ dataDir: folder }, 5 * MINUTES, settings)
    await indexer.stop()
    return readContents(settings['DATABASE_URL'] ?? '')
  }
})
