// A stage that is told to stop ends, whatever its engines do.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCluster, type Stage } from './cluster.ts'
import { startEngines, type Engines } from './engines/engines.ts'
import { enginesUnavailable } from './engines/install.ts'
import { Session } from './mail.ts'
import { eventually, ingestctl, pause, temporaryFolder } from './system.ts'

/** From SIGTERM to the end of the process: under the 30 s that supervisors give. */
const STOP_MAX_MS = 10_000

const reason = enginesUnavailable()

describe.skipIf(reason !== undefined)(`SIGTERM${reason === undefined ? '' : ` (${reason})`}`, () => {
  let engines: Engines
  beforeAll(async () => {
    engines = await startEngines()
  })
  afterAll(() => engines?.stop())

  const TO = 'orders+acme@mail.localhost'

  const FROZEN = {
    PostgreSQL: {
      freeze: () => engines.postgres.freeze(),
      thaw: () => engines.postgres.thaw(),
    },
    Kafka: { freeze: async () => engines.kafka.freeze(0), thaw: async () => engines.kafka.thaw(0) },
    'Ceph RGW': { freeze: async () => engines.rgw.freeze(), thaw: async () => engines.rgw.thaw() },
  }

  test.each(Object.entries(FROZEN))('while %s is frozen, with mail under way', async (_engine, { freeze, thaw }) => {
    const folder = temporaryFolder()
    const { nodes, indexers } = await startCluster(folder, engines, { nodes: 1, indexers: 1 })
    const [node] = nodes
    const [indexer] = indexers
    if (node === undefined || indexer === undefined) throw new TypeError('not started')
    await ingestctl(folder, ['tenants', 'add', 'acme'], engines.settings)
    const session = await Session.open(node.smtpPort)
    const send = async (text: string) =>
      session.send('ann@sender.example', [TO], Buffer.from(`From: a@b\r\nMessage-ID: <${text}>\r\n\r\nhello\r\n`))
    await eventually(async () => ((await send('first@x')).startsWith('250') ? true : undefined))
    await pause(1000)
    for (let n = 0; n < 20; n++) await send(`${n}@before`)
    await freeze()
    try {
      for (let n = 0; n < 5; n++) expect(await send(`${n}@x`)).toMatch(/^250/)
      await pause(1500)
      for (const stage of [indexer, node.uploaderd]) expect(await msToStop(stage)).toBeLessThan(STOP_MAX_MS)
    } finally {
      session.close()
      await thaw()
    }
  })
})

async function msToStop(stage: Stage): Promise<number> {
  const began = performance.now()
  await stage.stop()
  return performance.now() - began
}
