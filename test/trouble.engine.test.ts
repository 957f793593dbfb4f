// A small and quick version of bench/faults.ts: mail goes on while the engines and stages fail in turn, and all of it is there once.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { steady, type Sample } from '../bench/load.ts'
import { startCluster } from './cluster.ts'
import { startEngines, type Engines } from './engines/engines.ts'
import { enginesUnavailable } from './engines/install.ts'
import { drained } from './metrics.ts'
import { eventually, ingestctl, temporaryFolder } from './system.ts'
import { Session } from './mail.ts'
import { Backlog, reckoning, TROUBLES, troubles } from './trouble.ts'

const PER_SECOND = 10
const SECONDS = 60
const SCHEDULE = { faultMs: 4000, restMs: 500, calm: 2 * PER_SECOND, caughtUpMaxMs: 60_000 }
const TO = 'orders+acme@mail.localhost'

const reason = enginesUnavailable()

describe.skipIf(reason !== undefined)(`under a steady load${reason === undefined ? '' : ` (${reason})`}`, () => {
  let engines: Engines
  beforeAll(async () => {
    engines = await startEngines()
  })
  afterAll(() => engines?.stop())

  test('engines and stages fail in turn: every mail gets its 250, none is lost or doubled, the index catches up', async () => {
    const folder = temporaryFolder()
    const { settings } = engines
    const { nodes, indexers } = await startCluster(folder, engines, { nodes: 2, indexers: 2 })
    await ingestctl(folder, ['tenants', 'add', 'acme'], settings)
    const ports = nodes.map(({ smtpPort }) => smtpPort)
    for (const port of ports) await eventually(async () => ((await isKnown(port)) ? true : undefined))

    const accepted: Sample[] = []
    const backlog = new Backlog(engines.postgres.url, () => accepted.length)
    const sending = steady(
      { ports, to: TO, sizeOf: (nth) => (nth % 20 === 0 ? 400_000 : 3000) },
      { perSecond: PER_SECOND, seconds: SECONDS, each: (sample) => accepted.push(sample) },
    )
    const courses = await troubles({ engines, folder, nodes, indexers }, backlog, SCHEDULE)
    await sending
    for (const node of nodes) await drained(node, SCHEDULE.caughtUpMaxMs, settings)
    const rows = await backlog.rows()
    await backlog.close()

    expect(accepted).toHaveLength(PER_SECOND * SECONDS)
    expect(reckoning(accepted, rows)).toEqual({ lost: [], doubled: [], unpromised: [], notParsed: [] })
    expect(courses.map(({ name }) => name)).toEqual(TROUBLES.map(({ name }) => name))
    for (const { name, caughtUpMs } of courses)
      expect({ name, inTime: caughtUpMs < 60_000 }).toEqual({ name, inTime: true })
  }, 300_000)
})

async function isKnown(port: number): Promise<boolean> {
  const session = await Session.open(port)
  await session.expect(250, 'MAIL FROM:<ann@sender.example>')
  const reply = await session.command(`RCPT TO:<${TO}>`)
  session.close()
  return reply.startsWith('250')
}
