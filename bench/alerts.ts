// `make alerts-real`: the product, four times, under Prometheus and Alertmanager, while everything that has an alert goes wrong. Alerts
// with durations of minutes run with their true ones, the others with theirs divided (FACTORS). Asserts that each fires in time, alone,
// and ends; writes docs/alerts-run.md. To try a part out: ALERTS_SITES=days,hours; ALERTS_FACTOR divides all durations by another number.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { ALERTS } from '../alerts/alerts.ts'
import { msOf } from '../alerts/durations.ts'
import { courses, expectedOf, type Course, type Fault } from '../test/alarms.ts'
import { pause } from '../test/system.ts'
import { firing } from '../test/watched.ts'
import { FACTORS, scaleOf, SITES, type Site } from './alert-sites.ts'

const PAGE = 'docs/alerts-run.md'
const RUN_MS_MAX = 15 * 60_000
const WAIT_MS = 11.5 * 60_000
/** Scrapes, evaluations, what the product itself looks at every few seconds, and a busy machine. */
const SLACK_S = 45
const CALM_MS = 20_000
/** Alerts that no fault is made for here, and why. */
const NOT_FIRED: Readonly<Record<string, string>> = {}

const wanted = process.env['ALERTS_SITES']?.split(',') ?? Object.keys(SITES)
const factor = process.env['ALERTS_FACTOR'] === undefined ? undefined : Number(process.env['ALERTS_FACTOR'])
const isWhole = factor === undefined && wanted.length === Object.keys(SITES).length

interface Row extends Course {
  site: Site
  /** Seconds in which it has to fire. */
  limitS: number
}

process.setMaxListeners(100)
const folder = mkdtempSync(join(tmpdir(), 'mail-ingest-alerts-'))
const problems: string[] = []
process.once('exit', cleanUp)
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130))
setTimeout(() => {
  process.stderr.write(`not over after ${RUN_MS_MAX / 60_000} minutes\n`)
  process.exit(1)
}, RUN_MS_MAX).unref()

const began = Date.now()
const rows = (await Promise.all(staggered(wanted))).flat()
judge(rows)
const page = pageOf(rows)
if (isWhole) writeFileSync(PAGE, page)
process.stdout.write(page)
if (problems.length > 0) process.stderr.write(`${problems.join('\n')}\n`)
process.exit(problems.length > 0 ? 1 : 0)

/** The real engines take longest to come up; the others start one after the other meanwhile. */
function staggered(names: readonly string[]): Promise<Row[]>[] {
  let before: Promise<unknown> = Promise.resolve()
  return names.map(async (name) => {
    const open = SITES[name]
    if (open === undefined) throw new TypeError(`no site ${name}`)
    const turn = name === 'engines' ? Promise.resolve() : before
    const opened = turn.then(() => open(folder, factor))
    if (name !== 'engines') before = opened
    return runIn(await opened)
  })
}

async function runIn(site: Site): Promise<Row[]> {
  const { watched, beside, phases, name } = site
  try {
    await pause(CALM_MS)
    const early = firing(watched.told)
    if (early.length > 0) problems.push(`${name}: before any fault: ${early.join(', ')}`)
    const found: Course[] = []
    const along = courses(watched, beside, WAIT_MS)
    for (const faults of phases) {
      watched.told.fired.clear()
      process.stderr.write(`${stamp()} ${name}: ${faults.map((fault) => fault.name).join('; ')}\n`)
      const { over } = await courses(watched, faults, WAIT_MS)
      found.push(...(await over))
      const expected = new Set(expectedOf([...faults, ...beside]))
      const others = [...watched.told.fired].filter((alert) => !expected.has(alert))
      if (others.length > 0) problems.push(`${name}: nobody expected ${others.join(', ')}`)
    }
    found.push(...(await (await along).over))
    const broken = await watched.prometheus.broken()
    problems.push(...broken.map((what) => `${name}: ${what}`))
    process.stderr.write(`${stamp()} ${name}: done\n`)
    const faults = [...beside, ...phases.flat()]
    return found.map((course) => ({ ...course, site, limitS: limitOf(course, site, faults) }))
  } finally {
    await site.stop()
  }
}

function stamp(): string {
  return `${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s`
}

