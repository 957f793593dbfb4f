// Debian packages in a folder of their own under .cache: there, fetchable, or the reason why not.

import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const CACHE = join(import.meta.dirname, '../../.cache')
const UNPACK_MS_MAX = 600_000

export interface Unpacked {
  /** The packages' root: `usr/sbin` and the like are in it. */
  folder: string
  /** Why there can be none on this machine, or undefined. */
  unavailable: () => string | undefined
  /** Fetches what is missing; does nothing otherwise. Throws with the reason. */
  install: () => Promise<void>
}

/** Packages by name; whoever runs them has to be root where `rootRuns` says so. */
export function unpacked(name: string, packages: readonly string[], { rootRuns }: { rootRuns: boolean }): Unpacked {
  const folder = join(CACHE, name)
  const unavailable = () => {
    const isRoot = process.getuid?.() === 0
    if (rootRuns && !isRoot) return `${name} is started by root only`
    if (existsSync(folder)) return undefined
    if (spawnSync('sh', ['-c', 'command -v apt-get']).status !== 0) return `no ${name}, and no apt-get to fetch it`
    return isRoot ? undefined : `no ${name}; as root: make test-engines`
  }
  return {
    folder,
    unavailable,
    install: async () => {
      const reason = unavailable()
      if (reason !== undefined) throw new Error(reason)
      if (existsSync(folder)) return
      await mkdir(CACHE, { recursive: true })
      const script = join(import.meta.dirname, 'apt-unpack.sh')
      await promisify(execFile)('sh', [script, folder, ...packages], { timeout: UNPACK_MS_MAX })
    },
  }
}
