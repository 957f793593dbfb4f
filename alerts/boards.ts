// The five dashboards, panel by panel. An alert's board has a panel that names it; each expression is of metrics in docs/metrics.md.

import type { Board } from './alert.ts'
import { ratioOf } from './recording.ts'

export interface Panel {
  title: string
  /** Expressions with the names of their lines. */
  lines: readonly (readonly [expression: string, legend: string])[]
  /** As Grafana names units. */
  unit: 's' | 'bytes' | 'ops' | 'short' | 'percentunit' | 'bool'
  /** Alerts that are about this. */
  alerts: readonly string[]
}

const RANGE = '$__rate_interval'
const rate = (metric: string, by = ''): string => `sum${by === '' ? '' : ` by (${by})`} (rate(${metric}[${RANGE}]))`
const p99 = (metric: string, by = ''): string =>
  `histogram_quantile(0.99, sum by (le${by === '' ? '' : `, ${by}`}) (rate(${metric}_bucket[${RANGE}])))`
const NODE = '{{job}} {{instance}}'

const OVERVIEW: readonly Panel[] = [
  {
    title: 'Mail deferred for reasons of ours (promise: 0.05 %)',
    lines: [
      [ratioOf('accept', '1h'), '1 h'],
      [ratioOf('accept', '3d'), '3 d'],
    ],
    unit: 'percentunit',
    alerts: ['MailIngestAcceptBudgetBurnFast', 'MailIngestAcceptBudgetBurnSlow'],
  },
  {
    title: 'Mail in the index later than 60 s (promise: 1 %)',
    lines: [
      [ratioOf('index', '1h'), '1 h'],
      [ratioOf('index', '3d'), '3 d'],
    ],
    unit: 'percentunit',
    alerts: ['MailIngestIndexBudgetBurnFast', 'MailIngestIndexBudgetBurnSlow'],
  },
  {
    title: 'Age of the last canary',
    lines: [['time() - mail_ingest_probe_last_success_timestamp_seconds', '{{instance}}']],
    unit: 's',
    alerts: ['MailIngestProbeFailing'],
  },
  {
    title: 'Processes that are up',
    lines: [['sum by (job) (up{job=~"mail-ingest.*"})', '{{job}}']],
    unit: 'short',
    alerts: ['MailIngestSmtpdDown'],
  },
  {
    title: 'Transactions',
    lines: [[rate('mail_ingest_smtp_transactions_total', 'result'), '{{result}}']],
    unit: 'ops',
    alerts: [],
  },
  {
    title: 'Refusals by reason',
    lines: [[rate('mail_ingest_smtp_transactions_total{result=~"tempfail|reject"}', 'reason'), '{{reason}}']],
    unit: 'ops',
    alerts: [],
  },
  {
    title: 'From the last byte to the index (99th percentile)',
    lines: [[p99('mail_ingest_end_to_end_seconds'), 'seconds']],
    unit: 's',
    alerts: [],
  },
]

