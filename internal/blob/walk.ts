// Walks a directory of objects in key order with bounded memory, however many names one directory has.

import { opendir } from 'node:fs/promises'
import { join } from 'node:path'

/** Names of one directory held at a time. A larger one is read again for each such slice. */
const NAMES_MAX = 10_000

/** Keys below `root` that start with `prefix`, in byte order of the whole key. `namesMax` is for tests. */
export async function* walk(root: string, prefix: string, namesMax = NAMES_MAX): AsyncIterable<string> {
  yield* below('')

  async function* below(parent: string): AsyncIterable<string> {
    const wanted = (name: string) => {
      const key = parent + name
      return key.startsWith(prefix) || (name.endsWith('/') && prefix.startsWith(key))
    }
    let after = ''
    for (;;) {
      const names = await nextNames(join(root, parent), (name) => name > after && wanted(name), namesMax)
      for (const name of names) {
        if (name.endsWith('/')) yield* below(parent + name)
        else yield parent + name
      }
      after = names.at(-1) ?? after
      if (names.length < namesMax) return
    }
  }
}

/** The first `max` of the wanted names, sorted. A directory's name ends in `/`, so that `a-b` sorts before `a/b` as in keys. */
async function nextNames(path: string, wanted: (name: string) => boolean, max: number): Promise<string[]> {
  let names: string[] = []
  const keepFirst = () => {
    names = names.sort().slice(0, max)
  }
  for await (const entry of await opened(path)) {
    const name = entry.isDirectory() ? `${entry.name}/` : entry.name
    if (entry.name.startsWith('.') || !wanted(name)) continue
    names.push(name)
    if (names.length >= 2 * max) keepFirst()
  }
  keepFirst()
  return names
}

/** A directory that is not there has no names: it was never made, or was removed since its parent was read. */
async function opened(path: string) {
  try {
    return await opendir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
