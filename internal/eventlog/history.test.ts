// The promise to consumers, kept from commit to commit: nothing that was published is taken away.

import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fromBinary, toBinary } from './codec.ts'
import { folderProblems } from './compatibility.ts'
import { EVENT_TYPES } from './events.ts'
import { basesOf, folderAt, folderNow, historyMissing } from './testing/history.ts'

const ROOT = join(import.meta.dirname, '../..')

describe('schemas/ follows', () => {
  test('the commit before is known', (context) => {
    const missing = historyMissing(ROOT)
    if (missing !== undefined) context.skip(missing)
    expect(basesOf(ROOT).length).toBeGreaterThan(0)
  })

  test.each(basesOf(ROOT))('what it was in %s', (commit) => {
    expect(folderProblems(folderAt(ROOT, commit), folderNow(ROOT))).toEqual([])
  })
})

describe('a change that breaks consumers is seen', () => {
  const SCHEMA = 'schemas/events/ingest.received/v1.json'
  const broken = (text: string) => text.replace('"maximum": 9', '"maximum": 8')
  const first = JSON.stringify({ type: 'object', properties: { a: { type: 'integer', maximum: 9 } } }, undefined, 1)
  const problems = (root: string) =>
    basesOf(root).map((commit) => folderProblems(folderAt(root, commit), folderNow(root)))
  const seen = [`${SCHEMA}: /a: maximum becomes 8`]

  /** A repository with one commit, of one schema. */
  function repository() {
    const root = mkdtempSync(join(tmpdir(), 'history-'))
    onTestFinished(() => rmSync(root, { recursive: true, force: true }))
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
        cwd: root,
        stdio: 'ignore',
      })
    cpSync(join(ROOT, 'schemas/events/ingest.received'), join(root, 'schemas/events/ingest.received'), {
      recursive: true,
    })
    const write = (text: string) => writeFileSync(join(root, SCHEMA), text)
    const commit = (...args: string[]) => {
      git('add', '-A')
      git('commit', '-m', 'x', ...args)
    }
    write(first)
    git('init', '-b', 'main')
    commit()
    return { root, git, write, commit }
  }

  test('before it is committed', () => {
    const { root, write } = repository()
    write(broken(first))
    expect(problems(root)).toEqual([seen])
  })

  test('in the commit that brings it', () => {
    const { root, write, commit } = repository()
    write(broken(first))
    commit()
    expect(problems(root)).toEqual([[], seen])
  })

  test('in a later commit of the same branch', () => {
    const { root, git, write, commit } = repository()
    git('checkout', '-b', 'change')
    write(broken(first))
    commit()
    commit('--allow-empty')
    expect(problems(root)).toEqual([[], [], seen])
  })

  test('after the commit, against the last release', () => {
    const { root, git, write, commit } = repository()
    git('tag', 'v1.0.0')
    write(broken(first))
    commit()
    commit('--allow-empty')
    expect(problems(root)).toEqual([[], [], seen])
  })

  test('not in a clone without history, and that is said', () => {
    const { root, commit } = repository()
    commit('--allow-empty')
    const clone = mkdtempSync(join(tmpdir(), 'history-'))
    onTestFinished(() => rmSync(clone, { recursive: true, force: true }))
    execFileSync('git', ['clone', '--depth', '1', `file://${root}`, clone], { stdio: 'ignore' })
    expect(historyMissing(clone)).toMatch(/^a clone without history/)
    expect(historyMissing(root)).toBe(undefined)
  })
})

describe('records as they once stood in the log (schemas/fixtures)', () => {
  const fixtures = [...folderNow(ROOT)].filter(([path]) => path.startsWith('schemas/fixtures/'))

  test('there are some of each type', () => {
    const types = new Set(fixtures.map(([path]) => path.split('/')[2]))
    expect(types).toEqual(new Set<string>(EVENT_TYPES))
  })

  test.each(fixtures)('%s is read, and nothing of it is lost', (path, text) => {
    const { key, headers, value } = JSON.parse(text) as {
      key: string
      headers: Record<string, string>
      value: unknown
    }
    const event = fromBinary(headers, JSON.stringify(value))
    expect(path).toMatch(new RegExp(`^schemas/fixtures/${event.type}/v\\d+/`))
    expect(event.data).toEqual(value)
    expect(toBinary(event)).toMatchObject({ key, headers })
  })
})
