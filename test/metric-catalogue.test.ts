// What the programs expose is what the catalogue says: no metric and no label value more, none less.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { metricsOf, PROGRAMS, type ProgramName } from '../cmd/metric-catalogue.ts'
import { environmentOf, eventually, startProgram, temporaryFolder } from './system.ts'

const SERIES_MAX = 1500
/** Conditional parts are on, so that all there is shows; nobody answers at these addresses, which is no reason not to start. */
const PARTS = {
  SCANNER_URL: 'clamd://127.0.0.1:1',
  SCANNER_INLINE: 'on',
  SCANNER_DOWN: 'accept',
  PROBE_TARGETS: '127.0.0.1:1',
}

/** A program of its own, and what its listener says once it is ready. */
async function scrape(program: ProgramName, dir: string): Promise<string> {
  const tls = { SMTP_TLS_CERT: join(dir, 'cert.pem'), SMTP_TLS_KEY: join(dir, 'key.pem') }
  const { child, lines, exited } = startProgram(program, environmentOf(dir, { ...PARTS, ...tls, LOG_FILE: '-' }))
  const url = await eventually(async () => {
    if (child.exitCode !== null) throw new Error(lines.join('\n'))
    return lines.map((line) => /"metrics":"(http:[^"]+)"/.exec(line)?.[1]).find((found) => found !== undefined)
  })
  const text = await (await fetch(url)).text()
  child.kill('SIGTERM')
  await exited
  return text
}

/** `name{label="value",…}` of every sample, without those of buckets and quantiles. */
function seriesIn(text: string): { name: string; labels: string }[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? []
      return { name, labels }
    })
}

test.each(PROGRAMS)('%s exposes what the catalogue says', async (program) => {
  const dir = temporaryFolder()
  const openssl = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '90']
  execFileSync('openssl', [...openssl, '-subj', '/CN=a', '-keyout', 'key.pem', '-out', 'cert.pem'], {
    cwd: dir,
    stdio: 'ignore',
  })
  // Who only reads does not make the store.
  if (program === 'probed') await scrape('indexerd', dir)
  const text = await scrape(program, dir)
  const series = seriesIn(text)
  const catalogue = await metricsOf(program)

  expect(series.length).toBeGreaterThan(200)
  expect(series.length).toBeLessThan(SERIES_MAX)
  const exposed = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => `${name} ${type}`)
  expect(exposed.sort()).toEqual(catalogue.map(({ name, type }) => `${name} ${type}`).sort())
  const helps = [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(([, name = '', help = '']) => `${name} ${help}`)
  expect(helps.sort()).toEqual(catalogue.map(({ name, help }) => `${name} ${help}`).sort())

  const own = catalogue.filter(({ name, ofRuntime }) => !ofRuntime && !name.endsWith('_info'))
  for (const { name, labels } of own) {
    const shown: Record<string, Set<string>> = {}
    for (const one of series.filter(
      (each) => each.name.replace(/_(bucket|sum|count)$/, '') === name || each.name === name,
    ))
      for (const [, label = '', value = ''] of one.labels.matchAll(/([a-z_]+)="([^"]*)"/g))
        if (label !== 'le') (shown[label] ??= new Set()).add(value)
    const sorted = (of: Record<string, Iterable<string>>) =>
      Object.fromEntries(Object.entries(of).map(([label, values]) => [label, [...values].sort()]))
    expect([name, sorted(shown)]).toEqual([name, sorted(labels)])
  }
})
