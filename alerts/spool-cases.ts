// Cases of spool.ts.

import type { Cases } from './case.ts'

const NODE = 'job="j",instance="a"'
const labels = { job: 'j', instance: 'a' }
const oldest = (state: string) => `mail_ingest_spool_oldest_message_timestamp_seconds{${NODE},state="${state}"}`
const FREE = `mail_ingest_spool_free_bytes{${NODE}}`
const CAPACITY = `mail_ingest_spool_capacity_bytes{${NODE}}`
const RECOVERED = `mail_ingest_spool_recovered_total{${NODE},outcome="corrupt"}`
const PARTIAL = `mail_ingest_spool_recovered_total{${NODE},outcome="partial"}`
const START = `mail_ingest_process_start_time_seconds{${NODE}}`
const DAMAGE = `mail_ingest_spool_damage_total{${NODE}}`
const ASIDE = `mail_ingest_spool_messages{${NODE},state="aside"}`
const DEFERRED = `mail_ingest_spool_messages{${NODE},state="deferred"}`
const POISONED = `mail_ingest_spool_poisoned{${NODE}}`
const fsync = (le: string) => `mail_ingest_spool_fsync_duration_seconds_bucket{${NODE},le="${le}"}`

export const SPOOL_CASES: Readonly<Record<string, Cases>> = {
  MailIngestSpoolOldestMessageAge: {
    fires: {
      when: 'one state is empty, and the oldest of another came at the beginning',
      series: { [oldest('pending')]: '0x40', [oldest('deferred')]: '60x40' },
      at: '30m',
      labels,
      description: 'The oldest mail at a has waited for 29m 0s.',
    },
    silent: [
      { when: 'nothing waits', series: { [oldest('pending')]: '0x40', [oldest('deferred')]: '0x40' }, at: '30m' },
      { when: 'each waits for ten minutes', series: { [oldest('pending')]: '60+60x40' }, at: '11m' },
    ],
  },
  MailIngestSpoolDiskFillsSoon: {
    fires: {
      when: '40 % free, and a fifth of the disk goes each hour',
      series: { [CAPACITY]: '100000000000x180', [FREE]: '80000000000-333000000x180' },
      at: '150m',
      labels,
      description: 'At the pace of the last hour a runs out of space; it then answers 452.',
    },
    silent: [
      {
        when: 'as fast, and 80 % free',
        series: { [CAPACITY]: '1000000000000x180', [FREE]: '900000000000-333000000x180' },
        at: '150m',
      },
      { when: '30 % free, and it stays so', series: { [CAPACITY]: '100x180', [FREE]: '30x180' }, at: '150m' },
    ],
  },
  MailIngestSpoolDiskLow: {
    fires: {
      when: '10 % free',
      series: { [CAPACITY]: '1000x30', [FREE]: '100x30' },
      at: '20m',
      labels,
      description: 'a has 10% free. Below SPOOL_FREE_MIN mail gets 452.',
    },
    silent: [
      { when: '20 % free', series: { [CAPACITY]: '1000x30', [FREE]: '200x30' }, at: '20m' },
      { when: 'for five minutes', series: { [CAPACITY]: '1000x30', [FREE]: '500x5 100x5 500x20' }, at: '12m' },
    ],
  },
  MailIngestSpoolCorrupt: {
    fires: {
      when: 'recovery finds it before the first scrape',
      series: { [RECOVERED]: '2x30', [START]: '0x30', [DAMAGE]: '0x30' },
      at: '1m',
      labels: { ...labels, outcome: 'corrupt' },
      description: 'a found 2 damaged places. Their bytes are kept in aside/.',
    },
    silent: [
      {
        when: 'a torn tail after a crash',
        series: { [PARTIAL]: '1x30', [RECOVERED]: '0x30', [START]: '0x30' },
        at: '1m',
      },
      { when: 'an hour after the start', series: { [RECOVERED]: '1x90', [START]: '0x90' }, at: '61m' },
      { when: 'what the reader found is hours old', series: { [DAMAGE]: '3x200', [START]: '0x200' }, at: '180m' },
    ],
  },
  MailIngestSpoolAside: {
    fires: {
      when: 'one is set aside',
      series: { [ASIDE]: '1x20', [DEFERRED]: '0x20' },
      at: '10m',
      labels: { ...labels, state: 'aside' },
      description: '1 mails are set aside at a. That disk is their only place.',
    },
    silent: [{ when: 'many are deferred', series: { [ASIDE]: '0x20', [DEFERRED]: '500x20' }, at: '10m' }],
  },
  MailIngestSpoolPoisoned: {
    fires: {
      when: 'an fsync failed',
      series: { [POISONED]: '0x5 1x5' },
      at: '6m',
      labels,
      description: 'a met an error of write or fsync and answers 451.',
    },
    silent: [{ when: 'all is well', series: { [POISONED]: '0x10' }, at: '6m' }],
  },
  MailIngestFsyncSlow: {
    fires: {
      when: 'one of twenty takes a second',
      series: { [fsync('0.25')]: '0+95x40', [fsync('1')]: '0+100x40', [fsync('+Inf')]: '0+100x40' },
      at: '30m',
      labels,
      description: 'The 99th percentile of fsync at a is 850ms.',
    },
    silent: [
      {
        when: 'one of a thousand takes a second',
        series: { [fsync('0.25')]: '0+999x40', [fsync('1')]: '0+1000x40', [fsync('+Inf')]: '0+1000x40' },
        at: '30m',
      },
      { when: 'nothing is written', series: { [fsync('0.25')]: '5x40', [fsync('+Inf')]: '9x40' }, at: '30m' },
    ],
  },
}
