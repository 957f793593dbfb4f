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

  const sendOn = (session: Session, id: string) => {
    const text = `From: a@b\r\nMessage-ID: <${id}@x>\r\n\r\nhello\r\n`
    return session.send('ann@sender.example', ['orders+acme@mail.localhost'], Buffer.from(text))
  }

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
    // A session of its own for each look: one that asks in vain too often is sent away.
    const session = await eventually(async () => {
      const asking = await Session.open(node.smtpPort)
      if ((await sendOn(asking, 'first')).startsWith('250')) return asking
      asking.close()
      return undefined
    })
    const send = (id: string) => sendOn(session, id)
    await pause(1000)
    for (let n = 0; n < 20; n++) await send(`before-${n}`)
    await freeze()
    try {
      for (let n = 0; n < 5; n++) expect(await send(`${n}`)).toMatch(/^250/)
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
