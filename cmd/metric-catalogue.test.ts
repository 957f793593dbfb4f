// The rules of metrics: names, help, closed labels, a bound on their number (prometheus.io, practices/naming).

import { describe, expect, test } from 'vitest'
import { metricsOf, PROGRAMS } from './metric-catalogue.ts'

const SERIES_MAX = 1500
const VALUES_MAX = 40
/** What grows with customers, senders or mail. */
const FORBIDDEN = /tenant|domain|address|mailbox|sender|recipient|email|message_id|entry|url|host|ip\b|client|user|key/
const UNIT =
  /_(seconds|bytes|messages|total|info|connections|open|up|pending|tenants|residue|active|poisoned|failing|problem|refused)$/

describe.each(PROGRAMS)('%s', async (program) => {
  const metrics = await metricsOf(program)
  const own = metrics.filter(({ ofRuntime }) => !ofRuntime)

  test(`has at most ${SERIES_MAX} series`, () => {
    expect(metrics.reduce((sum, { series }) => sum + series, 0)).toBeLessThan(SERIES_MAX)
  })

  test('every metric has our prefix, a sentence of help and a name that says its unit', () => {
    const wrong = own.filter(({ name, type, help }) => {
      const counts = name.endsWith('_total') === (type === 'counter')
      return !/^mail_ingest_[a-z_]+$/.test(name) || !/^[A-Z01].{8,}\.$/.test(help) || !UNIT.test(name) || !counts
    })
    expect(wrong.map(({ name }) => name)).toEqual([])
  })

  test('labels are closed sets that do not grow with customers or mail', () => {
    const wrong = metrics.flatMap(({ name, labels }) =>
      Object.entries(labels)
        .filter(([label, values]) => FORBIDDEN.test(label) || values.length > VALUES_MAX)
        .map(([label]) => `${name} ${label}`),
    )
    expect(wrong).toEqual([])
  })

  test('every series of ours is there before anything has happened', () => {
    expect(own.filter(({ series }) => series === 0).map(({ name }) => name)).toEqual([])
  })
})
