// docs/rfc.md says what is so; each "yes" has to have its test.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const DIALOGS = 'test/dialogs'
const CASES = Array.from({ length: 92 }, (_unused, index) => index + 1)

/** Cells of the table rows under this heading of docs/rfc.md. */
function rowsUnder(heading: string): string[][] {
  const page = readFileSync('docs/rfc.md', 'utf8')
  const part = page.slice(page.indexOf(heading) + heading.length).split(/^## |^Not yet/m)[0] ?? ''
  const lines = part.split('\n').filter((line) => line.startsWith('| ') && !/^\| (---|RFC|case) /.test(line))
  return lines.map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim())) // prettier-ignore
}

const pathOf = (name: string): string => (name.endsWith('.smtp') ? `${DIALOGS}/${name}` : name)
const testsIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+\.(?:smtp|test\.ts))`/g)].map((match) => match[1] ?? '')

describe('docs/rfc.md', () => {
  const sections = rowsUnder('## SMTP\n').map(([rfc = '', section = '', , verdict = '', tests = '']) => {
    return { section: `${rfc} ${section}`, verdict, tests: testsIn(tests) }
  })

  test('is read', () => {
    expect(sections.length).toBeGreaterThan(40)
    expect(sections.filter(({ verdict }) => !['yes', 'partly', 'no'].includes(verdict))).toEqual([])
  })

  test('every yes and partly names a test', () => {
    expect(sections.filter(({ verdict, tests }) => verdict !== 'no' && tests.length === 0)).toEqual([])
  })

  test('every test that is named is there', () => {
    const named = [
      ...sections.flatMap(({ tests }) => tests),
      ...rowsUnder('## The cases\n').flatMap(([, , tests = '']) => testsIn(tests)),
    ]
    expect(named.filter((name) => !existsSync(pathOf(name)))).toEqual([])
  })
})

describe('the cases', () => {
  const dialogs = readdirSync(DIALOGS).map((name) => readFileSync(`${DIALOGS}/${name}`, 'utf8'))
  const played = dialogs.flatMap((text) =>
    (/^# cases? ([\d, ]+):/.exec(text)?.[1] ?? '').split(',').filter(Boolean).map(Number),
  )
  const elsewhere = rowsUnder('## The cases\n').map(([number]) => Number(number))
  const open = rowsUnder('Not yet, or not ever:\n').map(([number]) => Number(number))

  test('each is played, tested elsewhere, or said to be open', () => {
    expect(CASES.filter((number) => ![...played, ...elsewhere, ...open].includes(number))).toEqual([])
  })

  test('none is open and played', () => {
    expect(open.filter((number) => played.includes(number) || elsewhere.includes(number))).toEqual([])
  })
})
