// What tenants have, as the database counts it, on every engine.

import { describe, expect, test } from 'vitest'
import {
  createTenant,
  directoryVersion,
  dropUsageDays,
  insertStored,
  limitedTenants,
  messagesThere,
  removeTenant,
  saveMessage,
  updateTenant,
  usageOf,
  type Store,
} from './store.ts'
import { draft, reasonOf } from './testing/draft.ts'

const DAY_MS = 86_400_000

/** Several transactions that are open at one time, where the engine can do that. */
const TOGETHER = 4

export function usageContract(store: () => Store): void {
  const usage = async (tenant: string, day: number) => (await usageOf(store(), [tenant], day)).get(tenant)
  const save = (n: number, change: Parameters<typeof draft>[1] = {}) =>
    store().transaction((tx) => saveMessage(tx, draft(n, change)))

  describe('usage', () => {
    test('a message counts once, on the day it came, however often and by whichever way it is written', async () => {
      await save(1, { sizeBytes: 100 })
      await save(1, { sizeBytes: 100, status: 'DUPLICATE' })
      await store().transaction((tx) => insertStored(tx, draft(1, { sizeBytes: 100 })))
      await store().transaction((tx) => insertStored(tx, draft(2, { sizeBytes: 30, status: 'STORED' })))
      await save(2, { sizeBytes: 30, status: 'QUARANTINED' })
      await save(3, { sizeBytes: 7, receivedAt: DAY_MS })
      await save(4, { sizeBytes: 1, tenant: 'b' })
      expect(await usage('acme', 0)).toEqual({ messages: 2, bytes: 130, storedBytes: 137 })
      expect(await usage('acme', 1)).toEqual({ messages: 1, bytes: 7, storedBytes: 137 })
      expect(await usage('b', 0)).toEqual({ messages: 1, bytes: 1, storedBytes: 1 })
      expect(await usage('nobody', 0)).toEqual({ messages: 0, bytes: 0, storedBytes: 0 })
    })

    test('what is rolled back does not count', async () => {
      const failing = store().transaction(async (tx) => {
        await saveMessage(tx, draft(1))
        throw new Error('no')
      })
      await expect(failing).rejects.toThrow('no')
      expect(await usage('acme', 0)).toEqual({ messages: 0, bytes: 0, storedBytes: 0 })
    })

    test('a message that goes gives its bytes back, and came all the same', async () => {
      await save(1, { sizeBytes: 100 })
      await save(2, { sizeBytes: 10 })
      await store().kysely.deleteFrom('messages').where('id', '=', draft(1).id).execute()
      expect(await usage('acme', 0)).toEqual({ messages: 2, bytes: 110, storedBytes: 10 })
    })

    test('a tenant that is made again begins with nothing', async () => {
      await createTenant(store(), { slug: 'acme', now: 1 })
      await save(1, { sizeBytes: 100 })
      await store().kysely.deleteFrom('messages').execute()
      await removeTenant(store(), 'acme')
      await createTenant(store(), { slug: 'acme', now: 2 })
      expect(await usage('acme', 0)).toEqual({ messages: 0, bytes: 0, storedBytes: 0 })
    })

    test('days that are over are forgotten, and what is kept is not', async () => {
      await save(1, { sizeBytes: 5 })
      await save(2, { sizeBytes: 6, receivedAt: DAY_MS })
      await dropUsageDays(store(), 1)
      expect(await usage('acme', 0)).toEqual({ messages: 0, bytes: 0, storedBytes: 11 })
      expect(await usage('acme', 1)).toEqual({ messages: 1, bytes: 6, storedBytes: 11 })
    })

    test('many that write at one time all count', async () => {
      await Promise.all(
        Array.from({ length: 10 * TOGETHER }, (_each, n) => save(n, { sizeBytes: 3, headerMessageId: null })),
      )
      expect(await usage('acme', 0)).toEqual({ messages: 40, bytes: 120, storedBytes: 120 })
    })

    test('which messages are there is told by their ids, also of more than one question takes', async () => {
      await save(1)
      await save(2, { receivedAt: DAY_MS * 40 })
      const others = Array.from({ length: 1200 }, (_each, n) => `none${n}`)
      const found = await messagesThere(store(), [draft(2).id, ...others, draft(1).id])
      expect(found.toSorted()).toEqual([draft(1).id, draft(2).id])
    })
  })

  describe('quotas', () => {
    test('a tenant has none until they are set; each is set and taken off by itself', async () => {
      await createTenant(store(), { slug: 'a', now: 1 })
      await createTenant(store(), { slug: 'b', storedBytes: 9, now: 1 })
      await save(1, { tenant: 'b', sizeBytes: 4 })
      const before = await directoryVersion(store())
      await updateTenant(store(), 'a', { messagesPerDay: 5, bytesPerDay: 6, now: 2 })
      await updateTenant(store(), 'a', { bytesPerDay: null, now: 3 })
      expect(await directoryVersion(store())).toBe(before + 2)
      expect(await Array.fromAsync(limitedTenants(store(), 0))).toEqual([
        {
          tenant: 'a',
          quotas: { messagesPerDay: 5, bytesPerDay: null, storedBytes: null },
          usage: { messages: 0, bytes: 0, storedBytes: 0 },
        },
        {
          tenant: 'b',
          quotas: { messagesPerDay: null, bytesPerDay: null, storedBytes: 9 },
          usage: { messages: 1, bytes: 4, storedBytes: 4 },
        },
      ])
      await updateTenant(store(), 'a', { messagesPerDay: null, now: 4 })
      expect((await Array.fromAsync(limitedTenants(store(), 0))).map(({ tenant }) => tenant)).toEqual(['b'])
    })

    test('of many tenants every one with a quota is told once', async () => {
      await store().transaction(async (tx) => {
        for (let n = 0; n < 501; n++) await createTenant(tx, { slug: `t${n}`, messagesPerDay: 1, now: 1 })
      })
      const slugs = (await Array.fromAsync(limitedTenants(store(), 0))).map(({ tenant }) => tenant)
      expect(new Set(slugs).size).toBe(501)
      expect(slugs).toHaveLength(501)
    })

    test.each([[0], [-1], [1.5], [Number.NaN]])('%d is no quota', async (quota) => {
      await createTenant(store(), { slug: 'a', now: 1 })
      for (const change of [{ messagesPerDay: quota }, { bytesPerDay: quota }, { storedBytes: quota }]) {
        expect(await reasonOf(updateTenant(store(), 'a', { ...change, now: 2 }))).toBe('invalid')
        expect(await reasonOf(createTenant(store(), { slug: 'b', ...change, now: 2 }))).toBe('invalid')
      }
    })
  })
}
