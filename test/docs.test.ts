// Documents stay true: what is made from the code is compared with it, and what a page says is proven is looked up.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { generatedFiles } from '../cmd/documents.ts'

const generated = await generatedFiles()

describe('generated documents', () => {
  test.each(generated.map(({ path, text }) => [path, text]))(
    '%s is what the code says (else: make docs)',
    (path, text) => {
      expect(readFileSync(path, 'utf8')).toBe(text)
    },
  )
})

describe.each([
  ['docs/durability.md', 20],
  ['docs/replay.md', 10],
  ['docs/limits.md', 9],
  ['docs/traces.md', 2],
  ['docs/tls.md', 9],
  ['docs/automatic-mail.md', 18],
  ['docs/operations/README.md', 5],
])('%s', (page, least) => {
  const rows = [...readFileSync(page, 'utf8').matchAll(/^\| (?!---|what|sentence)(.+?) \| `([^`]+)` › (.+?) \|$/gm)]

  test('has a test for each sentence', () => {
    expect(rows.length).toBeGreaterThan(least)
  })

  test.each(rows.map(([, sentence = '', file = '', name = '']) => [sentence, file, name]))(
    '%s',
    (_sentence, file, name) => {
      expect(readFileSync(file, 'utf8')).toContain(name)
    },
  )
})
