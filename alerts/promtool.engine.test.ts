// Prometheus itself reads the rules and tries every case.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { promtool, prometheusUnavailable } from '../test/engines/prometheus.ts'
import { ALERTS, alertsYaml, rulesYaml } from './alerts.ts'

const reason = prometheusUnavailable()

describe.skipIf(reason !== undefined)(`promtool${reason === undefined ? '' : ` (${reason})`}`, () => {
  test('takes the rules', async () => {
    const said = await promtool('check', 'rules', 'alerts/rules.yml', 'alerts/alerts.yml')
    expect(said).toContain(`SUCCESS: ${ALERTS.length} rules found`)
  })

  test.each([2, 60, 3600])('takes the copy whose durations are divided by %j', async (factor) => {
    const dir = mkdtempSync(join(tmpdir(), 'rules-'))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    const files = [alertsYaml(factor), rulesYaml(factor)].map((text, at) => {
      writeFileSync(join(dir, `${at}.yml`), text)
      return join(dir, `${at}.yml`)
    })
    expect(await promtool('check', 'rules', ...files)).toContain(`SUCCESS: ${ALERTS.length} rules found`)
  })

  test.each(readdirSync('alerts/tests'))('every alert of %s fires and is silent as its cases say', async (file) => {
    expect(await promtool('test', 'rules', join('alerts/tests', file))).toContain('SUCCESS')
  })
})
