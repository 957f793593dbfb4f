// Cases of moving.ts.

import type { Cases, Firing } from './case.ts'

const NODE = 'job="j",instance="a"'
const labels = { job: 'j', instance: 'a' }
const reach = (engine: string) => `mail_ingest_engine_up{${NODE},engine="${engine}"}`

/** An engine that is away for the last ten of fifteen minutes; then one that is away for three. */
const unreachable = (engine: string, others: readonly string[], description: string): Cases => {
  const well = Object.fromEntries(others.map((other) => [reach(other), '1x15']))
  const fires: Firing = {
    when: 'it does not answer for ten minutes, the others do',
    series: { [reach(engine)]: '1x5 0x10', ...well },
    at: '14m',
    labels,
    description,
  }
  return {
    fires,
    silent: [
      { when: 'a failover of three minutes', series: { [reach(engine)]: '1x5 0x3 1x10', ...well }, at: '9m' },
      { when: 'the others are away', series: { ...fires.series, [reach(engine)]: '1x15' }, at: '14m' },
    ],
  }
}

const operations = (op: string, result: string) =>
  `mail_ingest_objectstore_operations_total{op="${op}",result="${result}"}`
const put = (le: string) => `mail_ingest_objectstore_operation_duration_seconds_bucket{op="put",le="${le}"}`
const ERRORS = `mail_ingest_kafka_publish_errors_total{${NODE},type="ingest.received"}`
const ERRORS_ELSEWHERE = 'mail_ingest_kafka_publish_errors_total{job="j",instance="b",type="ingest.received"}'
const OLDEST = `mail_ingest_spool_oldest_message_timestamp_seconds{${NODE},state="deferred"}`
const OUTBOX = `mail_ingest_outbox_oldest_timestamp_seconds{${NODE},queue="events"}`
const REFUSED = `mail_ingest_outbox_refused{${NODE},queue="events"}`
const OF = 'group="indexer",topic="mail.ingest.v1"'
const lag = (instance: string) => `mail_ingest_consumer_lag_messages{instance="${instance}",${OF}}`
const BEHIND = `mail_ingest_consumer_oldest_event_timestamp_seconds{instance="a",${OF}}`
const done = (instance: string, result: string) =>
  `mail_ingest_consumer_events_total{instance="${instance}",${OF},result="${result}"}`
const group = { group: 'indexer', topic: 'mail.ingest.v1' }
const LETTERS = 'mail_ingest_dead_letters_total{group="projector",reason="malformed"}'

