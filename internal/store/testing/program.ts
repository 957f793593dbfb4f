// A program of its own that opens a store and closes it.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Resolves when it is done; `open` is the function of the adapter, `options` what it gets. */
export async function openElsewhere(adapter: `${string}.ts`, open: string, options: object): Promise<void> {
  const file = join(import.meta.dirname, '..', adapter)
  const program = `import('${file}').then(({ ${open} }) => ${open}(${JSON.stringify(options)})).then((store) => store.close())`
  await promisify(execFile)(process.execPath, ['-e', program])
}
