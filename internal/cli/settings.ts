// config explain, check: what the settings are and where each comes from.

import { SETTINGS, settingText, type Setting } from '../config/config.ts'
import { CliError } from './exit.ts'
import type { Column } from './output.ts'
import { nearest, type Call } from './tree.ts'

interface Explained {
  key: string
  value: string
  source: 'environment' | 'default'
  default: string
  unit: string
  meaning: string
}

const COLUMNS: readonly Column<Explained>[] = [
  { head: 'SETTING', of: (row) => row.key },
  { head: 'SOURCE', of: (row) => row.source, paint: (row) => (row.source === 'default' ? 'grey' : 'bold') },
  { head: 'VALUE', of: (row) => row.value },
]

const settings: readonly Setting<unknown>[] = Object.values(SETTINGS)

function explained(setting: Setting<unknown>, call: Call): Explained {
  const { text, origin } = settingText(setting.env, call.context.environment)
  const { fallback } = setting
  return {
    key: setting.env,
    // A password is shown by being there, and by nothing else.
    value: setting.secret && origin === 'environment' ? '(set, not shown)' : text,
    source: origin,
    default: typeof fallback === 'string' ? fallback : fallback((env) => env),
    unit: setting.unit,
    meaning: setting.meaning,
  }
}

export async function explain(call: Call): Promise<void> {
  const [key] = call.args
  if (key === undefined)
    return await call.output.rows(
      settings.map((each) => explained(each, call)),
      COLUMNS,
    )
  const setting = settings.find((each) => each.env === key.toUpperCase())
  if (setting === undefined) {
    const near = nearest(
      key.toUpperCase(),
      settings.map((each) => each.env),
    )
    throw new CliError('missing', `no setting ${key}${near === undefined ? '' : ` (did you mean ${near}?)`}`)
  }
  const row = explained(setting, call)
  await call.output.facts(row, [
    ['setting', row.key],
    ['value', row.value],
    ['source', row.source],
    ['default', row.default],
    ['unit', row.unit === '' ? undefined : row.unit],
    ['meaning', row.meaning],
  ])
}

/** Reads all settings; every problem is reported at once (ConfigError, exit 2). */
export async function check(call: Call): Promise<void> {
  call.context.config()
  const given = settings.map((each) => explained(each, call)).filter((each) => each.source === 'environment')
  await call.output.facts({ ok: true, settings: settings.length, fromEnvironment: given.map((each) => each.key) }, [
    ['settings', `all ${settings.length} are well formed`],
    ['from the environment', given.map((each) => each.key).join(', ') || 'none'],
  ])
}
