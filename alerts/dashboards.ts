// The boards as Grafana's JSON, by Grafana's own builders.

import {
  DashboardBuilder,
  DashboardLinkBuilder,
  DatasourceVariableBuilder,
  TextBoxVariableBuilder,
  type DataSourceRef,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { BOARDS, type Panel } from './boards.ts'

const SOURCE: DataSourceRef = { type: 'prometheus', uid: '${source}' }
const PANEL_HEIGHT = 8
/** Of 24 columns. */
const PANEL_WIDTH = 12
/** Where the runbooks of an installation are, a path or a URL; a variable of each board. */
const RUNBOOKS = '${runbooks}'

/** deploy/dashboards/*.json by their paths. */
export function dashboardFiles(): { path: string; text: string }[] {
  return Object.entries(BOARDS).map(([name, { title, panels }]) => ({
    path: `deploy/dashboards/${name}.json`,
    text: `${JSON.stringify(boardOf(name, title, panels), undefined, 2)}\n`,
  }))
}

function boardOf(name: string, title: string, panels: readonly Panel[]) {
  const board = new DashboardBuilder(`Mail ingest: ${title}`)
    .uid(`mail-ingest-${name}`)
    .tags(['mail-ingest'])
    .refresh('30s')
    .time({ from: 'now-6h', to: 'now' })
    .withVariable(new DatasourceVariableBuilder('source').label('Prometheus').type('prometheus'))
    .withVariable(new TextBoxVariableBuilder('runbooks').label('Runbooks').defaultValue('/alerts/runbooks'))
  for (const panel of panels) board.withPanel(panelOf(panel))
  return board.build()
}

function panelOf({ title, lines, unit, alerts }: Panel): PanelBuilder {
  const panel = new PanelBuilder()
    .title(title)
    .datasource(SOURCE)
    .unit(unit)
    .height(PANEL_HEIGHT)
    .span(PANEL_WIDTH)
    .links(alerts.map((alert) => new DashboardLinkBuilder(alert).url(`${RUNBOOKS}/${alert}.md`).targetBlank(true)))
  for (const [expression, legend] of lines)
    panel.withTarget(new DataqueryBuilder().expr(expression).legendFormat(legend).datasource(SOURCE))
  return panel
}
