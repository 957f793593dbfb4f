// A disk that is slow or fails, for one process: disk-shim.c, compiled and preloaded.

import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface DiskShim {
  /** With which the process is started. */
  env: Readonly<Record<string, string>>
  /** From now on an fsync takes so many microseconds more, or fails with the errno -`order`. */
  spoil(order: number): void
}

/** Works on the files that have `part` in their paths. `name` tells it apart from others in `dir`. Needs `cc`. */
export function diskShim(dir: string, name: string, part: string): DiskShim {
  const made = join(dir, 'disk-shim.so')
  const source = join(import.meta.dirname, 'disk-shim.c')
  if (!existsSync(made)) execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', made, source, '-ldl'])
  const order = join(dir, `${name}.disk`)
  return {
    env: { LD_PRELOAD: made, DISK_SHIM_PATH: part, DISK_SHIM_ORDER: order },
    spoil: (number) => writeFileSync(order, String(number)),
  }
}