/** What the alert itself asks for: its `for`, after the window or the age that must be full; and how long its fault takes to be one. */
function limitOf({ alert: name, madeS, fault }: Course, { scale }: Site, faults: readonly Fault[]): number {
  const alert = ALERTS.find((each) => each.name === name)
  const { lastsMs = 0 } = faults.find((each) => each.name === fault && each.firesMended?.includes(name)) ?? {}
  if (alert === undefined) throw new TypeError(`no alert ${name}`)
  const waits = [...alert.expr.matchAll(/\[(\d+[smhdw])\]|> \{(\d+[smhdw])\}/g)].map(([, window, age]) =>
    msOf(window ?? age ?? '0s'),
  )
  const ownMs = (msOf(alert.for) + Math.max(0, ...waits)) / (factor ?? FACTORS[scale])
  return madeS + (lastsMs + ownMs) / 1000 + SLACK_S
}

function judge(rows: readonly Row[]): void {
  for (const { alert, firedS, resolvedS, limitS } of rows) {
    if (firedS === undefined) problems.push(`${alert} did not fire`)
    else if (firedS > limitS) problems.push(`${alert} fired after ${firedS.toFixed(0)} s, not ${limitS.toFixed(0)} s`)
    if (resolvedS === undefined) problems.push(`${alert} did not end`)
  }
  if (!isWhole) return
  const made = new Set(rows.map(({ alert }) => alert))
  for (const { name } of ALERTS) {
    if (made.has(name) === name in NOT_FIRED) problems.push(`${name}: ${made.has(name) ? 'fired' : 'no fault'}`)
  }
}

function pageOf(rows: readonly Row[]): string {
  const seconds = (value: number | undefined) => (value === undefined ? 'never' : value.toFixed(value < 10 ? 1 : 0))
  const order = ALERTS.map(({ name }): string => name)
  const sorted = rows.toSorted((a, b) => order.indexOf(a.alert) - order.indexOf(b.alert))
  const lines = sorted.map(({ alert, fault, firedS, resolvedS, limitS, site }) => {
    const by = factor ?? FACTORS[site.scale]
    const how = by === 1 ? 'true' : `divided by ${by}`
    return `| \`${alert}\` | ${fault} | ${how} | ${seconds(firedS)} | ${limitS.toFixed(0)} | ${seconds(resolvedS)} |`
  })
  const left = Object.entries(NOT_FIRED).map(([alert, why]) => `| \`${alert}\` | not fired for real: ${why} | | | | |`)
  const count = (scale: string) => ALERTS.filter((alert) => scaleOf(alert) === scale).length
  return [
    '# Every alert, fired for real',
    '',
    `Written by \`make alerts-real\` on ${new Date(began).toISOString().slice(0, 10)}: ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}, ${((Date.now() - began) / 60_000).toFixed(1)} minutes.`,
    'The product runs in separate stages with mail coming in, four times side by side: once on Kafka, Ceph RGW and PostgreSQL, three times',
    'on embedded engines. Each is watched by a Prometheus and an Alertmanager of its own, which tells a webhook.',
    '',
    `Alerts whose windows and \`for\` are at most 5 minutes (${count('minutes')}) have their true durations and a scrape every 5 s. The others run from a generated`,
    `copy of the rules, scraped every second: those of at most 6 hours (${count('hours')}) with every duration divided by ${FACTORS.hours}, those with days in them (${count('days')}) by`,
    `${FACTORS.days}. What else the product waits for is not divided: it looks at certificates every 5 s, and mail counts as late after a minute. With`,
    'their true durations `promtool test rules` has all of them (`alerts/tests/`).',
    '',
    '`fired` is the time from the beginning of the fault until the webhook was told, `at most` what it may be, `over` the time from the mending',
    'until the webhook was told so. An alert that looks back over a window goes on for as long as that.',
    ...(problems.length === 0
      ? ['No other alert fired.']
      : ['', 'Not as it should be:', ...problems.map((each) => `- ${each}`)]),
    '',
    '| alert | fault | durations | fired (s) | at most (s) | over (s) |',
    '| --- | --- | --- | --- | --- | --- |',
    ...lines,
    ...left,
    '',
  ].join('\n')
}

/** Stages end with this process; a mount does not. */
function cleanUp(): void {
  for (const name of Object.keys(SITES)) {
    try {
      execFileSync('umount', ['-l', join(folder, name, 'disk')], { stdio: 'ignore' })
    } catch {
      // it is not there, or was taken away in time
    }
  }
  rmSync(folder, { recursive: true, force: true })
}
