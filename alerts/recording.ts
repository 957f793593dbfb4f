// The two promises that are measured, as error ratios over the windows of the burn-rate alerts (SRE Workbook, table 5-8).

/** What the ratios may be over 30 days. */
export const BUDGETS = {
  /** 99.95 % of mail is taken, unless the sender or a policy is the reason. */
  accept: 0.0005,
  /** 99 % of mail is in the index within 60 seconds. */
  index: 0.01,
} as const
export type Slo = keyof typeof BUDGETS

const WINDOWS = ['5m', '30m', '1h', '6h', '3d'] as const
export type Window = (typeof WINDOWS)[number]

/** The name of the recording rule of a promise and a window. */
export const ratioOf = (slo: Slo, window: Window): string => `mail_ingest:${slo}_errors:ratio_rate${window}`

const OURS = 'result="tempfail",reason=~"spool_full|spool_error|internal|overload"'

/** Mail that we deferred of all that we took or deferred. NaN, and no alert, without mail. */
const accept = (window: Window): string => `sum(rate(mail_ingest_smtp_transactions_total{${OURS}}[${window}]))
/
(
  sum(rate(mail_ingest_smtp_transactions_total{result="accepted"}[${window}]))
  + sum(rate(mail_ingest_smtp_transactions_total{${OURS}}[${window}]))
)`

const index = (window: Window): string => `1 - (
  sum(rate(mail_ingest_end_to_end_seconds_bucket{le="60"}[${window}]))
  / sum(rate(mail_ingest_end_to_end_seconds_count[${window}]))
)`

/** Their expressions are templates, see durations.ts. */
export const recordingRules = (): { record: string; expr: string }[] =>
  WINDOWS.flatMap((window) => [
    { record: ratioOf('accept', window), expr: accept(window) },
    { record: ratioOf('index', window), expr: index(window) },
  ])

/** Fast: the budget of 30 days would be gone in 2 days, or in 5. Slow: it is used up as fast as it may be, for 3 days. */
export function burning(slo: Slo, pace: 'fast' | 'slow'): string {
  const both = (long: Window, short: Window, times: number): string =>
    `(${ratioOf(slo, long)} > ${times} * ${BUDGETS[slo]} and ${ratioOf(slo, short)} > ${times} * ${BUDGETS[slo]})`
  return pace === 'fast' ? `${both('1h', '5m', 14.4)}\nor\n${both('6h', '30m', 6)}` : both('3d', '6h', 1)
}
