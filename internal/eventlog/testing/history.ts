// schemas/ as it was committed: what the present state must be able to follow.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SchemaFolder } from '../compatibility.ts'

const FOLDER = 'schemas'

/** Each as arguments of `git` that print commits; what is not there is left out. */
const BASES: Readonly<Record<string, readonly string[]>> = {
  'the last commit, for what is not committed yet': ['rev-parse', '--verify', '--quiet', 'HEAD'],
  'the commits before it': ['rev-parse', 'HEAD^@'],
  'the main branch, where this one left it': ['merge-base', 'HEAD', 'main'],
  'the main branch of the origin': ['merge-base', 'HEAD', 'origin/main'],
  'the last release': ['rev-list', '--tags=v*', '--no-walk', '--max-count=1'],
}

function git(root: string, args: readonly string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
}

/** Commits that the present state is compared with, newest reason first, each once; none without a repository. */
export function basesOf(root: string): string[] {
  const found = Object.values(BASES).flatMap((args) => {
    try {
      return git(root, args).split('\n')
    } catch {
      return []
    }
  })
  return [...new Set(found)].filter((commit) => commit !== '')
}

/** Why a comparison with the commit before is not possible; undefined if it is. */
export function historyMissing(root: string): string | undefined {
  const count = basesOf(root).length
  if (count === 0) return 'no git repository'
  const shallow = git(root, ['rev-parse', '--is-shallow-repository']).trim() === 'true'
  return count === 1 && shallow ? 'a clone without history; git fetch --deepen=1 brings the commit before' : undefined
}

/** The folder as of a commit. */
export function folderAt(root: string, commit: string): SchemaFolder {
  const paths = git(root, ['ls-tree', '-r', '--name-only', commit, '--', FOLDER]).split('\n').filter(isSchema)
  return new Map(paths.map((path) => [path, git(root, ['show', `${commit}:${path}`])]))
}

/** The folder as it is. */
export function folderNow(root: string): SchemaFolder {
  const paths = readdirSync(join(root, FOLDER), { recursive: true, encoding: 'utf8' }).filter(isSchema)
  return new Map(paths.map((path) => [join(FOLDER, path), readFileSync(join(root, FOLDER, path), 'utf8')]))
}

const isSchema = (path: string) => path.endsWith('.json')
