// Cases of housekeeping.ts.

import type { Cases } from './case.ts'

const NODE = 'job="j",instance="a"'
const labels = { job: 'j', instance: 'a' }
const QUARANTINED = 'mail_ingest_quarantined_total{reason="malware"}'
const INDEXED = 'mail_ingest_consumer_events_total{group="indexer",topic="mail.ingest.v1",result="ok"}'
const SCANNER_UP = `mail_ingest_scanner_up{${NODE}}`
const scans = (result: string) => `mail_ingest_scanner_requests_total{${NODE},scanner="clamd",result="${result}"}`
const EXPIRY = `mail_ingest_tls_certificate_expiry_timestamp_seconds{${NODE}}`
const RELOAD = `mail_ingest_tls_reload_failing{${NODE}}`
const refresh = (problem: string) => `mail_ingest_directory_refresh_problem{${NODE},problem="${problem}"}`
const LAG = `mail_ingest_nodejs_eventloop_lag_p99_seconds{${NODE}}`
const RETENTION = `mail_ingest_retention_last_success_timestamp_seconds{${NODE},kind="events"}`

export const HOUSEKEEPING_CASES: Readonly<Record<string, Cases>> = {
  MailIngestQuarantineSpike: {
    fires: {
      when: 'every second mail, after a day with none',
      series: { [INDEXED]: '0+500x160', [QUARANTINED]: '0x144 0+250x15' },
      every: '10m',
      at: '26h',
      description: '50% of mail goes into quarantine.',
    },
    silent: [
      {
        when: 'every second mail, today as yesterday',
        series: { [INDEXED]: '0+500x160', [QUARANTINED]: '0+250x160' },
        every: '10m',
        at: '26h',
      },
      {
        when: 'one mail of ten, after a day with none',
        series: { [INDEXED]: '0+500x160', [QUARANTINED]: '0x144 0+50x15' },
        every: '10m',
        at: '26h',
      },
    ],
  },
  MailIngestScannerDown: {
    fires: {
      when: 'it does not answer while nothing is to be scanned',
      series: { [SCANNER_UP]: '1x5 0x10', [scans('clean')]: '7x15', [scans('unreachable')]: '0x15' },
      at: '14m',
      labels,
      description: 'Seen by j at a. Mail waits, or passes unscanned: SCANNER_DOWN says which.',
    },
    silent: [
      { when: 'a restart of two minutes', series: { [SCANNER_UP]: '1x5 0x2 1x10' }, at: '7m' },
      {
        when: 'it answers, and one scan of ten fails',
        series: { [SCANNER_UP]: '1x15', [scans('clean')]: '0+90x15', [scans('timeout')]: '0+10x15' },
        at: '14m',
      },
      { when: 'there is no scanner', series: { [LAG]: '0x15' }, at: '14m' },
    ],
  },
  MailIngestTlsCertExpiry: {
    fires: {
      when: 'ten days are left',
      series: { [EXPIRY]: '864000x100' },
      at: '90m',
      labels,
      description: 'a: the first of its certificates ends in 9d 22h 30m 0s.',
    },
    silent: [
      { when: 'a month is left', series: { [EXPIRY]: '2592000x100' }, at: '90m' },
      { when: 'there is no certificate', series: { [EXPIRY]: '0x100' }, at: '90m' },
    ],
  },
  MailIngestTlsReloadFailing: {
    fires: {
      when: 'a bad file lies there for twenty minutes',
      series: { [RELOAD]: '1x30' },
      at: '20m',
      labels,
      description: 'a goes on with the last good certificate, until that ends.',
    },
    silent: [{ when: 'a file that is still being written', series: { [RELOAD]: '0x5 1x2 0x30' }, at: '7m' }],
  },
  MailIngestDirectoryStale: {
    fires: {
      when: 'the database refuses',
      series: { [refresh('failed')]: '1x30', [refresh('refused')]: '0x30' },
      at: '20m',
      labels: { ...labels, problem: 'failed' },
      description: 'The directory snapshot at a is not refreshed: failed.',
    },
    silent: [
      { when: 'all is well', series: { [refresh('failed')]: '0x30', [refresh('refused')]: '0x30' }, at: '20m' },
      { when: 'a failover of five minutes', series: { [refresh('failed')]: '0x5 1x5 0x30' }, at: '11m' },
    ],
  },
  MailIngestEventLoopLag: {
    fires: {
      when: 'it is late by 400 ms',
      series: { [LAG]: '0.4x20' },
      at: '15m',
      labels,
      description: 'j at a is late by 400ms (99th percentile).',
    },
    silent: [
      { when: 'a busy moment', series: { [LAG]: '0.02x5 0.9x3 0.02x20' }, at: '9m' },
      { when: 'it is late by 100 ms', series: { [LAG]: '0.1x20' }, at: '15m' },
    ],
  },
  MailIngestRetentionStale: {
    fires: {
      when: 'the last time was three days ago',
      series: { [RETENTION]: '3600x450' },
      every: '10m',
      at: '73h',
      labels: { kind: 'events' },
      description: 'The last time for events was 3d 0h 0m 0s ago.',
    },
    silent: [
      { when: 'all is kept for ever', series: { [RETENTION]: '0x450' }, every: '10m', at: '73h' },
      { when: 'each hour', series: { [RETENTION]: '0+600x450' }, every: '10m', at: '73h' },
    ],
  },
}
