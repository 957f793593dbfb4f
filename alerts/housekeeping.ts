// Around the flow: quarantine, the scanner, certificates, the directory, the process itself.

import type { Alert } from './alert.ts'

export const HOUSEKEEPING: readonly Alert[] = [
  {
    name: 'MailIngestQuarantineSpike',
    expr: `(
  sum(rate(mail_ingest_quarantined_total[30m]))
  / sum(rate(mail_ingest_consumer_events_total{group="indexer",result="ok"}[30m])) > 0.3
)
and
sum(rate(mail_ingest_quarantined_total[30m])) > 4 * sum(rate(mail_ingest_quarantined_total[30m] offset 1d))`,
    for: '30m',
    severity: 'warning',
    board: 'pipeline',
    summary: 'Much more mail is set aside in quarantine than at this time yesterday.',
    description: '{{ $value | humanizePercentage }} of mail goes into quarantine.',
  },
  {
    name: 'MailIngestScannerDown',
    expr: `max by (job, instance) (mail_ingest_scanner_up) == 0
or
sum by (job, instance) (rate(mail_ingest_scanner_requests_total{result=~"unreachable|timeout|failed"}[5m]))
/ sum by (job, instance) (rate(mail_ingest_scanner_requests_total[5m])) > 0.5`,
    for: '5m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'The malware scanner does not answer, or most scans fail.',
    description:
      'Seen by {{ $labels.job }} at {{ $labels.instance }}. Mail waits, or passes unscanned: SCANNER_DOWN says which.',
  },
  {
    name: 'MailIngestTlsCertExpiry',
    expr: '(mail_ingest_tls_certificate_expiry_timestamp_seconds > 0) - time() < {14d}',
    for: '1h',
    severity: 'warning',
    board: 'front-door',
    summary: 'A certificate of the front door ends within 14 days.',
    description: '{{ $labels.instance }}: the first of its certificates ends in {{ $value | humanizeDuration }}.',
  },
  {
    name: 'MailIngestTlsReloadFailing',
    expr: 'mail_ingest_tls_reload_failing == 1',
    for: '15m',
    severity: 'warning',
    board: 'front-door',
    summary: 'The certificate files hold something that is not used.',
    description: '{{ $labels.instance }} goes on with the last good certificate, until that ends.',
  },
  {
    name: 'MailIngestDirectoryStale',
    expr: 'max by (job, instance, problem) (mail_ingest_directory_refresh_problem) == 1',
    for: '15m',
    severity: 'warning',
    board: 'front-door',
    summary: 'A node does not learn of new tenants, domains and mailboxes.',
    description: 'The directory snapshot at {{ $labels.instance }} is not refreshed: {{ $labels.problem }}.',
  },
  {
    name: 'MailIngestEventLoopLag',
    expr: 'max by (job, instance) (mail_ingest_nodejs_eventloop_lag_p99_seconds) > 0.25',
    for: '10m',
    severity: 'warning',
    board: 'runtime',
    summary: 'A process is too busy to answer at once.',
    description:
      '{{ $labels.job }} at {{ $labels.instance }} is late by {{ $value | humanizeDuration }} (99th percentile).',
  },
  {
    name: 'MailIngestRetentionStale',
    expr: 'time() - max by (kind) (mail_ingest_retention_last_success_timestamp_seconds > 0) > {2d}',
    for: '1h',
    severity: 'warning',
    board: 'runtime',
    summary: 'Old data has not been dropped for two days.',
    description: 'The last time for {{ $labels.kind }} was {{ $value | humanizeDuration }} ago.',
  },
]
