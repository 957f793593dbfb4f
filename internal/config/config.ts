// Package config reads every setting once, from one environment, and reports all problems together.

import { SETTINGS, type Config, type Setting, type SettingName } from './settings.ts'

export { SETTINGS, type Config, type Setting, type SettingName } from './settings.ts'
export { brokersOf, engineOf, enginePath } from './engine-url.ts'
export { type Listen, type ScannerPlace } from './parse.ts'
export { envExample, settingsMarkdown } from './reference.ts'
export { KEY_PART, s3Place, type S3Place } from './s3-place.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The process must not start; the message lists every problem, one a line. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(['bad configuration', ...problems.map((problem) => `  ${problem}`)].join('\n'))
    this.name = 'ConfigError'
  }
}

/** Where a value came from. */
export type Origin = 'environment' | 'default'

const byEnv = new Map(Object.values(SETTINGS).map((each: Setting<unknown>) => [each.env, each]))

/** The text of one setting and its origin. An empty variable counts as not set, as in env files. */
export function settingText(env: string, environment: Environment): { text: string; origin: Origin } {
  const setting = byEnv.get(env)
  if (setting === undefined) throw new TypeError(`no setting ${env}`)
  const given = environment[env]
  if (given !== undefined && given !== '') return { text: given, origin: 'environment' }
  const { fallback } = setting
  const text = typeof fallback === 'string' ? fallback : fallback((other) => settingText(other, environment).text)
  return { text, origin: 'default' }
}

/** Reads all settings. Throws one ConfigError that names every problem. */
export function loadConfig(environment: Environment): Config {
  const problems: string[] = []
  const values: Partial<Record<SettingName, unknown>> = {}
  for (const [name, setting] of Object.entries(SETTINGS) as [SettingName, Setting<unknown>][]) {
    const { text, origin } = settingText(setting.env, environment)
    try {
      values[name] = setting.parse(text)
    } catch (error) {
      // A default that derives from a bad setting would only repeat that setting's problem.
      if (origin === 'environment') problems.push(`${setting.env}: ${(error as TypeError).message}`)
    }
  }
  problems.push(...relations(values as Partial<Config>), ...tlsProblems(values as Partial<Config>))
  if (problems.length > 0) throw new ConfigError(problems)
  return values as Config
}

/** What settings must keep among each other: the first must not be `wrong` beside the second. */
const RELATIONS = [
  { one: 'spoolFreeResume', other: 'spoolFreeMin', wrong: (one: number, other: number) => one < other, not: 'below' },
  {
    one: 'kafkaMinInsyncReplicas',
    other: 'kafkaReplication',
    wrong: (one: number, other: number) => one > other,
    not: 'above',
  },
] as const

function relations(config: Partial<Config>): string[] {
  return RELATIONS.flatMap(({ one, other, wrong, not }) => {
    const [value, limit] = [config[one], config[other]]
    if (value === undefined || limit === undefined || !wrong(value, limit)) return []
    return [`${SETTINGS[one].env}: must not be ${not} ${SETTINGS[other].env} (${limit}), got "${value}"`]
  })
}

/** A listener that promises TLS needs what to show, and every certificate needs its key. */
function tlsProblems(config: Partial<Config>): string[] {
  const { smtpTlsCert, smtpTlsKey, smtpRequireTls, smtpTlsPort, smtpSubmissionPort } = config
  if (smtpTlsCert === undefined || smtpTlsKey === undefined) return []
  if (smtpTlsCert.length !== smtpTlsKey.length) {
    return [`SMTP_TLS_KEY: must name as many files as SMTP_TLS_CERT (${smtpTlsCert.length}), got ${smtpTlsKey.length}`]
  }
  if (smtpTlsCert.length > 0) return []
  const promised = {
    SMTP_REQUIRE_TLS: smtpRequireTls === true,
    SMTP_TLS_PORT: smtpTlsPort !== undefined,
    SMTP_SUBMISSION_PORT: smtpSubmissionPort !== undefined,
  }
  return Object.entries(promised)
    .filter(([, wants]) => wants)
    .map(([env]) => `${env}: needs SMTP_TLS_CERT and SMTP_TLS_KEY`)
}