const PIPELINE: readonly Panel[] = [
  {
    title: 'Age of the oldest mail in a spool',
    lines: [
      ['time() - (mail_ingest_spool_oldest_message_timestamp_seconds > 0) or vector(0)', '{{instance}} {{state}}'],
    ],
    unit: 's',
    alerts: ['MailIngestSpoolOldestMessageAge'],
  },
  {
    title: 'Mail in the spools',
    lines: [['sum by (instance, state) (mail_ingest_spool_messages)', '{{instance}} {{state}}']],
    unit: 'short',
    alerts: ['MailIngestSpoolAside', 'MailIngestUploaderdDown'],
  },
  {
    title: 'Lag in events',
    lines: [['max by (group, topic) (mail_ingest_consumer_lag_messages)', '{{group}} {{topic}}']],
    unit: 'short',
    alerts: ['MailIngestConsumerLagGrowing', 'MailIngestConsumerStuck', 'MailIngestIndexerdDown'],
  },
  {
    title: 'Lag in seconds',
    lines: [
      [
        'time() - (min by (group, topic) (mail_ingest_consumer_oldest_event_timestamp_seconds > 0)) or vector(0)',
        '{{group}} {{topic}}',
      ],
    ],
    unit: 's',
    alerts: ['MailIngestConsumerLagGrowing'],
  },
  {
    title: 'Events dealt with',
    lines: [[rate('mail_ingest_consumer_events_total', 'group, result'), '{{group}} {{result}}']],
    unit: 'ops',
    alerts: ['MailIngestDeadLetters'],
  },
  {
    title: 'Steps of indexing (mean)',
    lines: [
      [
        `${rate('mail_ingest_index_stage_duration_seconds_sum', 'stage')} / (${rate('mail_ingest_index_stage_duration_seconds_count', 'stage')} > 0)`,
        '{{stage}}',
      ],
    ],
    unit: 's',
    alerts: [],
  },
  {
    title: 'Events that wait in the outbox, and that were refused',
    lines: [
      ['max(mail_ingest_outbox_pending)', 'waiting'],
      ['max(mail_ingest_outbox_refused)', 'refused'],
    ],
    unit: 'short',
    alerts: ['MailIngestOutboxRefused'],
  },
  {
    title: 'Announced and not in the store',
    lines: [['max(mail_ingest_conservation_residue)', 'mails']],
    unit: 'short',
    alerts: ['MailIngestConservationResidue'],
  },
  {
    title: 'Into quarantine by reason',
    lines: [[rate('mail_ingest_quarantined_total', 'reason'), '{{reason}}']],
    unit: 'ops',
    alerts: ['MailIngestQuarantineSpike'],
  },
  {
    title: 'Scans',
    lines: [
      [rate('mail_ingest_scanner_requests_total', 'result'), '{{result}}'],
      ['max by (job, instance) (mail_ingest_scanner_up)', `up ${NODE}`],
    ],
    unit: 'short',
    alerts: ['MailIngestScannerDown'],
  },
]

const FRONT_DOOR: readonly Panel[] = [
  {
    title: 'Connections by outcome',
    lines: [[rate('mail_ingest_smtp_connections_total', 'listener, outcome'), '{{listener}} {{outcome}}']],
    unit: 'ops',
    alerts: ['MailIngestNoMail'],
  },
  {
    title: 'Open connections',
    lines: [['sum by (instance, listener) (mail_ingest_smtp_connections)', '{{instance}} {{listener}}']],
    unit: 'short',
    alerts: [],
  },
  {
    title: 'From the final dot to the 250 (99th percentile)',
    lines: [[p99('mail_ingest_smtp_accept_duration_seconds', 'instance'), '{{instance}}']],
    unit: 's',
    alerts: [],
  },
  {
    title: 'Recipients',
    lines: [[rate('mail_ingest_smtp_recipients_total', 'result'), '{{result}}']],
    unit: 'ops',
    alerts: [],
  },
  {
    title: 'What limits turned away',
    lines: [[rate('mail_ingest_rate_limited_total', 'limiter'), '{{limiter}}']],
    unit: 'ops',
    alerts: [],
  },
  {
    title: 'Who sent it: results of the checks',
    lines: [[rate('mail_ingest_auth_results_total', 'method, result'), '{{method}} {{result}}']],
    unit: 'ops',
    alerts: [],
  },
  {
    title: 'Time until the first certificate ends',
    lines: [['(mail_ingest_tls_certificate_expiry_timestamp_seconds > 0) - time()', '{{instance}}']],
    unit: 's',
    alerts: ['MailIngestTlsCertExpiry'],
  },
  {
    title: 'What is not up to date: certificate, directory',
    lines: [
      ['mail_ingest_tls_reload_failing', 'certificate {{instance}}'],
      ['mail_ingest_directory_refresh_problem', 'directory {{instance}} {{problem}}'],
    ],
    unit: 'short',
    alerts: ['MailIngestTlsReloadFailing', 'MailIngestDirectoryStale'],
  },
]

