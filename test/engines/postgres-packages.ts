// Debian's PostgreSQL: there, installable, or the reason why not.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { aptInstall } from './apt.ts'

const ROOT = '/usr/lib/postgresql'
const PROGRAMS = ['postgres', 'initdb', 'psql', 'pg_isready', 'pg_dump', 'pg_restore']

/** Whom the server runs as when this process is root. */
export interface ServerUser {
  uid: number
  gid: number
}

/** The newest version's programs by name. */
export function programs(): Record<string, string> {
  const versions = existsSync(ROOT) ? readdirSync(ROOT).sort((a, b) => Number(b) - Number(a)) : []
  const bin = versions.map((version) => join(ROOT, version, 'bin')).find((each) => existsSync(join(each, 'postgres')))
  return Object.fromEntries(bin === undefined ? [] : PROGRAMS.map((name) => [name, join(bin, name)]))
}

const isThere = () => programs()['postgres'] !== undefined
const isRoot = () => process.getuid?.() === 0

/** Why there can be no server on this machine, or undefined. */
export function postgresUnavailable(): string | undefined {
  if (isThere()) return undefined
  if (spawnSync('sh', ['-c', 'command -v apt-get']).status !== 0) return `no ${ROOT}, and no apt-get to install it`
  return isRoot() ? undefined : `no ${ROOT}; as root: apt-get install postgresql`
}

/** Installs what is missing, without a cluster of its own; does nothing otherwise. Throws with the reason. */
export async function installPostgres(): Promise<void> {
  const reason = postgresUnavailable()
  if (reason !== undefined) throw new Error(reason)
  if (isThere()) return
  // Debian's package would make and start a cluster on the standard port.
  const config = '/etc/postgresql-common/createcluster.conf'
  mkdirSync('/etc/postgresql-common', { recursive: true })
  if (!existsSync(config)) writeFileSync(config, 'create_main_cluster = false\n')
  await aptInstall(['postgresql', 'openssl'])
}

/** Debian's `postgres`; undefined where this process is not root and runs the server itself. */
export function serverUser(): ServerUser | undefined {
  if (!isRoot()) return undefined
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}
