// Prometheus and Alertmanager watch the running product while parts of it fail: the right alerts fire, no others, and they end with the fault.
// Durations of the rules are divided by FACTOR; nothing else in them changes. `make alerts-real` has the other alerts, and true durations.

import { describe, expect, onTestFinished, test } from 'vitest'
import * as alarms from './alarms.ts'
import { alertsYaml, rulesYaml } from '../alerts/alerts.ts'
import { BOARDS } from '../alerts/boards.ts'
import { clamdUnavailable } from './engines/clamd.ts'
import { prometheusUnavailable } from './engines/prometheus.ts'
import { eventually, temporaryFolder } from './system.ts'
import { firing, startWatched, type Watched } from './watched.ts'

const FACTOR = 60
const EVERY_MS = 1000
const WAIT_MS = 180_000
/** Their windows are longer than this test. */
const LASTS = ['MailIngestAcceptBudgetBurnSlow', 'MailIngestIndexBudgetBurnSlow']

/** One after the other, for those of one would hide those of the next; alerts may still be ending when the next come. */
const PHASES: readonly (readonly alarms.Fault[])[] = [
  [alarms.clamdKilled, alarms.deadLetter, alarms.outboxRefused, alarms.eventLogLocked, alarms.diskFills],
  [alarms.storeLocked, alarms.objectsGone],
]

/** Takes longer than all of them, and touches none. It would begin anew with smtpd, so that is killed first. */
const BESIDE = [alarms.certificateEnds(1)]

const reason =
  prometheusUnavailable() ?? clamdUnavailable() ?? (process.getuid?.() === 0 ? undefined : 'a file system needs root')

describe.skipIf(reason !== undefined)(`alerts${reason === undefined ? '' : ` (${reason})`}`, () => {
  test('fire with their fault, alone, and end with it', async () => {
    const rules = [rulesYaml(FACTOR), alertsYaml(FACTOR)]
    const watched = await startWatched({ dataDir: temporaryFolder(), rules, everyMs: EVERY_MS, mailEveryMs: 200 })
    onTestFinished(() => watched.stop())
    await everyPanelHasData(watched)
    expect(firing(watched.told)).toEqual([])

    const courses: Promise<alarms.Course[]>[] = []
    const phase = async (faults: readonly alarms.Fault[]) => {
      watched.told.fired.clear()
      courses.push((await alarms.courses(watched, faults, WAIT_MS)).over)
      const expected = new Set([...alarms.expectedOf([...faults, ...BESIDE]), ...LASTS])
      expect([...watched.told.fired].filter((name) => !expected.has(name))).toEqual([])
    }
    await phase(alarms.PROCESSES)
    const beside = alarms.courses(watched, BESIDE, WAIT_MS)
    for (const faults of PHASES) await phase(faults)
    courses.push((await beside).over)
    const unlike = (await Promise.all(courses)).flat().filter((course) => course.resolvedS === undefined)
    expect(unlike).toEqual([])
    const silent = async () => (firing(watched.told).every((name) => LASTS.includes(name)) ? true : undefined)
    await eventually(silent, WAIT_MS, 'silence')
    expect(await watched.prometheus.broken()).toEqual([])
  }, 600_000)
})

async function everyPanelHasData({ prometheus }: Watched): Promise<void> {
  const lines = Object.values(BOARDS).flatMap((board) => board.panels.flatMap((panel) => panel.lines))
  let empty = lines.map(([expression]) => expression.replaceAll('$__rate_interval', '10s'))
  const filled = async () => {
    const found = await Promise.all(empty.map((expression) => prometheus.query(expression)))
    empty = empty.filter((_, at) => found[at]?.length === 0)
    return empty.length === 0 ? true : undefined
  }
  await eventually(filled, 60_000, 'data in every panel').catch(() => expect(empty).toEqual([]))
}
