// The disk of a node: what was taken and has not gone on.

import type { Alert } from './alert.ts'

export const SPOOL: readonly Alert[] = [
  {
    name: 'MailIngestSpoolOldestMessageAge',
    expr: 'time() - min by (job, instance) (mail_ingest_spool_oldest_message_timestamp_seconds > 0) > {15m}',
    for: '5m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'Mail has waited in a spool for more than 15 minutes.',
    description: 'The oldest mail at {{ $labels.instance }} has waited for {{ $value | humanizeDuration }}.',
  },
  {
    name: 'MailIngestSpoolDiskFillsSoon',
    expr: `predict_linear(mail_ingest_spool_free_bytes[1h], {4h}) < 0
and
mail_ingest_spool_free_bytes / mail_ingest_spool_capacity_bytes < 0.5`,
    for: '15m',
    severity: 'critical',
    board: 'storage',
    summary: 'The disk of a spool will be full within 4 hours.',
    description: 'At the pace of the last hour {{ $labels.instance }} runs out of space; it then answers 452.',
  },
  {
    name: 'MailIngestSpoolDiskLow',
    expr: 'mail_ingest_spool_free_bytes / mail_ingest_spool_capacity_bytes < 0.15',
    for: '10m',
    severity: 'warning',
    board: 'storage',
    summary: 'The disk of a spool has less than 15 % free.',
    description:
      '{{ $labels.instance }} has {{ $value | humanizePercentage }} free. Below SPOOL_FREE_MIN mail gets 452.',
  },
  {
    name: 'MailIngestSpoolCorrupt',
    // What is found at the start is counted before the first scrape, and no increase is seen: the age of the process stands for it.
    expr: `increase(mail_ingest_spool_damage_total[1h]) > 0
or
(
  (mail_ingest_spool_damage_total > 0 or mail_ingest_spool_recovered_total{outcome="corrupt"} > 0)
  and on (job, instance) time() - mail_ingest_process_start_time_seconds < {1h}
)`,
    for: '0s',
    severity: 'critical',
    board: 'storage',
    summary: 'Bytes of a spool are not those that were written: mail that was acknowledged may be lost.',
    description: '{{ $labels.instance }} found {{ $value | humanize }} damaged places. Their bytes are kept in aside/.',
  },
  {
    name: 'MailIngestSpoolAside',
    expr: 'mail_ingest_spool_messages{state="aside"} > 0',
    for: '5m',
    severity: 'warning',
    board: 'pipeline',
    summary: 'Mail was set aside: it cannot go on, and a person must decide.',
    description: '{{ $value }} mails are set aside at {{ $labels.instance }}. That disk is their only place.',
  },
  {
    name: 'MailIngestSpoolPoisoned',
    expr: 'mail_ingest_spool_poisoned == 1',
    for: '0s',
    severity: 'critical',
    board: 'storage',
    summary: 'A disk error has closed a spool: no mail is taken until a restart.',
    description: '{{ $labels.instance }} met an error of write or fsync and answers 451.',
  },
  {
    name: 'MailIngestFsyncSlow',
    expr: `histogram_quantile(
  0.99,
  sum by (job, instance, le) (rate(mail_ingest_spool_fsync_duration_seconds_bucket[10m]))
) > 0.5`,
    for: '15m',
    severity: 'warning',
    board: 'storage',
    summary: 'The disk of a spool is slow: each mail waits for half a second or more.',
    description: 'The 99th percentile of fsync at {{ $labels.instance }} is {{ $value | humanizeDuration }}.',
  },
]
