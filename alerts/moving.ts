// From the spool to the index: the object store, the event log, the database, and who reads.

import type { Alert } from './alert.ts'

const out = (engine: string) => `max by (job, instance) (mail_ingest_engine_up{engine="${engine}"}) == 0`

export const MOVING: readonly Alert[] = [
  {
    name: 'MailIngestObjectStoreUnreachable',
    expr: out('object_store'),
    for: '5m',
    severity: 'critical',
    board: 'storage',
    summary: 'The object store does not answer, or refuses.',
    description:
      '{{ $labels.job }} at {{ $labels.instance }} has not reached it for 5 minutes. Mail stays in the spools.',
  },
  {
    name: 'MailIngestObjectStoreErrors',
    expr: `sum by (op) (rate(mail_ingest_objectstore_operations_total{result!="ok"}[5m]))
/
sum by (op) (rate(mail_ingest_objectstore_operations_total[5m])) > 0.05`,
    for: '10m',
    severity: 'critical',
    board: 'storage',
    summary: 'More than 5 % of the operations on the object store fail.',
    description: '{{ $value | humanizePercentage }} of {{ $labels.op }} fails; each is tried again.',
  },
  {
    name: 'MailIngestObjectStoreSlow',
    expr: `histogram_quantile(
  0.99,
  sum by (le) (rate(mail_ingest_objectstore_operation_duration_seconds_bucket{op="put"}[10m]))
) > 5`,
    for: '15m',
    severity: 'warning',
    board: 'storage',
    summary: 'The object store takes more than 5 seconds for a put.',
    description: 'The 99th percentile of a put is {{ $value | humanizeDuration }}.',
  },
  {
    name: 'MailIngestEventLogUnreachable',
    expr: out('event_log'),
    for: '5m',
    severity: 'critical',
    board: 'storage',
    summary: 'The event log does not answer, or lacks a topic.',
    description:
      '{{ $labels.job }} at {{ $labels.instance }} has not reached it for 5 minutes. Mail stays in the spools.',
  },
  {
    name: 'MailIngestKafkaPublishErrors',
    expr: 'sum by (job, instance) (increase(mail_ingest_kafka_publish_errors_total[5m])) > 0',
    for: '0s',
    severity: 'warning',
    board: 'storage',
    summary: 'Events could not be published.',
    description:
      '{{ $labels.job }} at {{ $labels.instance }} had {{ $value | humanize }} failures in 5 minutes; each is tried again.',
  },
  {
    name: 'MailIngestEventPublishFailing',
    expr: `(
  time() - min by (job, instance) (mail_ingest_spool_oldest_message_timestamp_seconds > 0) > {5m}
  or
  time() - min by (job, instance) (mail_ingest_outbox_oldest_timestamp_seconds > 0) > {5m}
)
and on (job, instance)
sum by (job, instance) (increase(mail_ingest_kafka_publish_errors_total[5m])) > 0`,
    for: '5m',
    severity: 'critical',
    board: 'storage',
    summary: 'Events cannot be published, and what waits for that grows old.',
    description:
      'The oldest at {{ $labels.job }} {{ $labels.instance }} has waited for {{ $value | humanizeDuration }}.',
  },
  {
    name: 'MailIngestOutboxRefused',
    expr: 'max by (queue) (mail_ingest_outbox_refused) > 0',
    for: '5m',
    severity: 'warning',
    board: 'pipeline',
    summary: 'The event log never takes some events: they were set aside.',
    description: '{{ $value }} events are in the table outbox with the reason.',
  },
  {
    name: 'MailIngestDatabaseUnreachable',
    expr: out('store'),
    for: '5m',
    severity: 'critical',
    board: 'storage',
    summary: 'The database does not answer.',
    description:
      '{{ $labels.job }} at {{ $labels.instance }} has not reached it for 5 minutes. Mail is taken, and appears nowhere.',
  },
  {
    name: 'MailIngestConsumerLagGrowing',
    expr: `max by (group, topic) (mail_ingest_consumer_lag_messages) > 100
and
time() - min by (group, topic) (mail_ingest_consumer_oldest_event_timestamp_seconds > 0) > {10m}`,
    for: '10m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'A consumer group is more than 10 minutes and 100 events behind.',
    description: 'The group {{ $labels.group }} has {{ $value }} events of {{ $labels.topic }} before it.',
  },
  {
    name: 'MailIngestConsumerStuck',
    expr: `max by (group, topic) (mail_ingest_consumer_lag_messages) > 0
and
sum by (group, topic) (increase(mail_ingest_consumer_events_total{result!="retry"}[15m])) == 0`,
    for: '5m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'A consumer group has events before it and gets none done.',
    description:
      'The group {{ $labels.group }} has done nothing of {{ $labels.topic }} for 15 minutes; {{ $value }} events wait.',
  },
  {
    name: 'MailIngestDeadLetters',
    expr: 'sum by (group) (increase(mail_ingest_dead_letters_total[15m])) > 0',
    for: '0s',
    severity: 'warning',
    board: 'pipeline',
    summary: 'Records of the event log cannot be read.',
    description: 'The group {{ $labels.group }} kept {{ $value | humanize }} records as dead letters in 15 minutes.',
  },
]
