// Where `make alerts-real` makes its faults: copies of the product that run side by side, each under a Prometheus of its own, with what
// fails there in turn.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { alertsYaml, rulesYaml, type Alert } from '../alerts/alerts.ts'
import { longestOf, msOf } from '../alerts/durations.ts'
import * as alarms from '../test/alarms.ts'
import { startEngines } from '../test/engines/engines.ts'
import { ingestctl } from '../test/system.ts'
import { startWatched, type Watched, type WatchedOptions } from '../test/watched.ts'
import * as more from './alarms.ts'

/** Divides the durations of alerts of minutes, hours or days. */
export const FACTORS = { minutes: 1, hours: 60, days: 720 } as const
export type Scale = keyof typeof FACTORS

const MINUTES_MAX_MS = msOf('5m')
const HOURS_MAX_MS = msOf('6h')

/** By the longest duration that it has. */
export function scaleOf(alert: Alert): Scale {
  const longest = longestOf(alert)
  return longest <= MINUTES_MAX_MS ? 'minutes' : longest <= HOURS_MAX_MS ? 'hours' : 'days'
}

export interface Site {
  name: string
  scale: Scale
  /** One after the other. */
  phases: readonly (readonly alarms.Fault[])[]
  /** All along. */
  beside: readonly alarms.Fault[]
  watched: Watched
  stop(): Promise<void>
}

type Plan = Pick<Site, 'phases'> & Partial<Pick<Site, 'beside'>>

/** `factor` takes the place of the scale's own, to try it out. */
async function start(
  { name, scale, factor = FACTORS[scale] }: { name: string; scale: Scale; factor?: number | undefined },
  plan: Plan,
  options: Omit<WatchedOptions, 'rules'>,
): Promise<Site> {
  const rules = [rulesYaml(factor), alertsYaml(factor, (alert) => scaleOf(alert) === scale)]
  const watched = await startWatched({ ...options, rules })
  return { name, scale, beside: [], ...plan, watched, stop: () => watched.stop() }
}

function below(folder: string, name: string): string {
  const dataDir = join(folder, name)
  mkdirSync(dataDir)
  return dataDir
}

/** `of` starts a site in a folder. */
export const SITES: Readonly<Record<string, (folder: string, factor?: number) => Promise<Site>>> = {
  async engines(folder, factor) {
    const engines = await startEngines()
    try {
      const { rgw, settings } = engines
      const road = await more.roadTo(Number(new URL(rgw.endpoint).port))
      const own = settings['OBJECT_STORE_URL']?.replace(rgw.endpoint, `http://127.0.0.1:${road.port}`) ?? ''
      const whole = await more.startAllInOne(below(folder, 'all-in-one'))
      const dataDir = below(folder, 'engines')
      await ingestctl(dataDir, ['db', 'migrate'], settings)
      const trio = [more.roadClosed(road), more.postgresFrozen(engines), more.kafkaFrozen(engines)]
      const site = await start(
        { name: 'engines', scale: 'minutes', factor },
        { phases: [[more.diskError(whole)], trio] },
        {
          dataDir,
          everyMs: everyMsOf(factor),
          mailEveryMs: 500,
          settings,
          own: { indexerd: { OBJECT_STORE_URL: own } },
          targets: { 'mail-ingest': [whole.target] },
        },
      )
      const stop = async () => {
        await site.stop()
        await whole.system.stop('SIGKILL')
        await road.close()
        await engines.stop()
      }
      return { ...site, stop }
    } catch (error) {
      await engines.stop()
      throw error
    }
  },

  minutes: (folder, factor) =>
    start(
      { name: 'minutes', scale: 'minutes', factor },
      {
        phases: [
          [
            more.bodyCut,
            alarms.outboxRefused,
            alarms.clamdKilled,
            more.eventLogLockedShortly,
            alarms.killed('smtpd', ['MailIngestSmtpdDown', 'MailIngestInstanceDown', 'MailIngestProbeFailing']),
          ],
          [
            alarms.killed('uploaderd', ['MailIngestUploaderdDown']),
            alarms.killed('indexerd', ['MailIngestIndexerdDown']),
          ],
        ],
      },
      {
        dataDir: below(folder, 'minutes'),
        everyMs: everyMsOf(factor),
        mailEveryMs: 500,
      },
    ),

  hours: (folder, factor) =>
    start(
      { name: 'hours', scale: 'hours', factor },
      {
        phases: [
          [
            more.rowLost,
            alarms.deadLetter,
            more.bitFlipped,
            more.badPair,
            more.directoryOlder,
            more.stutters('probed'),
          ],
          [{ ...alarms.diskFills, fires: alarms.diskFills.fires.filter((name) => name !== 'MailIngestProbeFailing') }],
          [alarms.objectsGone],
          [more.storeLockedLong],
          [more.slowSpool, more.slowObjects],
        ],
      },
      {
        dataDir: below(folder, 'hours'),
        everyMs: 1000,
        mailEveryMs: 200,
        settings: { UPLOAD_CONCURRENCY: '8' },
        spoils: { smtpd: '/spool/', uploaderd: '/objects/.tmp/' },
      },
    ),

  days: (folder, factor) =>
    start(
      { name: 'days', scale: 'days', factor },
      {
        beside: [more.noUpkeep, alarms.certificateEnds(0.25)],
        phases: [
          [more.infectedMail],
          [{ ...alarms.diskFills, fires: ['MailIngestAcceptBudgetBurnSlow'], may: ['MailIngestNoMail'] }],
          [more.mailLate],
          [more.noSender],
        ],
      },
      { dataDir: below(folder, 'days'), everyMs: 1000, mailEveryMs: 200, past: pastOf(Date.now()) },
    ),
}

const everyMsOf = (factor = 1): number => (factor === 1 ? 5000 : 1000)

const PAST_S = 1800
/** Prometheus closes its blocks before it begins. */
const GAP_S = 10

/** A mail a second for half an hour, and none of it in quarantine: what the alerts compare with. */
function pastOf(nowMs: number): string {
  const from = Math.floor(nowMs / 1000) - PAST_S
  const stamps = Array.from({ length: PAST_S - GAP_S }, (_, at) => at)
  const lines = [
    '# TYPE mail_ingest_smtp_transactions counter',
    ...stamps.map((at) => `mail_ingest_smtp_transactions_total{result="accepted",site="past"} ${at} ${from + at}`),
    '# TYPE mail_ingest_quarantined counter',
    ...stamps.map((at) => `mail_ingest_quarantined_total{reason="malware",site="past"} 0 ${from + at}`),
    '# EOF',
  ]
  return `${lines.join('\n')}\n`
}
