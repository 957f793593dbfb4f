// Package alerts: the rules that Prometheus loads, as a table. `make docs` writes rules.yml and alerts.yml from it, which are what users
// load, both once more as a PrometheusRule (deploy/kubernetes/monitoring), and the cases in alerts/tests/.
//
// Contract: every alert names metrics of docs/metrics.md only, has a page in alerts/runbooks/, a panel, and a case in which it fires and
// one in which it stays silent. What pages (critical) is what users notice, or will within hours; all else is a ticket (warning).

import { divided, expressionOf } from './durations.ts'
import { HOUSEKEEPING } from './housekeeping.ts'
import { MOVING } from './moving.ts'
import { SYMPTOMS } from './symptoms.ts'
import { SPOOL } from './spool.ts'
import { recordingRules } from './recording.ts'
import { yamlOf } from './yaml.ts'

export type { Alert, Board } from './alert.ts'
import type { Alert } from './alert.ts'

/** In the order in which alerts.yml has them. */
export const GROUPS: Readonly<Record<string, readonly Alert[]>> = {
  'mail-ingest-symptoms': SYMPTOMS,
  'mail-ingest-spool': SPOOL,
  'mail-ingest-moving': MOVING,
  'mail-ingest-housekeeping': HOUSEKEEPING,
}

export const ALERTS: readonly Alert[] = Object.values(GROUPS).flat()

export const runbookOf = ({ name }: Pick<Alert, 'name'>): string => `alerts/runbooks/${name}.md`
export const dashboardOf = ({ board }: Pick<Alert, 'board'>): string => `/d/mail-ingest-${board}`

const annotationsOf = (alert: Alert): Record<string, string> => ({
  summary: alert.summary,
  description: alert.description,
  runbook_url: runbookOf(alert),
  dashboard_url: dashboardOf(alert),
})

const HEAD = '# Made from alerts/*.ts by `make docs`: changes belong there.\n'

const alertGroups = (factor: number, wanted: (alert: Alert) => boolean) =>
  Object.entries(GROUPS).map(([name, alerts]) => ({
    name,
    rules: alerts.filter(wanted).map((alert) => ({
      alert: alert.name,
      expr: expressionOf(alert.expr, factor),
      for: divided(alert.for, factor),
      labels: { severity: alert.severity },
      annotations: annotationsOf(alert),
    })),
  }))

/** The group that the alerts read: it comes first, or they see what it made the time before. */
export const RECORDED = 'mail-ingest-slo'

const ruleGroups = (factor: number) => {
  const rules = recordingRules().map(({ record, expr }) => ({ record, expr: expressionOf(expr, factor) }))
  return [{ name: RECORDED, rules }]
}

const all = () => true

/** alerts.yml. With a `factor` every duration is divided by it, for tests that cannot wait; those that are not `wanted` are left out. */
export const alertsYaml = (factor = 1, wanted: (alert: Alert) => boolean = all): string =>
  HEAD + yamlOf({ groups: alertGroups(factor, wanted) })

/** rules.yml, in the same way. */
export const rulesYaml = (factor = 1): string => HEAD + yamlOf({ groups: ruleGroups(factor) })

/** Both, as the Prometheus operator takes them. */
export const prometheusRuleYaml = (): string =>
  HEAD +
  yamlOf({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'mail-ingest' },
    spec: { groups: [...ruleGroups(1), ...alertGroups(1, all)] },
  })
