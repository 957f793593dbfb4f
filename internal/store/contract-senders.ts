// What tenants make of senders, on every engine.

import { describe, expect, test } from 'vitest'
import { NO_POLICY } from '../envelope/envelope.ts'
import {
  createTenant,
  directoryRows,
  directoryVersion,
  getPolicy,
  listSender,
  listSenders,
  senderKey,
  setPolicy,
  unlistSender,
  type Store,
} from './store.ts'
import { reasonOf } from './testing/draft.ts'

export function sendersContract(store: () => Store): void {
  describe('policies and senders', () => {
    test('a policy is none until it is set, rule by rule; each change is seen by the directory', async () => {
      await createTenant(store(), { slug: 'a', now: 1 })
      expect(await getPolicy(store(), 'a')).toEqual(NO_POLICY)
      const before = await directoryVersion(store())
      await setPolicy(store(), 'a', { rules: { spf_fail: 'tag', dmarc_reject: 'reject' }, now: 2 })
      expect(await setPolicy(store(), 'a', { rules: { spf_fail: 'quarantine' }, now: 3 })).toEqual({
        unreachable: 'none',
        spf_fail: 'quarantine',
        dmarc_reject: 'reject',
        unauthenticated: 'none',
      })
      expect(await directoryVersion(store())).toBe(before + 2)
    })

    test('senders are kept in one form; the last word counts; the snapshot has all of it', async () => {
      await createTenant(store(), { slug: 'a', now: 1 })
      await createTenant(store(), { slug: 'b', now: 1 })
      const put = (tenant: string, sender: string, listing: 'allow' | 'block') =>
        listSender(store(), { tenant, sender, listing, now: 2 })
      await put('a', 'Ann@Bücher.example', 'allow')
      await put('a', 'bücher.example', 'block')
      await put('a', 'ANN@xn--bcher-kva.example', 'block')
      await put('b', 'x.example', 'allow')
      await setPolicy(store(), 'b', { rules: { unauthenticated: 'reject' }, now: 2 })
      const rows: unknown[] = []
      for await (const row of directoryRows(store())) if (row.kind !== 'tenant') rows.push(row)
      expect(rows).toEqual([
        { kind: 'policy', tenant: 'b', rule: 'unauthenticated', action: 'reject' },
        { kind: 'sender', tenant: 'a', sender: 'ann@xn--bcher-kva.example', listing: 'block' },
        { kind: 'sender', tenant: 'a', sender: 'xn--bcher-kva.example', listing: 'block' },
        { kind: 'sender', tenant: 'b', sender: 'x.example', listing: 'allow' },
      ])
      const [first, ...others] = await listSenders(store())
      const after = first === undefined ? '' : senderKey(first)
      expect(await listSenders(store(), { after })).toEqual(others)
      await unlistSender(store(), { tenant: 'a', sender: 'BÜCHER.example' })
      expect(await listSenders(store(), { tenant: 'a' })).toHaveLength(1)
    })

    test('each refusal has its reason', async () => {
      await createTenant(store(), { slug: 'a', now: 1 })
      const put = (tenant: string, sender: string) => listSender(store(), { tenant, sender, listing: 'block', now: 1 })
      const refusals: [() => Promise<unknown>, string][] = [
        [() => put('none', 'x.example'), 'not_found'],
        [() => put('a', 'no domain'), 'invalid'],
        [() => put('a', 'no address@x.example'), 'invalid'],
        [() => put('a', ''), 'invalid'],
        [() => getPolicy(store(), 'none'), 'not_found'],
        [() => setPolicy(store(), 'none', { rules: { spf_fail: 'tag' }, now: 1 }), 'not_found'],
        [() => unlistSender(store(), { tenant: 'a', sender: 'x.example' }), 'not_found'],
      ]
      for (const [attempt, reason] of refusals) expect(await reasonOf(attempt())).toBe(reason)
    })
  })
}
