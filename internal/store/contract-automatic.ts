// Delivery reports, automatic replies and mail on its way out, on every engine.

import { beforeEach, describe, expect, test } from 'vitest'
import {
  activeAutoReplies,
  addMailbox,
  claimOutbound,
  claimReply,
  createTenant,
  deferOutbound,
  dropDerived,
  dropOutbound,
  dropReplied,
  findOutbound,
  forgetOutbound,
  getAutoReply,
  getOutbound,
  listAutoReplies,
  listOutbound,
  outboundState,
  queueOutbound,
  recoverOutbound,
  removeAutoReply,
  removeMailbox,
  reportOf,
  reportsOn,
  retryOutbound,
  saveMessage,
  saveReport,
  seedFirstStart,
  setAutoReply,
  settleOutbound,
  updateMailbox,
  type Store,
} from './store.ts'
import { draft, outboundDraft, reasonOf } from './testing/draft.ts'

const DAY_MS = 86_400_000
const SALES = 'sales@mail.localhost'

export function automaticContract(store: () => Store): void {
  describe('delivery reports', () => {
    const report = (messageId: string, tenant = 'acme') => ({
      messageId,
      tenant,
      originalMessageId: '<1@x>',
      originalEnvelopeId: null,
      reportingMta: 'mx.example',
      arrivalDate: 5,
      recipients: [{ finalRecipient: 'bob@example.net', action: 'failed', status: '5.1.1' }],
    })

    test('are found from both sides, within their tenant; they go with what was derived', async () => {
      const place = await store().transaction(async (tx) => {
        await saveReport(tx, report('m-report'))
        await saveReport(tx, report('m-other', 'globex'))
        return saveMessage(tx, draft(1))
      })
      expect(await reportOf(store(), 'm-report')).toEqual(report('m-report'))
      expect(await reportsOn(store(), { tenant: 'acme', headerMessageId: '<1@x>' })).toEqual([report('m-report')])
      expect(await reportOf(store(), 'm000001')).toBeUndefined()
      await store().transaction((tx) => dropDerived(tx, 'm-report', place))
      expect(await reportOf(store(), 'm-report')).toBeUndefined()
    })

    test('a report that is saved again, as after its message was lost, says what was saved last', async () => {
      const changed = { ...report('m-report'), originalMessageId: '<2@x>', recipients: [] }
      await store().transaction((tx) => saveReport(tx, report('m-report')))
      await store().transaction((tx) => saveReport(tx, changed))
      expect(await reportOf(store(), 'm-report')).toEqual(changed)
      expect(await reportsOn(store(), { tenant: 'acme', headerMessageId: '<1@x>' })).toEqual([])
    })
  })

  describe('automatic replies', () => {
    beforeEach(async () => {
      await seedFirstStart(store(), { domain: 'mail.localhost', now: 1 })
      await createTenant(store(), { slug: 'b', now: 1 })
      await addMailbox(store(), { address: SALES, tenant: 'acme', now: 1 })
    })
    const set = (change = {}) => setAutoReply(store(), { address: SALES, body: 'away', now: 2, ...change })
    const active = (now: number, tenant = 'acme') =>
      store().transaction((tx) => activeAutoReplies(tx, { tenant, addresses: ['x@y', SALES], now }))

    test('the last one set counts, in its time, for its own tenant, while the mailbox is there and enabled', async () => {
      await set({ subject: 'first' })
      const reply = await set({ address: 'SALES@mail.localhost', fromAt: 100, untilAt: 200 })
      expect(reply).toEqual({
        address: SALES,
        subject: null,
        body: 'away',
        fromAt: 100,
        untilAt: 200,
        everyMs: 7 * DAY_MS,
        updatedAt: 2,
      })
      expect(await getAutoReply(store(), SALES)).toEqual(reply)
      expect(await listAutoReplies(store(), { tenant: 'acme' })).toEqual([reply])
      expect(await listAutoReplies(store(), { tenant: 'b' })).toEqual([])
      expect(await listAutoReplies(store(), { after: SALES })).toEqual([])
      const found = await Promise.all([99, 100, 199, 200].map(async (now) => (await active(now)).length))
      expect(found).toEqual([0, 1, 1, 0])
      expect(await active(150, 'b')).toEqual([])
      await updateMailbox(store(), SALES, { enabled: false, now: 3 })
      expect(await active(150)).toEqual([])
      const claim = { address: SALES, sender: 'ann@x', everyMs: DAY_MS, now: 3 }
      expect(await store().transaction((tx) => claimReply(tx, claim))).toBe(true)
      await removeMailbox(store(), SALES)
      await addMailbox(store(), { address: SALES, tenant: 'acme', now: 4 })
      expect(await reasonOf(getAutoReply(store(), SALES))).toBe('not_found')
      expect(await store().transaction((tx) => claimReply(tx, claim))).toBe(true)
    })

    test.each([
      [{ address: 'none@mail.localhost' }, 'not_found', 'no such mailbox'],
      [{ body: ' \n' }, 'invalid', 'nothing to say'],
      [{ body: 'x'.repeat(16 * 1024 + 1) }, 'invalid', 'too much to say'],
      [{ body: 'a\0b' }, 'invalid', 'NUL'],
      [{ subject: 'a\r\nBcc: x@y' }, 'invalid', 'header injection'],
      [{ subject: '' }, 'invalid', 'empty subject'],
      [{ subject: 'x'.repeat(201) }, 'invalid', 'long subject'],
      [{ fromAt: 2, untilAt: 2 }, 'invalid', 'over before it begins'],
      [{ everyMs: DAY_MS - 1 }, 'invalid', '3834 2: several days'],
      [{ everyMs: 366 * DAY_MS }, 'invalid', 'over the limit'],
      [{ everyMs: Number.NaN }, 'invalid', 'no number'],
    ])('%j: %s (%s)', async (change, reason, _why) => {
      expect(await reasonOf(set(change))).toBe(reason)
    })

    test('a mailbox whose name needs quotes or is beyond ASCII cannot reply', async () => {
      for (const address of ['"a b"@mail.localhost', 'jörg@mail.localhost']) {
        await addMailbox(store(), { address, tenant: 'acme', now: 1 })
        expect(await reasonOf(set({ address }))).toBe('invalid')
      }
    })

    test('a mailbox replies to a hundred senders in an hour, not to more', async () => {
      const HOUR_MS = 3_600_000
      const claim = (n: number, now: number, address = SALES) =>
        store().transaction((tx) => claimReply(tx, { address, sender: `s${n}@x`, everyMs: 7 * DAY_MS, now }))
      for (let n = 0; n < 100; n++) expect(await claim(n, 1 + n)).toBe(true)
      expect(await claim(100, 200)).toBe(false)
      expect(await claim(100, 200, 'info@mail.localhost')).toBe(true)
      expect(await claim(100, HOUR_MS)).toBe(false)
      expect(await claim(100, HOUR_MS + 1)).toBe(true)
      expect(await claim(101, HOUR_MS + 1)).toBe(false)
    })

    test('one sender gets one reply in a period, whoever asks at once; what is over is forgotten', async () => {
      const claim = (sender: string, now: number) =>
        store().transaction((tx) => claimReply(tx, { address: SALES, sender, everyMs: DAY_MS, now }))
      const both = await Promise.all([claim('ann@x', 1), claim('ann@x', 1)])
      expect(both.filter((claimed) => claimed)).toHaveLength(1)
      expect(await claim('bob@x', 1)).toBe(true)
      expect(await claim('ann@x', DAY_MS)).toBe(false)
      expect(await claim('ann@x', DAY_MS + 1)).toBe(true)
      expect(await dropReplied(store(), DAY_MS + 1)).toBe(1)
      expect(await dropReplied(store(), DAY_MS + 1)).toBe(0)
      expect(await claim('ann@x', DAY_MS + 2)).toBe(false)
      await removeAutoReply(store(), SALES).catch(() => 'none was set')
      expect(await claim('ann@x', DAY_MS + 2)).toBe(false)
    })
  })

  describe('mail on its way out', () => {
    const queue = (n: number, change = {}) => store().transaction((tx) => queueOutbound(tx, outboundDraft(n, change)))
    const states = async () => (await listOutbound(store(), {}, { limit: 10 })).rows.map(({ id, state }) => [id, state])

    test('is queued once, claimed once, and ends as sent or failed', async () => {
      await queue(1)
      await queue(1, { now: 9 })
      await queue(2)
      await queue(3, { now: 50 })
      const [first] = await claimOutbound(store(), { now: 10, limit: 1 })
      expect(first).toMatchObject({
        id: 'out-1',
        state: 'sending',
        attempts: 1,
        mail: outboundDraft(1).mail,
        createdAt: 1,
      })
      expect((await claimOutbound(store(), { now: 10, limit: 9 })).map(({ id }) => id)).toEqual(['out-2'])
      expect(await outboundState(store())).toEqual({ pending: 3, oldestAt: 1, failed: 0 })
      await settleOutbound(store(), 'out-1', { move: 'accepted', result: '250 ok', now: 11 })
      await settleOutbound(store(), 'out-2', { move: 'refused', result: '550 no', now: 11 })
      expect(await states()).toEqual([
        ['out-3', 'pending'],
        ['out-2', 'failed'],
        ['out-1', 'sent'],
      ])
      expect(await outboundState(store())).toEqual({ pending: 1, oldestAt: 50, failed: 1 })
      // A move that does not fit changes nothing.
      await settleOutbound(store(), 'out-1', { move: 'refused', result: '550 late', now: 12 })
      expect(await getOutbound(store(), 'out-1')).toMatchObject({ state: 'sent', lastResult: '250 ok' })
    })

    test('waits for its next try; what a process had that is gone comes back', async () => {
      await queue(1)
      await claimOutbound(store(), { now: 1, limit: 1 })
      await deferOutbound(store(), 'out-1', { result: '451 later', nextAt: 100, now: 2 })
      expect(await claimOutbound(store(), { now: 99, limit: 1 })).toEqual([])
      expect(await claimOutbound(store(), { now: 100, limit: 1 })).toMatchObject([
        { attempts: 2, lastResult: '451 later' },
      ])
      expect(await recoverOutbound(store(), 101)).toBe(1)
      expect(await claimOutbound(store(), { now: 101, limit: 1 })).toMatchObject([{ attempts: 3 }])
    })

    test('people try failed mail again and drop what is not being sent; others are refused', async () => {
      await queue(1)
      expect(await reasonOf(retryOutbound(store(), 'out-1', 5))).toBe('conflict')
      expect(await reasonOf(retryOutbound(store(), 'none', 5))).toBe('not_found')
      await claimOutbound(store(), { now: 1, limit: 1 })
      expect(await reasonOf(dropOutbound(store(), 'out-1'))).toBe('conflict')
      await settleOutbound(store(), 'out-1', { move: 'refused', result: '550', now: 2 })
      expect(await retryOutbound(store(), 'out-1', 5)).toMatchObject({
        state: 'pending',
        attempts: 0,
        nextAt: 5,
        createdAt: 5,
      })
      expect(await reasonOf(dropOutbound(store(), 'out-1'))).toBe('none')
      expect(await reasonOf(dropOutbound(store(), 'out-1'))).toBe('not_found')
    })

    test('is listed by state and tenant in pages, found by what it answers and by its own id, and forgotten', async () => {
      for (const n of [1, 2, 3]) await queue(n, { tenant: n === 3 ? 'b' : 'acme', aboutMessageId: `m${n}` })
      const page = await listOutbound(store(), { state: 'pending' }, { limit: 2 })
      expect(page.rows.map(({ id }) => id)).toEqual(['out-3', 'out-2'])
      const rest = await listOutbound(store(), {}, { limit: 2, ...(page.next && { cursor: page.next }) })
      expect(rest.rows.map(({ id }) => id)).toEqual(['out-1'])
      expect((await listOutbound(store(), { tenant: 'b' }, { limit: 5 })).rows).toHaveLength(1)
      const ids = async (about: Parameters<typeof findOutbound>[1]) =>
        (await findOutbound(store(), about)).map(({ id }) => id)
      expect(await ids({ tenant: 'acme', messageId: 'm1' })).toEqual(['out-1'])
      expect(await ids({ tenant: 'b', messageId: 'm1' })).toEqual([])
      expect(await ids({ tenant: 'acme', headerMessageId: '<out-2@mail.localhost>' })).toEqual(['out-2'])
      await claimOutbound(store(), { now: 5, limit: 2 })
      await settleOutbound(store(), 'out-1', { move: 'accepted', result: '250', now: 10 })
      await settleOutbound(store(), 'out-2', { move: 'accepted', result: '250', now: 20 })
      expect(await forgetOutbound(store(), 15)).toBe(1)
      expect(await states()).toEqual([
        ['out-3', 'pending'],
        ['out-2', 'sent'],
      ])
    })
  })
}
