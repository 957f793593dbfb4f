// The same words find the same messages on every engine.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  indexText,
  parseQuery,
  saveMessage,
  searchMessages,
  type MessageDraft,
  type SearchText,
  type Store,
} from './store.ts'
import type { StoreBed } from './contract.ts'
import { draft } from './testing/draft.ts'

/** Numbers of the messages that are found. */
export async function found(store: Store, typed: string): Promise<number[]> {
  const { rows } = await searchMessages(store, parseQuery(typed).query, { limit: 100, now: 10 ** 12 })
  return rows.map((row) => Number(row.id.slice(1))).sort((a, b) => a - b)
}

export const EMPTY: SearchText = { subject: '', sender: '', recipients: '', filenames: '', body: '' }

/** Saves message `n` with these texts. */
export const saveText = (store: Store, n: number, text: Partial<SearchText>): Promise<void> =>
  store.transaction(async (tx) => indexText(tx, await saveMessage(tx, draft(n)), { ...EMPTY, ...text }))

export function searchContract(bed: StoreBed): void {
  describe('search', () => {
    const MAILS: Partial<MessageDraft & Record<'subj' | 'sender' | 'body' | 'files', string>>[] = [
      {
        subj: 'Quarterly invoice',
        sender: 'Ann Lee ann@example.org',
        body: 'please pay the total',
        files: 'invoice-4711.pdf',
      },
      { subj: 'Grüße aus Köln', sender: 'bob@example.com', body: 'total recall', files: '' },
      { subj: '東京からの請求書', sender: 'ken@example.jp', body: 'Привет мир', files: '見積.xlsx' },
      { subj: 'NOT a "quoted" thing', sender: 'x@y', body: 'a OR b NEAR(c) {d} ^e', files: '' },
    ]
    let store: Store
    beforeAll(async () => {
      await bed.fresh()
      store = await bed.open()
      for (const [n, { subj = '', sender = '', body = '', files = '' }] of MAILS.entries()) {
        await store.transaction(async (tx) => {
          const place = await saveMessage(tx, draft(n, { tenant: n === 3 ? 'other' : 'acme' }))
          await indexText(tx, place, { subject: subj, sender, recipients: 'orders@x', filenames: files, body })
        })
      }
    })
    afterAll(() => store.close())

    test.each([
      ['invoice', [0], 'a word in any field'],
      ['INVOICE', [0], 'case'],
      ['gruße', [1], 'diacritics'],
      ['total', [0, 1], 'two messages'],
      ['total -recall', [0], 'not'],
      ['"the total"', [0], 'phrase'],
      ['"total the"', [], 'phrase in order'],
      ['inv*', [0], 'prefix'],
      ['inv', [], 'no prefix'],
      ['from:ann@example.org', [0], 'an address is a phrase'],
      ['from:example', [0, 1, 2], 'part of an address'],
      ['subject:total', [], 'in that field only'],
      ['filename:pdf', [0], 'filename'],
      ['filename:4711 OR body:recall', [0, 1], 'OR'],
      ['東京', [2], 'a script without spaces'],
      ['京東', [], 'its order'],
      ['привет', [2], 'Cyrillic, case'],
      ['filename:見積', [2], 'a name in Han'],
      ['to:orders', [0, 1, 2, 3], 'recipients'],
      ['"NEAR(c) {d} ^e"', [3], 'nothing is syntax of the index'],
      ['"a OR b"', [3], 'operators in quotes are words'],
      ['"\\"quoted\\""', [3], 'quotes'],
      ['"total\\" OR \\"recall"', [], 'quotes that would end the word'],
      ["q' OR 1=1--", [], 'SQL'],
      ['%% total', [], 'text without words is nowhere'],
      ['larger:150', [2, 3], 'size'],
      ['has:attachment total', [1], 'attachment'],
      ['-has:attachment', [0, 2], 'no attachment'],
      ['before:1970-01-02 after:1970-01-01T00:00:01.002Z', [2, 3], 'times'],
      ['status:parsed id:<0@x>', [0], 'by header id'],
      ['id:t2', [2], 'by trace id'],
      ['mailbox:A@x total', [0, 1], 'mailbox'],
      ['newer:1h', [], 'age'],
    ])('%j finds %j (%s)', async (typed, want, _why) => {
      const { query } = parseQuery(typed)
      const { rows } = await searchMessages(store, query, { limit: 10, now: 10 ** 12 })
      expect(rows.map((row) => Number(row.id.slice(1))).sort((a, b) => a - b)).toEqual(want)
    })

    test('a tenant sees its own', async () => {
      const { rows } = await searchMessages(store, parseQuery('to:orders').query, {
        limit: 10,
        now: 0,
        filter: { tenant: 'other' },
      })
      expect(rows).toHaveLength(1)
    })
  })
}
