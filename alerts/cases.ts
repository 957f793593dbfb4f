// The cases of all alerts, as `promtool test rules` reads them.

import { ALERTS, GROUPS, RECORDED, runbookOf, dashboardOf, type Alert } from './alerts.ts'
import type { Cases, Firing, Silent } from './case.ts'
import { HOUSEKEEPING_CASES } from './housekeeping-cases.ts'
import { MOVING_CASES } from './moving-cases.ts'
import { SYMPTOM_CASES } from './symptom-cases.ts'
import { SPOOL_CASES } from './spool-cases.ts'
import { yamlOf } from './yaml.ts'

export const CASES: Readonly<Record<string, Cases>> = {
  ...SYMPTOM_CASES,
  ...SPOOL_CASES,
  ...MOVING_CASES,
  ...HOUSEKEEPING_CASES,
}

/** alerts/tests/*.yml by their paths. Throws TypeError where an alert has no case. Days are looked at less often, for the time it takes. */
export function caseFiles(): { path: string; text: string }[] {
  return Object.entries(GROUPS).flatMap(([group, alerts]) => {
    const tests = alerts.flatMap(testsOf)
    const long = tests.filter(({ interval }) => interval !== '1m')
    return [
      caseFile(
        group,
        '1m',
        tests.filter((each) => !long.includes(each)),
      ),
      ...(long.length > 0 ? [caseFile(`${group}-days`, '30m', long)] : []),
    ]
  })
}

const caseFile = (name: string, evaluation_interval: string, tests: ReturnType<typeof testsOf>) => ({
  path: `alerts/tests/${name}.yml`,
  text: `# Made from alerts/*-cases.ts by \`make docs\`.\n${yamlOf({
    rule_files: ['../rules.yml', '../alerts.yml'],
    // Without it promtool takes the groups in any order, another one each time.
    group_eval_order: [RECORDED, ...Object.keys(GROUPS)],
    evaluation_interval,
    tests,
  })}`,
})

function testsOf(alert: Alert) {
  const cases = CASES[alert.name]
  if (cases === undefined) throw new TypeError(`${alert.name} has no case`)
  const fires = testOf(alert, cases.fires, [expected(alert, cases.fires)])
  return [fires, ...cases.silent.map((each) => testOf(alert, each, []))]
}

function testOf(alert: Alert, { when, series, at, every = '1m' }: Silent, exp_alerts: ReturnType<typeof expected>[]) {
  return {
    name: `${alert.name} ${exp_alerts.length === 0 ? 'is silent' : 'fires'}: ${when}`,
    interval: every,
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [{ eval_time: at, alertname: alert.name, exp_alerts }],
  }
}

const expected = (alert: Alert, { labels = {}, description }: Firing) => ({
  exp_labels: { severity: alert.severity, ...labels },
  exp_annotations: {
    summary: alert.summary,
    description,
    runbook_url: runbookOf(alert),
    dashboard_url: dashboardOf(alert),
  },
})

/** Cases that no alert has. */
export const strayCases = (): string[] =>
  Object.keys(CASES).filter((name) => !ALERTS.some((alert) => alert.name === name))