const STORAGE: readonly Panel[] = [
  {
    title: 'Free space of the spools',
    lines: [['mail_ingest_spool_free_bytes / mail_ingest_spool_capacity_bytes', '{{instance}}']],
    unit: 'percentunit',
    alerts: ['MailIngestSpoolDiskLow', 'MailIngestSpoolDiskFillsSoon'],
  },
  {
    title: 'fsync of the spools (99th percentile)',
    lines: [[p99('mail_ingest_spool_fsync_duration_seconds', 'instance'), '{{instance}}']],
    unit: 's',
    alerts: ['MailIngestFsyncSlow'],
  },
  {
    title: 'Damage: places, poisoned spools',
    lines: [
      ['sum by (instance) (mail_ingest_spool_damage_total)', 'damage {{instance}}'],
      ['mail_ingest_spool_poisoned', 'poisoned {{instance}}'],
    ],
    unit: 'short',
    alerts: ['MailIngestSpoolCorrupt', 'MailIngestSpoolPoisoned'],
  },
  {
    title: 'Engines in reach',
    lines: [['min by (engine, job) (mail_ingest_engine_up)', '{{engine}} {{job}}']],
    unit: 'bool',
    alerts: ['MailIngestObjectStoreUnreachable', 'MailIngestEventLogUnreachable', 'MailIngestDatabaseUnreachable'],
  },
  {
    title: 'Operations on the object store',
    lines: [[rate('mail_ingest_objectstore_operations_total', 'op, result'), '{{op}} {{result}}']],
    unit: 'ops',
    alerts: ['MailIngestObjectStoreErrors'],
  },
  {
    title: 'Time of an operation (99th percentile)',
    lines: [[p99('mail_ingest_objectstore_operation_duration_seconds', 'op'), '{{op}}']],
    unit: 's',
    alerts: ['MailIngestObjectStoreSlow'],
  },
  {
    title: 'Events published, and not',
    lines: [
      [rate('mail_ingest_kafka_published_total', 'type'), '{{type}}'],
      [rate('mail_ingest_kafka_publish_errors_total', 'type'), 'errors {{type}}'],
    ],
    unit: 'ops',
    alerts: ['MailIngestKafkaPublishErrors', 'MailIngestEventPublishFailing'],
  },
  {
    title: 'Statements on the store (99th percentile)',
    lines: [[p99('mail_ingest_db_query_duration_seconds', 'op'), '{{op}}']],
    unit: 's',
    alerts: [],
  },
  {
    title: 'Size of the store',
    lines: [['max(mail_ingest_db_size_bytes)', 'bytes']],
    unit: 'bytes',
    alerts: [],
  },
]

const RUNTIME: readonly Panel[] = [
  {
    title: 'Versions',
    lines: [['count by (job, version) (mail_ingest_build_info)', '{{job}} {{version}}']],
    unit: 'short',
    alerts: ['MailIngestInstanceDown'],
  },
  {
    title: 'Event-loop lag (99th percentile)',
    lines: [['mail_ingest_nodejs_eventloop_lag_p99_seconds', NODE]],
    unit: 's',
    alerts: ['MailIngestEventLoopLag'],
  },
  {
    title: 'Processor time',
    lines: [[rate('mail_ingest_process_cpu_seconds_total', 'job, instance'), NODE]],
    unit: 'percentunit',
    alerts: [],
  },
  {
    title: 'Memory',
    lines: [['mail_ingest_process_resident_memory_bytes', NODE]],
    unit: 'bytes',
    alerts: [],
  },
  {
    title: 'Garbage collection',
    lines: [[rate('mail_ingest_nodejs_gc_duration_seconds_sum', 'job, instance'), NODE]],
    unit: 'percentunit',
    alerts: [],
  },
  {
    title: 'Time since old data was dropped',
    lines: [['time() - (mail_ingest_retention_last_success_timestamp_seconds > 0)', '{{instance}} {{kind}}']],
    unit: 's',
    alerts: ['MailIngestRetentionStale'],
  },
]

export const BOARDS: Readonly<Record<Board, { title: string; panels: readonly Panel[] }>> = {
  overview: { title: 'Overview', panels: OVERVIEW },
  pipeline: { title: 'Pipeline', panels: PIPELINE },
  'front-door': { title: 'Front door', panels: FRONT_DOOR },
  storage: { title: 'Storage and Kafka', panels: STORAGE },
  runtime: { title: 'Runtime', panels: RUNTIME },
}
