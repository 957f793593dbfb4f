// Every committed file that is made from the code. `make docs` writes them, test/docs.test.ts compares them.

import { PassThrough, Readable } from 'node:stream'
import { alertsYaml, prometheusRuleYaml, rulesYaml } from '../alerts/alerts.ts'
import { caseFiles } from '../alerts/cases.ts'
import { dashboardFiles } from '../alerts/dashboards.ts'
import { buildProgram, cliReferenceMarkdown, type Context } from '../internal/cli/cli.ts'
import { envExample, settingsMarkdown } from '../internal/config/config.ts'
import { systemClock, systemIds } from '../internal/daemon/daemon.ts'
import { eventCatalogueMarkdown } from '../internal/eventlog/catalogue.ts'
import { asyncapiText } from '../internal/eventlog/asyncapi.ts'
import { schemaFiles } from '../internal/eventlog/eventlog.ts'
import { QUARANTINE_MEANINGS } from '../internal/indexer/indexer.ts'
import { REFUSAL_REASONS } from '../internal/smtp/smtp.ts'
import { metricsMarkdown } from './metric-catalogue.ts'
import { VERSION } from './version.ts'

/** Whose tables of reasons docs/events.md shows. */
const REASONS = { 'Reasons of quarantine': QUARANTINE_MEANINGS, 'Reasons of refusal': REFUSAL_REASONS }

/** A file by its path from the root. */
export interface GeneratedFile {
  path: string
  text: string
}

export async function generatedFiles(): Promise<GeneratedFile[]> {
  return [
    { path: 'docs/settings.md', text: settingsMarkdown() },
    { path: 'deploy/env.example', text: envExample() },
    { path: 'docs/cli.md', text: cliReferenceMarkdown(buildProgram(nothing())) },
    { path: 'alerts/rules.yml', text: rulesYaml() },
    { path: 'alerts/alerts.yml', text: alertsYaml() },
    { path: 'deploy/kubernetes/monitoring/rules.yaml', text: prometheusRuleYaml() },
    ...caseFiles(),
    ...dashboardFiles(),
    { path: 'docs/metrics.md', text: await metricsMarkdown() },
    { path: 'docs/events.md', text: eventCatalogueMarkdown(REASONS) },
    ...schemaFiles(),
    { path: 'schemas/asyncapi.json', text: asyncapiText() },
  ]
}

/** Surroundings for a command tree that is read and never run. */
function nothing(): Context {
  const unused = (): never => {
    throw new TypeError('a document needs no engines')
  }
  return {
    version: VERSION,
    environment: {},
    config: unused,
    engines: {
      store: unused,
      log: unused,
      blobs: unused,
      topics: unused,
      schema: unused,
      parsers: unused,
      scanner: unused,
      get spool() {
        return unused()
      },
      close: async () => undefined,
    },
    clock: systemClock,
    ids: systemIds(systemClock),
    random: unused,
    streams: { input: Readable.from([]), out: new PassThrough(), err: new PassThrough() },
    signal: new AbortController().signal,
  }
}
