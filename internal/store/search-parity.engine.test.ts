// Whatever is searched for, PostgreSQL finds what SQLite finds.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EMPTY, found, saveText } from './contract-search.ts'
import { openSqliteStore } from './sqlite.ts'
import type { Store } from './store.ts'
import { freshStore, missing, sharedBed } from './testing/postgres-bed.ts'

describe.skipIf(missing)(`search in PostgreSQL ${missing ?? ''}`, () => {
  const bed = sharedBed()

  describe('search parity with SQLite', () => {
    const store = freshStore(bed)
    let dir: string
    let embedded: Store
    beforeEach(async () => {
      dir = mkdtempSync(join(tmpdir(), 'parity-'))
      embedded = await openSqliteStore({ file: join(dir, 'store.db') })
    })
    afterEach(async () => {
      await embedded.close()
      rmSync(dir, { recursive: true })
    })

    const WORDS = [
      'inv',
      'invoice',
      'Total',
      'größe',
      'a',
      'b',
      "o'neil",
      'x:y',
      '東京',
      'ΟΔΟΣ',
      'ко́д',
      'किताब',
      '4711',
      'e\u0301t',
      '&|!',
      '<->',
    ]
    const words = fc.array(fc.constantFrom(...WORDS), { maxLength: 8 }).map((each) => each.join(' '))
    const texts = fc.record({ subject: words, sender: words, recipients: words, filenames: words, body: words })
    const place = fc.constantFrom('', 'from:', 'to:', 'subject:', 'filename:', 'body:')
    const term = fc
      .tuple(
        fc.constantFrom('', '-'),
        place,
        fc.array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 3 }),
        fc.constantFrom('', '*'),
      )
      .map(([not, where, phrase, star]) => `${not}${where}"${phrase.join(' ')}"${star}`)
    const queries = fc.array(term, { minLength: 1, maxLength: 3 }).map((terms) => terms.join(' '))

    test('any words in any field, any query', async () => {
      const sample = fc.sample(texts, { numRuns: 40, seed: 4 })
      for (const [n, text] of sample.entries()) for (const on of [store(), embedded]) await saveText(on, n, text)
      let hits = 0
      for (const query of fc.sample(queries, { numRuns: 400, seed: 4 })) {
        const want = await found(embedded, query)
        expect({ query, found: await found(store(), query) }).toEqual({ query, found: want })
        if (want.length > 0 && want.length < 40) hits += 1
      }
      expect(hits).toBeGreaterThan(100)
    })

    // One tsvector ends at 16,383 words, at 256 places of one word and at 1 MiB.
    const LONG: [string, string][] = [
      ['many words', Array.from({ length: 60_000 }, (_, n) => `w${n}`).join(' ')],
      ['one word many times', `${'same '.repeat(3000)}needle ${'same '.repeat(3000)}end`],
      ['long words', Array.from({ length: 2000 }, (_, n) => `${n}${'é'.repeat(400)}`).join(' ')],
    ]
    test.each(LONG)('a long text: %s', async (_what, body) => {
      for (const on of [store(), embedded]) await saveText(on, 1, { ...EMPTY, body })
      const asked = ['"w15999 w16000 w16001"', '"w31936 w31937"', '"w59998 w59999"', '"w16001 w16000"', 'w5999*']
      const repeated = [
        '"same needle same"',
        '"needle end"',
        '"same end"',
        `"${'same '.repeat(40)}needle"`,
        `"needle ${'same '.repeat(40)}end"`,
      ]
      const long = [`1999${'e'.repeat(400)}`, `"1998${'é'.repeat(400)} 1999${'é'.repeat(300)}"`]
      for (const query of [...asked, ...repeated, ...long]) {
        expect({ query, found: await found(store(), query) }).toEqual({ query, found: await found(embedded, query) })
      }
    })
  })
})
