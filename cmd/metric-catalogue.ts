// Every metric of every program, declared as the programs declare it. test/metric-catalogue.test.ts compares it with what they expose.

import type { Registry } from '@prometheus-io/client'
import { authenticationMetrics } from '../internal/authentication/metrics.ts'
import { blobMetrics } from '../internal/blob/measured.ts'
import { newRegistry } from '../internal/daemon/daemon.ts'
import { refreshGauge } from '../internal/directory/refresher.ts'
import { usageGauges } from '../internal/directory/usage-refresher.ts'
import { GROUPS } from '../internal/eventlog/eventlog.ts'
import { deadLetterGauge, eventLogMetrics } from '../internal/eventlog/measured.ts'
import { indexerMetrics } from '../internal/indexer/metrics.ts'
import { retentionMetrics } from '../internal/indexer/upkeep.ts'
import { parseFailures } from '../internal/message/metrics.ts'
import { scannerMetrics } from '../internal/scanner/measured.ts'
import { scannerUp } from '../internal/scanner/watch.ts'
import { certificateMetrics } from '../internal/smtp/certificates.ts'
import { smtpMetrics } from '../internal/smtp/metrics.ts'
import { refusalCounter } from '../internal/smtp/refusals.ts'
import { storeMetrics } from '../internal/store/store.ts'
import { probeMetrics } from '../internal/probe/metrics.ts'
import { inHand, metrics as uploadMetrics } from '../internal/upload/metrics.ts'
import { lostRefusals } from '../internal/upload/refusals.ts'
import { showReach } from './reach.ts'
import { spoolMetrics, spoolReaderMetrics } from './spool-metrics.ts'

type Declare = (registry: Registry) => unknown

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const emptySpool = () =>
  inHand().now({ pendingMessages: 0, pendingBytes: 0, oldestReceivedAt: undefined, asideMessages: 0 })
const closedSpool = {
  stats: () => ({
    poisoned: false,
    short: false,
    freeBytes: 0,
    capacityBytes: 0,
    reservedBytes: 0,
    committedMessages: 0,
    queuedMessages: 0,
    segment: undefined,
  }),
}

const watched = (...names: string[]) => names.map((name) => ({ check: { name, problem: () => undefined } }))
const ENGINES: readonly Declare[] = [
  blobMetrics,
  eventLogMetrics,
  storeMetrics,
  (registry) => showReach(registry, watched('object store', 'event log', 'store')),
]
const PROBE: Declare = (registry) => probeMetrics(registry, 1, 0)
const SCANNER: readonly Declare[] = [(registry) => scannerMetrics(registry, 'clamd'), scannerUp]

/** What each program declares. `smtpd` asks a scanner with SCANNER_INLINE only. */
const DECLARED = {
  smtpd: [
    smtpMetrics,
    refusalCounter,
    certificateMetrics,
    authenticationMetrics,
    (registry) => spoolMetrics(registry).watch(closedSpool),
    ...SCANNER,
  ],
  uploaderd: [
    ...ENGINES,
    (registry) => uploadMetrics(registry, emptySpool),
    (registry) => spoolReaderMetrics(registry, silent),
    lostRefusals,
    refreshGauge,
    usageGauges,
  ],
  indexerd: [
    ...ENGINES,
    ...SCANNER,
    parseFailures,
    (registry) => indexerMetrics(registry, GROUPS),
    deadLetterGauge,
    retentionMetrics,
  ],
  probed: [storeMetrics, (registry) => showReach(registry, watched('store')), PROBE],
} as const satisfies Record<string, readonly Declare[]>

/** The programs with a listener; `ingest` is all stages in one process. */
export const PROGRAMS = ['smtpd', 'uploaderd', 'indexerd', 'probed', 'ingest'] as const
export type ProgramName = (typeof PROGRAMS)[number]

export interface CataloguedMetric {
  name: string
  type: string
  help: string
  /** Values by label, in the order in which they are declared. */
  labels: Record<string, string[]>
  /** Lines that it makes of a scrape. */
  series: number
  /** Of the process and of Node, by the client library. */
  ofRuntime: boolean
}

/** Labels that a sample has of its type. */
const OF_TYPE = new Set(['le', 'quantile'])

function declaredBy(program: ProgramName): readonly Declare[] {
  const { smtpd, uploaderd, indexerd } = DECLARED
  return program === 'ingest' ? [...smtpd, ...uploaderd, ...indexerd, PROBE] : DECLARED[program]
}

/** What `program` exposes, by name. */
export async function metricsOf(program: ProgramName): Promise<CataloguedMetric[]> {
  const registry = newRegistry('', '')
  for (const declare of new Set<Declare>(declaredBy(program))) declare(registry)
  const all = await registry.getMetricsAsJSON()
  return all.map(({ name, type, help, values }) => ({
    name,
    type,
    help,
    labels: labelsOf(values.map((value: { labels?: Record<string, unknown> }) => value.labels ?? {})),
    series: values.length,
    ofRuntime: /^mail_ingest_(process|nodejs)_/.test(name),
  }))
}

function labelsOf(samples: readonly Record<string, unknown>[]): Record<string, string[]> {
  const found = new Map<string, Set<string>>()
  for (const labels of samples) {
    for (const [label, value] of Object.entries(labels)) {
      if (!OF_TYPE.has(label)) found.set(label, (found.get(label) ?? new Set()).add(String(value)))
    }
  }
  return Object.fromEntries([...found].map(([label, values]) => [label, [...values]]))
}

/** docs/metrics.md */
export async function metricsMarkdown(): Promise<string> {
  const stages = PROGRAMS.filter((program) => program !== 'ingest')
  const exposed = new Map<string, { metric: CataloguedMetric; by: string[] }>()
  for (const program of stages) {
    for (const metric of await metricsOf(program)) {
      const entry = exposed.get(metric.name) ?? { metric, by: [] }
      entry.by.push(program)
      exposed.set(metric.name, entry)
    }
  }
  const rows = [...exposed.values()].sort((a, b) => (a.metric.name < b.metric.name ? -1 : 1))
  const own = rows.filter(({ metric }) => !metric.ofRuntime)
  return `# Metrics

Generated from the code by \`make docs\`. Each program exposes its own on \`METRICS_LISTEN\`; \`make run\` exposes all of them. Every value of a
label is there from the start with zero; \`build_info\` alone takes its values from what runs. A process has at most 1,500 series.

Times are seconds, moments are seconds since 1970, and a moment of 0 means that there is none. Those of the scanner are there with
\`SCANNER_URL\` (in smtpd with \`SCANNER_INLINE\` as well), those of certificates with \`SMTP_TLS_CERT\`, those of the canary in the all-in-one with \`PROBE_TARGETS\`.

| metric | type | labels | programs | meaning |
| --- | --- | --- | --- | --- |
${own.map(rowOf).join('\n')}

## Of the process and of Node

From the client library, by every program.

| metric | type | meaning |
| --- | --- | --- |
${rows
  .filter(({ metric }) => metric.ofRuntime)
  .map(({ metric: { name, type, help } }) => `| \`${name}\` | ${type} | ${help} |`)
  .join('\n')}
`
}

function rowOf({ metric, by }: { metric: CataloguedMetric; by: string[] }): string {
  const labels = Object.entries(metric.labels).map(([label, values]) =>
    metric.name.endsWith('_info') ? `\`${label}\`` : `\`${label}\`: ${values.join(', ')}`,
  )
  return `| \`${metric.name}\` | ${metric.type} | ${labels.join('; ')} | ${by.join(', ')} | ${metric.help} |`
}
