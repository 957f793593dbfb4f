// What users notice: mail that is not taken, mail that comes late, a stage that is not there.

import type { Alert } from './alert.ts'
import { burning } from './recording.ts'

export const SYMPTOMS: readonly Alert[] = [
  {
    name: 'MailIngestAcceptBudgetBurnFast',
    expr: burning('accept', 'fast'),
    for: '2m',
    severity: 'critical',
    board: 'overview',
    summary: 'Mail is deferred for reasons of ours, far faster than the promise of 99.95 % allows.',
    description: '{{ $value | humanizePercentage }} of mail is deferred. Senders keep it and try again.',
  },
  {
    name: 'MailIngestAcceptBudgetBurnSlow',
    expr: burning('accept', 'slow'),
    for: '1h',
    severity: 'warning',
    board: 'overview',
    summary: 'Mail is deferred for reasons of ours, and the budget of 30 days will not last.',
    description: '{{ $value | humanizePercentage }} of mail was deferred over 3 days.',
  },
  {
    name: 'MailIngestIndexBudgetBurnFast',
    expr: burning('index', 'fast'),
    for: '2m',
    severity: 'critical',
    board: 'overview',
    summary: 'Mail is in the index later than 60 seconds, far more often than the promise of 99 % allows.',
    description: '{{ $value | humanizePercentage }} of mail is late. It is safe, and nobody sees it yet.',
  },
  {
    name: 'MailIngestIndexBudgetBurnSlow',
    expr: burning('index', 'slow'),
    for: '1h',
    severity: 'warning',
    board: 'overview',
    summary: 'Mail is in the index later than 60 seconds, and the budget of 30 days will not last.',
    description: '{{ $value | humanizePercentage }} of mail was late over 3 days.',
  },
  {
    name: 'MailIngestSmtpdDown',
    expr: 'absent(up{job=~"mail-ingest(-smtpd)?"} == 1)',
    for: '2m',
    severity: 'critical',
    board: 'overview',
    summary: 'No smtpd can be scraped: no mail is taken, or nobody sees it.',
    description:
      'Not one target of the jobs mail-ingest and mail-ingest-smtpd is up. Senders keep their mail for days.',
  },
  {
    name: 'MailIngestUploaderdDown',
    expr: 'up{job=~"mail-ingest-uploaderd"} == 0',
    for: '2m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'An uploaderd cannot be scraped: mail that its node took stays on its disk.',
    description:
      'uploaderd at {{ $labels.instance }} is down. The node goes on taking mail until its disk is nearly full.',
  },
  {
    name: 'MailIngestIndexerdDown',
    expr: 'absent(up{job=~"mail-ingest(-indexerd)?"} == 1)',
    for: '2m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'No indexerd can be scraped: mail is taken and kept, and appears nowhere.',
    description: 'Not one target of the jobs mail-ingest and mail-ingest-indexerd is up.',
  },
  {
    name: 'MailIngestInstanceDown',
    expr: 'up{job=~"mail-ingest(-smtpd|-indexerd|-probed)?"} == 0',
    for: '5m',
    severity: 'warning',
    board: 'runtime',
    summary: 'One process cannot be scraped.',
    description: '{{ $labels.job }} at {{ $labels.instance }} has not been up for 5 minutes.',
  },
  {
    name: 'MailIngestNoMail',
    expr: `sum(rate(mail_ingest_smtp_transactions_total{result="accepted"}[30m])) == 0
and
sum(rate(mail_ingest_smtp_transactions_total{result="accepted"}[30m] offset 1w)) > 0.02`,
    for: '15m',
    severity: 'warning',
    board: 'front-door',
    summary: 'No mail for half an hour, although there was some at this time a week ago.',
    description: 'Nothing was accepted. MX records, firewall or balancer may keep senders away.',
  },
  {
    name: 'MailIngestProbeFailing',
    expr: 'time() - mail_ingest_probe_last_success_timestamp_seconds > {5m}',
    for: '1m',
    severity: 'critical',
    board: 'overview',
    summary: 'The canary has not come through a front door for 5 minutes.',
    description:
      'A mail that {{ $labels.instance }} sends each minute last came to the far end {{ $value | humanizeDuration }} ago.',
  },
  {
    name: 'MailIngestConservationResidue',
    expr: 'max(mail_ingest_conservation_residue) != 0',
    for: '15m',
    severity: 'critical',
    board: 'pipeline',
    summary: 'Mail that was announced in the event log has no row in the store.',
    description: '{{ $value }} mails that the indexer is past are not in the store.',
  },
]