export const MOVING_CASES: Readonly<Record<string, Cases>> = {
  MailIngestObjectStoreUnreachable: unreachable(
    'object_store',
    ['event_log', 'store'],
    'j at a has not reached it for 5 minutes. Mail stays in the spools.',
  ),
  MailIngestObjectStoreErrors: {
    fires: {
      when: 'one put of ten fails',
      series: { [operations('put', 'ok')]: '0+90x30', [operations('put', 'server')]: '0+10x30' },
      at: '20m',
      labels: { op: 'put' },
      description: '10% of put fails; each is tried again.',
    },
    silent: [
      {
        when: 'one put of a hundred fails',
        series: { [operations('put', 'ok')]: '0+99x30', [operations('put', 'timeout')]: '0+1x30' },
        at: '20m',
      },
      {
        when: 'nothing is done',
        series: { [operations('put', 'ok')]: '5x30', [operations('put', 'server')]: '5x30' },
        at: '20m',
      },
    ],
  },
  MailIngestObjectStoreSlow: {
    fires: {
      when: 'one put of twenty takes ten seconds',
      series: { [put('5')]: '0+95x40', [put('10')]: '0+100x40', [put('+Inf')]: '0+100x40' },
      at: '30m',
      description: 'The 99th percentile of a put is 9s.',
    },
    silent: [
      {
        when: 'one put of a thousand takes ten seconds',
        series: { [put('5')]: '0+999x40', [put('10')]: '0+1000x40', [put('+Inf')]: '0+1000x40' },
        at: '30m',
      },
    ],
  },
  MailIngestEventLogUnreachable: unreachable(
    'event_log',
    ['object_store', 'store'],
    'j at a has not reached it for 5 minutes. Mail stays in the spools.',
  ),
  MailIngestKafkaPublishErrors: {
    fires: {
      when: 'a single failure',
      series: { [ERRORS]: '0x5 1x10' },
      at: '7m',
      labels,
      description: 'j at a had 1 failures in 5 minutes; each is tried again.',
    },
    silent: [
      { when: 'six minutes after the last', series: { [ERRORS]: '0x5 1x20' }, at: '12m' },
      { when: 'none', series: { [ERRORS]: '0x20' }, at: '12m' },
    ],
  },
  MailIngestEventPublishFailing: {
    fires: {
      when: 'mail waits in the spool while appends fail',
      series: { [OLDEST]: '60x30', [ERRORS]: '0+2x30' },
      at: '20m',
      labels,
      description: 'The oldest at j a has waited for 19m 0s.',
    },
    silent: [
      {
        when: 'mail waits, and nothing fails here',
        series: { [OLDEST]: '60x30', [ERRORS]: '0x30', [ERRORS_ELSEWHERE]: '0+2x30' },
        at: '20m',
      },
      {
        when: 'appends fail now and then, and nothing waits',
        series: { [OLDEST]: '0x30', [OUTBOX]: '0x30', [ERRORS]: '0+2x30' },
        at: '20m',
      },
    ],
  },
  MailIngestOutboxRefused: {
    fires: {
      when: 'three events are set aside',
      series: { [REFUSED]: '3x20' },
      at: '10m',
      labels: { queue: 'events' },
      description: '3 events are in the table outbox with the reason.',
    },
    silent: [{ when: 'none is', series: { [REFUSED]: '0x20' }, at: '10m' }],
  },
  MailIngestDatabaseUnreachable: unreachable(
    'store',
    ['object_store', 'event_log'],
    'j at a has not reached it for 5 minutes. Mail is taken, and appears nowhere.',
  ),
  MailIngestConsumerLagGrowing: {
    fires: {
      when: '500 events wait, the oldest since the beginning; two indexers say so',
      series: { [lag('a')]: '500x40', [lag('b')]: '500x40', [BEHIND]: '60x40' },
      at: '30m',
      labels: group,
      description: 'The group indexer has 500 events of mail.ingest.v1 before it.',
    },
    silent: [
      { when: '50 events wait', series: { [lag('a')]: '50x40', [BEHIND]: '60x40' }, at: '30m' },
      {
        when: 'many events wait, each for a minute',
        series: { [lag('a')]: '5000x40', [BEHIND]: '0+60x40' },
        at: '30m',
      },
      { when: 'nothing waits', series: { [lag('a')]: '0x40', [BEHIND]: '0x40' }, at: '30m' },
    ],
  },
  MailIngestConsumerStuck: {
    fires: {
      when: 'events wait and only tries are counted',
      series: { [lag('a')]: '5x60', [done('a', 'ok')]: '10x60', [done('a', 'retry')]: '0+1x60' },
      at: '30m',
      labels: group,
      description: 'The group indexer has done nothing of mail.ingest.v1 for 15 minutes; 5 events wait.',
    },
    silent: [
      {
        when: 'another indexer gets them done',
        series: { [lag('a')]: '5x60', [done('a', 'ok')]: '10x60', [lag('b')]: '5x60', [done('b', 'ok')]: '0+1x60' },
        at: '30m',
      },
      {
        when: 'nothing comes and nothing waits',
        series: { [lag('a')]: '0x60', [done('a', 'ok')]: '10x60' },
        at: '30m',
      },
      {
        when: 'the first event after a quiet night',
        series: { [lag('a')]: '0x28 1x2 0x30', [done('a', 'ok')]: '10x30 11x30' },
        at: '30m',
      },
    ],
  },
  MailIngestDeadLetters: {
    fires: {
      when: 'one record',
      series: { [LETTERS]: '0x5 1x30' },
      at: '10m',
      labels: { group: 'projector' },
      description: 'The group projector kept 1 records as dead letters in 15 minutes.',
    },
    silent: [{ when: 'twenty minutes after it', series: { [LETTERS]: '0x5 1x30' }, at: '25m' }],
  },
}
