// Prometheus and Alertmanager watch the running product while parts of it fail: the right alerts fire, no others, and they end with the fault.
// Durations of the rules are divided by FACTOR; nothing else in them changes.

import { describe, expect, test } from 'vitest'
import { ASIDE, course, DISK, firing, flow, HANDOFFS, PROCESSES, startWatched, STORES } from './alarms.ts'
import { BOARDS } from '../alerts/boards.ts'
import { clamdUnavailable } from './engines/clamd.ts'
import { prometheusUnavailable } from './engines/prometheus.ts'
import { pause } from './system.ts'

const FACTOR = 60
const EVERY_MS = 1000
/** Until every rate has two samples. */
const CALM_MS = 15_000
/** Their windows are longer than this test. */
const LASTS = ['MailIngestAcceptBudgetBurnSlow', 'MailIngestIndexBudgetBurnSlow']

const reason =
  prometheusUnavailable() ?? clamdUnavailable() ?? (process.getuid?.() === 0 ? undefined : 'a file system needs root')

describe.skipIf(reason !== undefined)(`alerts${reason === undefined ? '' : ` (${reason})`}`, () => {
  test('fire with their fault, alone, and end with it', async () => {
    const watched = await startWatched({ factor: FACTOR, everyMs: EVERY_MS })
    const stop = new AbortController()
    const flowing = flow(watched, 200, stop.signal)
    await pause(CALM_MS)
    expect(firing(watched.told)).toEqual([])
    const panels = Object.values(BOARDS).flatMap((board) => board.panels)
    const empty: string[] = []
    for (const [expression] of panels.flatMap(({ lines }) => lines)) {
      const found = await watched.prometheus.query(expression.replaceAll('$__rate_interval', '10s'))
      if (found.length === 0) empty.push(expression)
    }
    expect(empty).toEqual([])

    for (const faults of [[...ASIDE, ...DISK], HANDOFFS, STORES, PROCESSES]) {
      watched.told.fired.clear()
      await course(watched, faults, LASTS)
      const expected = new Set(faults.flatMap(({ fires, may = [] }) => [...fires, ...may]))
      const others = [...watched.told.fired].filter((name) => !expected.has(name) && !LASTS.includes(name))
      expect(others).toEqual([])
    }
    expect(await watched.prometheus.broken()).toEqual([])
    stop.abort()
    await flowing
  }, 600_000)
})
