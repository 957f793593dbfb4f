// Alerts, metrics, pages and commands name each other, and nothing that is not there.

import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { metricsOf, type CataloguedMetric } from '../cmd/metric-catalogue.ts'
import { ALERTS, runbookOf } from './alerts.ts'
import { BOARDS } from './boards.ts'
import { CASES, strayCases } from './cases.ts'
import { recordingRules } from './recording.ts'

const SECTIONS = ['Symptom', 'Metric', 'First look', 'Action', 'Verification', 'Escalation']

const catalogue = new Map((await metricsOf('ingest')).map((metric) => [metric.name, metric]))
const recorded = new Map(recordingRules().map(({ record, expr }) => [record, expr]))
const cli = readFileSync('docs/cli.md', 'utf8')

/** Selectors of metrics in an expression, those of recording rules by what they are made of. */
function selectorsOf(expression: string): { name: string; matchers: string }[] {
  const made = [...expression.matchAll(/mail_ingest:\w+:\w+/g)].flatMap(([record]) => {
    const expr = recorded.get(record)
    if (expr === undefined) throw new TypeError(`there is no recording rule ${record}`)
    return selectorsOf(expr)
  })
  const named = [...expression.matchAll(/\b(mail_ingest_\w+|up)\b(?:\{([^}]*)\})?/g)]
  return [...made, ...named.map(([, name = '', matchers = '']) => ({ name, matchers }))]
}

/** The metric that a sample belongs to. */
const metricOf = (name: string): CataloguedMetric | undefined =>
  catalogue.get(name) ?? catalogue.get(name.replace(/_(bucket|sum|count)$/, ''))

/** Values that a matcher asks for and that no series has. */
function strangers({ name, matchers }: { name: string; matchers: string }): string[] {
  const labels = metricOf(name)?.labels ?? {}
  return [...matchers.matchAll(/(\w+)(=~|!=|=)"([^"]*)"/g)].flatMap(([, label = '', , value = '']) => {
    const known = label === 'le' ? [value] : (labels[label] ?? [])
    return value.split('|').flatMap((each) => (known.includes(each) ? [] : [`${name} ${label}=${each}`]))
  })
}

describe.each(ALERTS.map((alert) => [alert.name, alert] as const))('%s', (name, alert) => {
  const page = readFileSync(runbookOf(alert), 'utf8')
  const selectors = selectorsOf(alert.expr)

  test('names metrics and values that exist', () => {
    const ours = selectors.filter((each) => each.name !== 'up')
    expect(selectors.length).toBeGreaterThan(0)
    expect(ours.filter((each) => metricOf(each.name) === undefined)).toEqual([])
    expect(ours.flatMap(strangers)).toEqual([])
  })

  test('says what it is, once for all instances and once for this one', () => {
    expect(name).toMatch(/^MailIngest[A-Z][A-Za-z]+$/)
    expect(alert.summary).toMatch(/^[A-Z][^{}]+\.$/)
    expect(alert.description).toMatch(/\.$/)
  })

  test('has a case in which it fires, and those in which it is silent', () => {
    expect(CASES[name]?.silent.length).toBeGreaterThan(0)
  })

  test('has a page with every section, which names its metrics', () => {
    expect(page.startsWith(`# ${name}\n`)).toBe(true)
    const sections = [...page.matchAll(/^## (.+)$/gm)].map(([, section]) => section)
    expect(sections).toEqual(SECTIONS)
    const bodies = page.split(/^## .+$/m).slice(1)
    expect(bodies.filter((body) => body.trim().length < 20)).toEqual([])
    const missing = new Set(selectors.map((each) => metricOf(each.name)?.name ?? each.name))
    expect([...missing].filter((each) => !page.includes(each))).toEqual([])
  })

  test('has a page whose metrics, commands and pages exist', () => {
    const metrics = [...page.matchAll(/\bmail_ingest_\w+/g)].map(([metric]) => metric)
    expect(metrics.filter((metric) => metricOf(metric) === undefined)).toEqual([])
    const commands = [...page.matchAll(/bin\/ingestctl ([a-z-]+)(?: ([a-z]+))?/g)]
    const unknown = commands.filter(
      ([, verb = '', noun = '']) =>
        !cli.includes(`### ingestctl ${verb} ${noun}`) &&
        !cli.includes(`### ingestctl ${verb}\n`) &&
        !new RegExp(`### ingestctl ${verb} [<[]`).test(cli),
    )
    expect(unknown.map(([command]) => command)).toEqual([])
    const options = [...page.matchAll(/bin\/ingestctl[^\n`#]*/g)].flatMap(([line]) => line.match(/ --[a-z-]+/g) ?? [])
    expect(options.filter((option) => !cli.includes(option.trim()) && option !== ' --help')).toEqual([])
  })
})

test('no page and no case is without its alert', () => {
  const pages = readdirSync('alerts/runbooks').map((file) => file.replace(/\.md$/, ''))
  expect(pages.sort()).toEqual(ALERTS.map(({ name }) => name).sort())
  expect(strayCases()).toEqual([])
})

test('names are there once, and severities are two', () => {
  expect(new Set(ALERTS.map(({ name }) => name)).size).toBe(ALERTS.length)
  expect([...new Set(ALERTS.map(({ severity }) => severity))].sort()).toEqual(['critical', 'warning'])
})

describe.each(Object.entries(BOARDS))('the board %s', (name, { panels }) => {
  test.each(panels.map((panel) => [panel.title, panel] as const))(
    '%s: metrics and values that exist',
    (_title, { lines }) => {
      const selectors = lines.flatMap(([expression]) => selectorsOf(expression)).filter((each) => each.name !== 'up')
      expect(selectors.filter((each) => metricOf(each.name) === undefined)).toEqual([])
      expect(selectors.flatMap(strangers)).toEqual([])
    },
  )

  test('has a panel for each alert that leads to it, and for no other', () => {
    const named = new Set(panels.flatMap(({ alerts }) => alerts))
    const ours = ALERTS.filter(({ board }) => board === name).map((alert): string => alert.name)
    expect([...named].sort()).toEqual(ours.sort())
  })
})
