// Cases of symptoms.ts.

import type { Cases } from './case.ts'

const transactions = (result: string, reason: string) =>
  `mail_ingest_smtp_transactions_total{result="${result}",reason="${reason}"}`
const ACCEPTED = transactions('accepted', 'none')
const FULL = transactions('tempfail', 'spool_full')
const GREYLISTED = transactions('tempfail', 'greylist')
const REJECTED = transactions('reject', 'unknown_rcpt')
const IN_TIME = 'mail_ingest_end_to_end_seconds_bucket{le="60"}'
const INDEXED = 'mail_ingest_end_to_end_seconds_count'

const PROBE = 'mail_ingest_probe_last_success_timestamp_seconds{instance="a"}'
const residue = (instance: string) => `mail_ingest_conservation_residue{instance="${instance}"}`
const up = (job: string, instance: string) => `up{job="${job}",instance="${instance}"}`

export const SYMPTOM_CASES: Readonly<Record<string, Cases>> = {
  MailIngestAcceptBudgetBurnFast: {
    fires: {
      when: 'one mail of eleven is deferred for want of space',
      series: { [ACCEPTED]: '0+600x90', [FULL]: '0+60x90' },
      at: '80m',
      description: '9.091% of mail is deferred. Senders keep it and try again.',
    },
    silent: [
      {
        when: 'greylisting and unknown recipients alone',
        series: { [ACCEPTED]: '0+600x90', [FULL]: '0x90', [GREYLISTED]: '0+1800x90', [REJECTED]: '0+1800x90' },
        at: '80m',
      },
      {
        when: 'a burst that was over half an hour ago',
        series: { [ACCEPTED]: '0+600x120', [FULL]: '0+60x30 1800x90' },
        at: '100m',
      },
      { when: 'no mail at all', series: { [ACCEPTED]: '0x90', [FULL]: '0x90' }, at: '80m' },
    ],
  },
  MailIngestAcceptBudgetBurnSlow: {
    fires: {
      when: 'one mail of a thousand, for days',
      series: { [ACCEPTED]: '0+9990x450', [FULL]: '0+10x450' },
      every: '10m',
      at: '74h',
      description: '0.1% of mail was deferred over 3 days.',
    },
    silent: [
      {
        when: 'one mail of ten thousand, for days',
        series: { [ACCEPTED]: '0+9999x450', [FULL]: '0+1x450' },
        every: '10m',
        at: '74h',
      },
    ],
  },
  MailIngestIndexBudgetBurnFast: {
    fires: {
      when: 'every second mail is late',
      series: { [IN_TIME]: '0+300x90', [INDEXED]: '0+600x90' },
      at: '80m',
      description: '50% of mail is late. It is safe, and nobody sees it yet.',
    },
    silent: [
      { when: 'one mail of a hundred is late', series: { [IN_TIME]: '0+594x90', [INDEXED]: '0+600x90' }, at: '80m' },
      { when: 'no mail', series: { [IN_TIME]: '5x90', [INDEXED]: '10x90' }, at: '80m' },
    ],
  },
  MailIngestIndexBudgetBurnSlow: {
    fires: {
      when: 'one mail of fifty, for days',
      series: { [IN_TIME]: '0+980x450', [INDEXED]: '0+1000x450' },
      every: '10m',
      at: '74h',
      description: '2% of mail was late over 3 days.',
    },
    silent: [
      {
        when: 'one mail of two hundred, for days',
        series: { [IN_TIME]: '0+995x450', [INDEXED]: '0+1000x450' },
        every: '10m',
        at: '74h',
      },
    ],
  },
  MailIngestSmtpdDown: {
    fires: {
      when: 'the only one is down',
      series: { [up('mail-ingest-smtpd', 'a')]: '1x5 0x10' },
      at: '10m',
      description:
        'Not one target of the jobs mail-ingest and mail-ingest-smtpd is up. Senders keep their mail for days.',
    },
    silent: [
      {
        when: 'one of two is down',
        series: { [up('mail-ingest-smtpd', 'a')]: '0x15', [up('mail-ingest-smtpd', 'b')]: '1x15' },
        at: '10m',
      },
      { when: 'all stages are one process', series: { [up('mail-ingest', 'a')]: '1x15' }, at: '10m' },
      { when: 'a restart of a minute', series: { [up('mail-ingest-smtpd', 'a')]: '1x5 0 1x10' }, at: '7m' },
    ],
  },
  MailIngestUploaderdDown: {
    fires: {
      when: 'that of one node is down',
      series: { [up('mail-ingest-uploaderd', 'a')]: '1x5 0x10', [up('mail-ingest-uploaderd', 'b')]: '1x15' },
      at: '10m',
      labels: { job: 'mail-ingest-uploaderd', instance: 'a' },
      description: 'uploaderd at a is down. The node goes on taking mail until its disk is nearly full.',
    },
    silent: [{ when: 'a restart of a minute', series: { [up('mail-ingest-uploaderd', 'a')]: '1x5 0 1x10' }, at: '7m' }],
  },
  MailIngestIndexerdDown: {
    fires: {
      when: 'no target is up',
      series: { [up('mail-ingest-indexerd', 'a')]: '0x15', [up('mail-ingest-indexerd', 'b')]: '0x15' },
      at: '10m',
      description: 'Not one target of the jobs mail-ingest and mail-ingest-indexerd is up.',
    },
    silent: [
      {
        when: 'one of two is down',
        series: { [up('mail-ingest-indexerd', 'a')]: '0x15', [up('mail-ingest-indexerd', 'b')]: '1x15' },
        at: '10m',
      },
    ],
  },
  MailIngestInstanceDown: {
    fires: {
      when: 'one of two indexers is down',
      series: { [up('mail-ingest-indexerd', 'a')]: '0x15', [up('mail-ingest-indexerd', 'b')]: '1x15' },
      at: '10m',
      labels: { job: 'mail-ingest-indexerd', instance: 'a' },
      description: 'mail-ingest-indexerd at a has not been up for 5 minutes.',
    },
    silent: [
      { when: 'three minutes', series: { [up('mail-ingest-indexerd', 'a')]: '1x5 0x3 1x10' }, at: '9m' },
      { when: 'a target of another product', series: { [up('node', 'a')]: '0x15' }, at: '10m' },
    ],
  },
  MailIngestNoMail: {
    fires: {
      when: 'mail stopped an hour ago, and there was some a week ago',
      series: { [ACCEPTED]: '0+60x1008 60480x12' },
      every: '10m',
      at: '169h',
      description: 'Nothing was accepted. MX records, firewall or balancer may keep senders away.',
    },
    silent: [
      { when: 'there was none a week ago either', series: { [ACCEPTED]: '0x1050' }, every: '10m', at: '169h' },
      { when: 'mail goes on', series: { [ACCEPTED]: '0+60x1050' }, every: '10m', at: '169h' },
    ],
  },
  MailIngestProbeFailing: {
    fires: {
      when: 'the last success is ten minutes old',
      series: { [PROBE]: '0+60x5 300x20' },
      at: '15m',
      labels: { instance: 'a' },
      description: 'A mail that a sends each minute last came to the far end 10m 0s ago.',
    },
    silent: [
      { when: 'three minutes without one', series: { [PROBE]: '0+60x5 300x3 540+60x10' }, at: '9m' },
      { when: 'each minute', series: { [PROBE]: '0+60x20' }, at: '15m' },
    ],
  },
  MailIngestConservationResidue: {
    fires: {
      when: 'two mails have no row, for twenty minutes; two indexers say so',
      series: { [residue('a')]: '2x30', [residue('b')]: '2x30' },
      at: '20m',
      description: '2 mails that the indexer is past are not in the store.',
    },
    silent: [
      { when: 'for a moment', series: { [residue('a')]: '0x5 1x3 0x30' }, at: '8m' },
      { when: 'all are there', series: { [residue('a')]: '0x30' }, at: '20m' },
    ],
  },
}
