// Debian's Ceph packages: there, installable, or the reason why not.

import { spawnSync } from 'node:child_process'
import { aptInstall } from './apt.ts'

const PROGRAMS = ['radosgw', 'radosgw-admin', 'ceph-mon', 'ceph-osd', 'ceph', 'monmaptool', 'setpriv']
const PACKAGES = ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph-common', 'util-linux']

const onPath = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const missing = () => PROGRAMS.filter((program) => !onPath(program))

/** Why there can be no gateway on this machine, or undefined. */
export function rgwUnavailable(): string | undefined {
  const names = missing()
  if (names.length === 0) return undefined
  if (!onPath('apt-get')) return `${names.join(', ')} not found, and no apt-get to install them`
  if (process.getuid?.() === 0) return undefined
  return `${names.join(', ')} not found; as root: apt-get install ${PACKAGES.join(' ')}`
}

/** Installs what is missing; does nothing otherwise. Rejects with the reason. */
export async function installRgw(): Promise<void> {
  const reason = rgwUnavailable()
  if (reason !== undefined) throw new Error(reason)
  if (missing().length > 0) await aptInstall(PACKAGES)
}
