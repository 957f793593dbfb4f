// Debian packages that an engine needs.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const INSTALL_MS_MAX = 600_000

/** Installs the packages as root. Rejects with what apt said. */
export async function aptInstall(packages: readonly string[]): Promise<void> {
  const script = join(import.meta.dirname, 'apt-install.sh')
  await promisify(execFile)('sh', [script, ...packages], { timeout: INSTALL_MS_MAX })
}
