// Messages that nothing is known of yet, on every engine.

import { describe, expect, test } from 'vitest'
import {
  addMessages,
  beginErasure,
  claimKey,
  createTenant,
  documentsOf,
  findKey,
  getMessage,
  insertStored,
  joinThread,
  listMessages,
  nextOutbox,
  parseQuery,
  saveMessage,
  searchMessages,
  strangersAmong,
  type NewMessage,
  type Store,
} from './store.ts'
import { draft } from './testing/draft.ts'

const stranger = (n: number, change: object = {}) => ({
  id: `m${String(n).padStart(6, '0')}`,
  tenant: 'acme',
  source: 'EMAIL',
  headerMessageId: `<${n}@x>`,
  linked: [`<${n}@x>`],
  ...change,
})

const newMessage = (n: number, change: object = {}): NewMessage => ({
  row: { ...draft(n, change), headerMessageId: `<${n}@x>`, threadId: `t${n}` },
  linked: [`<${n}@x>`, `<${n}-before@x>`, `<${n}@x>`],
  documents: [
    {
      id: `d${n}`,
      messageId: draft(n).id,
      tenant: 'acme',
      ordinal: 0,
      filename: 'a',
      contentType: 'a/b',
      sizeBytes: n,
      sha256: 'f',
      key: 'k',
    },
  ],
  text: { subject: `subject${n}`, sender: 'ann', recipients: '', filenames: '', body: 'some words' },
  told: { id: `e${n}`, type: 'indexer.indexed', subject: draft(n).id },
})

async function erase(known: Store): Promise<void> {
  for (const slug of ['acme', 'other']) await createTenant(known, { slug, name: slug, now: 1 })
  await known.transaction((tx) => beginErasure(tx, 'acme', 1))
}

export function newMessagesContract(store: () => Store): void {
  describe('new messages', () => {
    test.each<[string, (known: Store) => Promise<unknown>]>([
      ['nothing', async () => undefined],
      ['its row', (known) => known.transaction((tx) => insertStored(tx, draft(1)))],
      [
        'its header id',
        (known) =>
          known.transaction((tx) =>
            claimKey(tx, {
              tenant: 'acme',
              source: 'EMAIL',
              headerMessageId: '<1@x>',
              messageId: 'other',
              entryId: 'e',
            }),
          ),
      ],
      ['its tenant’s erasure', erase],
      ['its conversation', (known) => known.transaction((tx) => joinThread(tx, 'acme', ['<1@x>', '<other@x>']))],
    ])('a stranger is who nothing is known of: here %s', async (what, make) => {
      await make(store())
      const all = [stranger(1), stranger(2, { tenant: 'other' })]
      const found = await store().transaction((tx) => strangersAmong(tx, all))
      expect(found).toEqual(what === 'nothing' ? all : [all[1]])
    })

    test('of those who have something in common the first is one; of another tenant everything is another', async () => {
      const all = [
        stranger(1),
        stranger(1),
        stranger(2, { headerMessageId: '<1@x>' }),
        stranger(3, { linked: ['<3@x>', '<1@x>'] }),
        stranger(4, { tenant: 'other', headerMessageId: '<1@x>', linked: ['<1@x>'] }),
      ]
      const found = await store().transaction((tx) => strangersAmong(tx, all))
      expect(found).toEqual([all[0], all[4]])
    })

    test('they are written as one by one: row, mailboxes, key, conversation, documents, text, event', async () => {
      await store().transaction((tx) => addMessages(tx, [newMessage(1), newMessage(2)], 7))
      for (const n of [1, 2]) {
        const { row, documents } = newMessage(n)
        const { syntheticBase: _, ...want } = row
        expect(await getMessage(store(), row.id)).toEqual({ ...want, synthetic: false })
        expect(await documentsOf(store(), [row.id])).toEqual(documents)
        expect(await findKey(store(), { tenant: 'acme', source: 'EMAIL', headerMessageId: `<${n}@x>` })).toMatchObject({
          messageId: row.id,
          entryId: row.entryId,
        })
        const { query } = parseQuery(`subject:subject${n} words`)
        const { rows } = await searchMessages(store(), query, { limit: 5, now: 0 })
        expect(rows.map(({ id }) => id)).toEqual([row.id])
        const joined = await store().transaction((tx) => joinThread(tx, 'acme', [`<${n}-before@x>`]))
        expect(joined).toBe(`t${n}`)
      }
      expect((await listMessages(store(), { mailbox: 'a@x' }, { limit: 5 })).rows).toHaveLength(2)
      const told = (await nextOutbox(store(), 5)).map(({ payload, createdAt }) => ({ payload, createdAt }))
      expect(told).toEqual([1, 2].map((n) => ({ payload: newMessage(n).told, createdAt: 7 })))
    })

    test('what no text can hold is written as when a message is saved alone', async () => {
      const word = '\u{1d400}'.repeat(200)
      const odd = { subject: 'a\0b \ud800 "\\u0000" \u{1f389}', detail: { message: 'a\0b' } }
      const { text, documents, told, ...message } = newMessage(1, odd)
      const beside = {
        text: { ...text, body: `${word} a\0b \ud800` },
        documents: documents.map((each) => ({ ...each, filename: 'a\0\ud800' })),
        told: { ...told, data: { detail: 'a\0\ud800' } },
      }
      await store().transaction((tx) => addMessages(tx, [{ ...message, ...beside }], 7))
      await store().transaction((tx) => saveMessage(tx, draft(2, odd)))
      const [together, alone] = [await getMessage(store(), draft(1).id), await getMessage(store(), draft(2).id)]
      expect([together.subject, together.detail]).toEqual([alone.subject, alone.detail])
      const { query } = parseQuery(word)
      const { rows } = await searchMessages(store(), query, { limit: 5, now: 0 })
      expect(rows.map(({ id }) => id)).toEqual([draft(1).id])
    })
  })
}
