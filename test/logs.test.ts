// docs/logs.md has every text that is logged, and no other.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const page = readFileSync('docs/logs.md', 'utf8')
const sources = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter(
    (name) => /^(cmd|spool|internal)\/.*\.ts$/.test(name) && !/\.test\.ts$|\/testing\/|\/contract|fixture/.test(name),
  )
  .map((name) => readFileSync(name, 'utf8'))

/** First cells of the tables: each holds one text or more. */
const told = [...page.matchAll(/^\| (`.+?`) \| /gm)]
  .flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text))
  .filter((text) => text !== 'msg')

/** What stands last in the brackets of a call of the log, if it is a text. */
function textsIn(source: string): string[] {
  return [...source.matchAll(/\b(?:log|logger)(?:\.(?:debug|info|warn|error)|\[\w+\])\(/g)].flatMap(
    ({ index, 0: call }) => {
      const text = /'([^'\n]+)',?\s*$/.exec(argumentsAt(source, index + call.length))?.[1]
      return text === undefined ? [] : [text]
    },
  )
}

function argumentsAt(source: string, from: number): string {
  let [depth, at] = [1, from]
  for (; depth > 0 && at < source.length; at++) depth += { '(': 1, ')': -1 }[source[at] ?? ''] ?? 0
  return source.slice(from, at - 1)
}

test('every text of the source is on the page', () => {
  const texts = new Set(sources.flatMap(textsIn))
  expect(texts.size).toBeGreaterThan(50)
  expect([...texts].filter((text) => !told.includes(text))).toEqual([])
})

test('every text of the page is in the source', () => {
  const all = sources.join('\n')
  expect(told.filter((text) => !all.includes(text.replace(/; trying again$/, '')))).toEqual([])
})
