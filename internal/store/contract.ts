// What every engine of the store must do alike, as tests.

import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  addCredential,
  addDomain,
  addMailbox,
  checkpointOf,
  claimKey,
  countByStatus,
  createJob,
  createTenant,
  nextOutbox,
  enqueue,
  directoryRows,
  directoryVersion,
  dropEvents,
  findKey,
  getJob,
  getMessage,
  hold,
  keyName,
  joinThread,
  listEvents,
  listMailboxes,
  listMessages,
  listCredentials,
  listTenants,
  projectEvents,
  removeDomain,
  updateDomain,
  removeMailbox,
  listDomains,
  removeTenant,
  revokeCredential,
  saveCheckpoint,
  saveMessage,
  seedFirstStart,
  unaccounted,
  updateTenant,
  type MessageFilter,
  type Store,
} from './store.ts'
import { automaticContract } from './contract-automatic.ts'
import { searchContract } from './contract-search.ts'
import { newMessagesContract } from './contract-new-messages.ts'
import { sendersContract } from './contract-senders.ts'
import { usageContract } from './contract-usage.ts'
import { draft, eventRow, reasonOf } from './testing/draft.ts'
import { farAway } from './testing/far-away.ts'

/** An engine with one empty place for a store at a time. */
export interface StoreBed {
  /** Makes the place empty: no store was ever opened there. */
  clear(): Promise<void>
  /** Makes the place that of a store that was opened once and has no rows. */
  fresh(): Promise<void>
  /** Opens the store there, as often as wanted. */
  open(options?: { readOnly?: boolean }): Promise<Store>
  /** Ends the engine. */
  close(): Promise<void>
}

/** Every adapter runs this. */
export function storeContract(bed: StoreBed): void {
  searchContract(bed)

  describe('contract', () => {
    let store: Store
    beforeEach(async () => {
      await bed.fresh()
      store = await bed.open()
    })
    afterEach(() => store.close())
    afterAll(() => bed.close())

    schemaContract(bed, () => store)
    directoryContract(() => store)
    sendersContract(() => store)
    usageContract(() => store)
    automaticContract(() => store)
    newMessagesContract(() => store)
    transactionContract(bed, () => store)
    listContract(() => store)
  })
}

function schemaContract(bed: StoreBed, store: () => Store): void {
  describe('the schema', () => {
    test('a second start finds its data; a reader needs no write', async () => {
      expect(await seedFirstStart(store(), { domain: 'mail.localhost', now: 1 })).toBe(true)
      expect(await seedFirstStart(store(), { domain: 'mail.localhost', now: 2 })).toBe(false)
      const reader = await bed.open({ readOnly: true })
      expect((await listTenants(reader)).map((tenant) => tenant.slug)).toEqual(['acme'])
      expect(await reasonOf(createTenant(reader, { slug: 'b', now: 1 }))).toBe('unavailable')
      await reader.close()
    })

    test('a newer schema is refused in words', async () => {
      await sql`insert into kysely_migration (name, timestamp) values ('9999-future', 'x')`.execute(store().kysely)
      for (const readOnly of [false, true]) {
        await expect(bed.open({ readOnly })).rejects.toThrow(/written by a newer version .*9999-future/)
      }
    })

    test('a reader of a store that was never opened is told what to do', async () => {
      await bed.clear()
      await expect(bed.open({ readOnly: true })).rejects.toThrow(/start the service first/)
    })
  })
}

function directoryContract(store: () => Store): void {
  describe('tenants, domains, mailboxes', () => {
    test.each([
      ['acme', 'none', 'a word'],
      ['a-1-b', 'none', 'words and dashes'],
      ['a'.repeat(63), 'none', 'at the limit'],
      ['a'.repeat(64), 'invalid', 'over the limit'],
      ['', 'invalid', 'empty'],
      ['Acme', 'invalid', 'upper case'],
      ['a--b', 'invalid', 'two dashes'],
      ['-a', 'invalid', 'dash first'],
      ['a/..', 'invalid', 'a path'],
    ])('slug %j: %s (%s)', async (slug, reason, _why) => {
      expect(await reasonOf(createTenant(store(), { slug, now: 1 }))).toBe(reason)
    })

    test('each refusal has its reason', async () => {
      await seedFirstStart(store(), { domain: 'mail.localhost', now: 1 })
      await createTenant(store(), { slug: 'b', now: 1 })
      await addDomain(store(), { domain: 'B.example', tenant: 'b', now: 1 })
      const refusals: [() => Promise<unknown>, string][] = [
        [() => createTenant(store(), { slug: 'acme', now: 1 }), 'conflict'],
        [() => updateTenant(store(), 'none', { enabled: false, now: 1 }), 'not_found'],
        [() => updateTenant(store(), 'acme', { sizeMax: Number.NaN, now: 1 }), 'invalid'],
        [() => addDomain(store(), { domain: 'b.example', tenant: null, now: 1 }), 'conflict'],
        [() => addDomain(store(), { domain: 'no domain', tenant: null, now: 1 }), 'invalid'],
        [() => addDomain(store(), { domain: 'c.example', tenant: 'none', now: 1 }), 'not_found'],
        [() => addMailbox(store(), { address: 'a@b.example', tenant: 'acme', now: 1 }), 'conflict'],
        [() => addMailbox(store(), { address: 'a@c.example', tenant: 'acme', now: 1 }), 'not_found'],
        [() => addMailbox(store(), { address: 'not an address', tenant: 'acme', now: 1 }), 'invalid'],
        [() => addMailbox(store(), { address: 'Postmaster@mail.localhost', tenant: 'acme', now: 1 }), 'conflict'],
        [() => removeDomain(store(), 'mail.localhost'), 'conflict'],
        [() => updateDomain(store(), 'none.example', { antiEnumeration: true, now: 1 }), 'not_found'],
        [() => updateDomain(store(), 'mail.localhost', { catchAll: 'no@mail.localhost', now: 1 }), 'not_found'],
        [() => updateDomain(store(), 'b.example', { catchAll: 'postmaster@mail.localhost', now: 1 }), 'conflict'],
        [() => removeTenant(store(), 'b'), 'conflict'],
        [() => removeTenant(store(), 'none'), 'not_found'],
      ]
      for (const [work, reason] of refusals) expect(await reasonOf(work())).toBe(reason)
    })

    test('a domain has options, one is changed alone, and its catch-all cannot go', async () => {
      await seedFirstStart(store(), { domain: 'mail.localhost', now: 1 })
      await addDomain(store(), { domain: 'B\u00fccher.example', tenant: 'acme', now: 1 })
      const catchAll = 'postmaster@mail.localhost'
      const change = { catchAll: 'PostMaster@mail.localhost', antiEnumeration: true, now: 2 }
      expect(await updateDomain(store(), 'b\u00fccher.example', change)).toMatchObject({
        domain: 'xn--bcher-kva.example',
        state: 'active',
        catchAll,
        antiEnumeration: true,
      })
      const options = await updateDomain(store(), 'xn--bcher-kva.example', { antiEnumeration: false, now: 3 })
      expect(options).toMatchObject({ catchAll, antiEnumeration: false, updatedAt: 3 })
      expect(await listDomains(store())).toContainEqual(options)
      expect(await reasonOf(removeMailbox(store(), catchAll))).toBe('conflict')
      await updateDomain(store(), 'xn--bcher-kva.example', { catchAll: null, now: 4 })
      expect(await reasonOf(removeMailbox(store(), catchAll))).toBe('none')
    })

    test('spellings of one mailbox are one', async () => {
      await createTenant(store(), { slug: 'acme', now: 1 })
      await addDomain(store(), { domain: 'B\u00fccher.example', tenant: 'acme', now: 1 })
      await addMailbox(store(), { address: 'Jos\u00e9@b\u00fccher.example', tenant: 'acme', now: 1 })
      const again = addMailbox(store(), { address: 'jose\u0301@XN--BCHER-KVA.example', tenant: 'acme', now: 1 })
      expect(await reasonOf(again)).toBe('conflict')
      expect(await reasonOf(removeMailbox(store(), 'JOSE\u0301@b\u00fccher.example'))).toBe('none')
    })

    test('every change raises the directory version, and no refusal does', async () => {
      const versions = [await directoryVersion(store())]
      const did = async (work: Promise<unknown>) => {
        await reasonOf(work)
        versions.push(await directoryVersion(store()))
      }
      await did(createTenant(store(), { slug: 'a', now: 1 }))
      await did(createTenant(store(), { slug: 'a', now: 1 }))
      await did(addDomain(store(), { domain: 'x.example', tenant: 'a', now: 1 }))
      await did(addMailbox(store(), { address: 'Ann@x.example', tenant: 'a', now: 1 }))
      await did(updateTenant(store(), 'a', { sizeMax: 4096, now: 2 }))
      const credential = { name: 'App-1', tenant: 'a', secretHash: 'h', sendAs: ['X.example', 'Ann@x.example'], now: 1 }
      await did(addCredential(store(), credential))
      await did(addCredential(store(), credential))
      await did(addCredential(store(), { ...credential, name: 'app-2' }))
      await did(revokeCredential(store(), 'app-2', 5))
      await did(revokeCredential(store(), 'app-2', 6))
      expect(versions).toEqual([0, 1, 1, 2, 3, 4, 5, 5, 6, 7, 7])
      const rows = []
      for await (const row of directoryRows(store())) rows.push(row)
      expect(rows).toMatchObject([
        { kind: 'tenant', slug: 'a', sizeMax: 4096, enabled: true },
        { kind: 'domain', domain: 'x.example', tenant: 'a', state: 'active', catchAll: null, antiEnumeration: false },
        { kind: 'mailbox', address: 'ann@x.example', tenant: 'a', enabled: true },
        { kind: 'credential', name: 'app-1', tenant: 'a', secretHash: 'h', sendAs: ['x.example', 'ann@x.example'] },
      ])
    })

    test('a revoked credential stays in the list, and its name is not given again', async () => {
      await createTenant(store(), { slug: 'a', now: 1 })
      const add = (change: { name?: string; tenant?: string; sendAs?: string[] } = {}) =>
        addCredential(store(), { name: 'app', tenant: 'a', secretHash: 'h', sendAs: [], now: 1, ...change })
      await add()
      await revokeCredential(store(), 'APP', 2)
      await revokeCredential(store(), 'app', 3)
      expect(await listCredentials(store(), { tenant: 'a' })).toMatchObject([{ name: 'app', revokedAt: 2 }])
      expect(await listCredentials(store(), { tenant: 'b' })).toEqual([])
      expect(await reasonOf(add())).toBe('conflict')
      expect(await reasonOf(add({ name: 'no blanks' }))).toBe('invalid')
      expect(await reasonOf(add({ name: 'b', tenant: 'none' }))).toBe('not_found')
      expect(await reasonOf(add({ name: 'b', sendAs: ['@'] }))).toBe('invalid')
      expect(await reasonOf(revokeCredential(store(), 'none', 1))).toBe('not_found')
      await add({ name: 'good' })
      expect(await reasonOf(removeTenant(store(), 'a'))).toBe('conflict')
      await revokeCredential(store(), 'good', 4)
      await removeTenant(store(), 'a')
    })
  })
}

/** Tries until it is done. SQLite waits for a lock without letting anything else run, so there is a pause in between. */
async function insist(work: () => Promise<unknown>): Promise<void> {
  while ((await reasonOf(work())) !== 'none') await sleep(5)
}

function transactionContract(bed: StoreBed, store: () => Store): void {
  test('a transaction is all or nothing, and the next one goes on', async () => {
    const broken = store().transaction(async (tx) => {
      await createTenant(tx, { slug: 'a', now: 1 })
      throw new Error('stop')
    })
    await expect(broken).rejects.toThrow('stop')
    expect(await listTenants(store())).toEqual([])
    await store().transaction((tx) => createTenant(tx, { slug: 'a', now: 1 }))
    expect(await listTenants(store())).toHaveLength(1)
  })

  test('writers that add to one number at once lose none', async () => {
    await createTenant(store(), { slug: 'a', now: 0 })
    const other = await bed.open()
    const version = await directoryVersion(store())
    const write = async (on: Store, n: number) => {
      const [domain, now] = [`d${n}.example`, n]
      await insist(() => on.transaction((tx) => addDomain(tx, { domain, tenant: 'a', now })))
    }
    await Promise.all(Array.from({ length: 40 }, (_, n) => write(n % 2 === 0 ? store() : other, n)))
    expect(await directoryVersion(store())).toBe(version + 40)
    await other.close()
  })

  test('what is held is decided by one transaction at a time', async () => {
    const other = await bed.open()
    const key = { tenant: 'a', source: 'EMAIL', headerMessageId: '<a@x>' }
    // The smallest entry id must win, whoever comes first: reading and then writing, as the indexer does.
    const claim = (on: Store, n: number) =>
      on.transaction(async (tx) => {
        await hold(tx, [keyName(key)])
        const found = await findKey(tx, key)
        // Time for another to read the same, if it were let in.
        await sleep(5)
        const entryId = `e${100 + n}`
        if (found !== undefined && found.entryId < entryId) return
        await claimKey(tx, { ...key, messageId: `m${n}`, entryId })
      })
    const tryClaim = async (on: Store, n: number) => {
      await insist(() => claim(on, n))
    }
    const order = [9, 3, 7, 0, 8, 1, 6, 4, 2, 5]
    await Promise.all(order.map((n) => tryClaim(n % 2 === 0 ? store() : other, n)))
    expect(await findKey(store(), key)).toMatchObject({ messageId: 'm0' })
    await other.close()
  })

  test('conversations that are joined from two sides at once become one', async () => {
    const other = await bed.open()
    const [here, there] = [farAway(store()), farAway(other)]
    const join = async (on: Store, ids: string[]) => {
      await insist(() => on.transaction((tx) => joinThread(tx, 'a', ids)))
    }
    for (let round = 0; round < 2; round++) {
      const id = (n: number) => `<${round}-${n}@x>`
      const pairs = Array.from({ length: 8 }, (_, n) => [id(n), id(n + 1)])
      await Promise.all(pairs.map((pair, n) => join(n % 2 === 0 ? here : there, pair)))
      const links = await store().kysely.selectFrom('threadIds').selectAll().execute()
      const names = new Set(links.filter((row) => row.headerId.startsWith(`<${round}-`)).map((row) => row.threadId))
      expect(names.size).toBe(1)
    }
    await other.close()
  })

  test('a checkpoint never goes back', async () => {
    const checkpoint = { group: 'g', topic: 't', partition: 0, eventTime: null, updatedAt: 1 }
    for (const offset of [5, 3, 7]) await store().transaction((tx) => saveCheckpoint(tx, { ...checkpoint, offset }))
    expect(await checkpointOf(store(), 'g', 't', 0)).toBe(7)
    expect(await checkpointOf(store(), 'g', 't', 1)).toBe(0)
  })

  test('a row that cannot be put in ends its transaction: nothing of it stays, whatever else was written', async () => {
    const job = { id: 'j', kind: 'replay', spec: {}, total: 3, now: 1 }
    const event = { id: 'e', type: 'ingest.received', subject: 'm' }
    await createJob(store(), job)
    const twice = store().transaction(async (tx) => {
      await enqueue(tx, [event], 1)
      await createJob(tx, job)
      await enqueue(tx, [{ ...event, id: 'f' }], 1)
    })
    expect(await reasonOf(twice)).toBe('conflict')
    expect(await nextOutbox(store(), 10)).toEqual([])
    expect(await store().transaction((tx) => checkpointOf(tx, 'g', 't', 0))).toBe(0)
  })

  test('jobs keep what they were asked', async () => {
    await createJob(store(), { id: 'j', kind: 'replay', spec: { a: 1 }, total: 3, now: 1 })
    expect(await getJob(store(), 'j')).toMatchObject({ spec: { a: 1 }, state: 'running', done: 0 })
    expect(await reasonOf(createJob(store(), { id: 'j', kind: 'replay', spec: {}, total: 3, now: 1 }))).toBe('conflict')
    expect(await reasonOf(getJob(store(), 'none'))).toBe('not_found')
  })

  test('a single runner gives what its work gives, and begins nothing once it is stopped', async () => {
    const on = store()
    const signal = new AbortController().signal
    expect(await on.singleRunner('job', async () => 5, signal)).toBe(5)
    await expect(on.singleRunner('job', () => Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken')
    expect(await on.singleRunner('job', async () => 6, signal)).toBe(6)
    const stopped = on.singleRunner('job', async () => 7, AbortSignal.abort(new Error('stopped')))
    await expect(stopped).rejects.toThrow('stopped')
  })
}

function listContract(store: () => Store): void {
  describe('lists', () => {
    test('pages by key, newest first, without gaps or repeats while rows come in', async () => {
      const save = (n: number) =>
        store().transaction((tx) => saveMessage(tx, draft(n, { receivedAt: Math.floor(n / 3) })))
      for (let n = 0; n < 20; n++) await save(n)
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await listMessages(
          store(),
          { tenant: 'acme' },
          { limit: 7, ...(cursor !== undefined && { cursor }) },
        )
        seen.push(...page.rows.map((row) => row.id))
        cursor = page.next
        await save(100 + seen.length)
      } while (cursor !== undefined)
      expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => draft(19 - n).id))
    })

    test.each([
      ['limit', { limit: 0 }],
      ['limit', { limit: 1001 }],
      ['limit', { limit: Number.NaN }],
      ['cursor', { limit: 1, cursor: 'nonsense' }],
    ])('a bad %s is refused: %j', async (_what, want) => {
      expect(await reasonOf(listMessages(store(), {}, want))).toBe('invalid')
    })

    test('events page in both directions', async () => {
      await store().transaction((tx) =>
        projectEvents(
          tx,
          [0, 1, 2, 3, 4].map((offset) => eventRow(offset)),
        ),
      )
      await store().transaction((tx) =>
        projectEvents(
          tx,
          [3, 4, 5].map((offset) => eventRow(offset)),
        ),
      )
      for (const newestFirst of [false, true]) {
        const first = await listEvents(store(), { tenant: 'acme' }, { limit: 4, newestFirst })
        const second = await listEvents(
          store(),
          {},
          { limit: 4, newestFirst, ...(first.next !== undefined && { cursor: first.next }) },
        )
        const offsets = [...first.rows, ...second.rows].map((event) => event.offset)
        expect(newestFirst ? offsets.reverse() : offsets).toEqual([0, 1, 2, 3, 4, 5])
        expect(second.next).toBeUndefined()
      }
    })

    test('a message that was announced and has no row is unaccounted for', async () => {
      const told = [0, 1, 2, 3].map((offset) =>
        eventRow(offset, { type: offset === 2 ? 'other' : 'ingest.received', subject: draft(offset).id }),
      )
      await store().transaction((tx) => projectEvents(tx, told))
      await store().transaction((tx) => saveMessage(tx, draft(1)))
      const place = { topic: 't', partition: 0 }
      const missing = async (from: number, until: number) =>
        (await unaccounted(store(), { ...place, from, until })).map(({ messageId }) => messageId)
      expect(await missing(0, 4)).toEqual([draft(0).id, draft(3).id])
      expect(await missing(1, 3)).toEqual([])
    })

    test('events go by the month, the old ones first, and come back when they are told again', async () => {
      const [old, last, young] = [Date.UTC(2024, 0, 31), Date.UTC(2024, 1, 29), Date.UTC(2024, 2, 1)]
      const rows = [old, last, young].map((appendedAt, n) => eventRow(n, { appendedAt }))
      await store().transaction((tx) => projectEvents(tx, rows))
      const left = async () => (await listEvents(store(), {}, { limit: 9 })).rows.map((row) => row.offset)
      expect(await dropEvents(store(), old)).toBe(0)
      expect(await dropEvents(store(), Date.UTC(2024, 1))).toBe(1)
      expect(await left()).toEqual([1, 2])
      expect(await dropEvents(store(), young)).toBe(1)
      expect(await dropEvents(store(), young)).toBe(0)
      expect(await left()).toEqual([2])
      await insist(() => store().transaction((tx) => projectEvents(tx, rows)))
      expect(await left()).toEqual([0, 1, 2])
    })

    test('messages are found by a flag, which is one word of several', async () => {
      const flags = [['no_date'], ['unscanned', 'no_date'], [], ['no_dates'], ['noxdate']]
      for (const [n, each] of flags.entries()) {
        await store().transaction((tx) => saveMessage(tx, draft(n, { flags: each })))
      }
      const found = async (flag: string) =>
        (await listMessages(store(), { flag }, { limit: 10 })).rows.map((row) => row.id)
      expect(await found('no_date')).toEqual([draft(1).id, draft(0).id])
      expect(await found('unscanned')).toEqual([draft(1).id])
      expect(await found('%')).toEqual([])
    })

    test('a mailbox is paged like any list, whatever else is asked of its messages', async () => {
      const recipients = (n: number) => [
        { address: 'all@x', mailbox: 'all@x' },
        ...(n % 4 === 0 ? [{ address: 'Some@x', mailbox: 'Some@x' }] : []),
      ]
      for (let n = 0; n < 40; n++) {
        const status = n % 10 === 0 ? 'FAILED' : 'PARSED'
        const receivedAt = Math.floor(n / 3)
        await store().transaction((tx) => saveMessage(tx, draft(n, { status, receivedAt, recipients: recipients(n) })))
      }
      const pages = async (filter: MessageFilter, limit: number) => {
        const seen: string[] = []
        for (let cursor: string | undefined; ;) {
          const page = await listMessages(store(), filter, { limit, ...(cursor !== undefined && { cursor }) })
          seen.push(...page.rows.map((row) => row.id))
          if (page.next === undefined) return seen
          cursor = page.next
        }
      }
      const ids = (keeps: (n: number) => boolean) =>
        Array.from({ length: 40 }, (_, n) => 39 - n)
          .filter(keeps)
          .map((n) => draft(n).id)
      expect(await pages({ mailbox: 'some@x' }, 3)).toEqual(ids((n) => n % 4 === 0))
      expect(await pages({ mailbox: 'ALL@x', status: 'FAILED' }, 1)).toEqual(ids((n) => n % 10 === 0))
      expect(await pages({ mailbox: 'some@x', from: 3, until: 10 }, 2)).toEqual(
        ids((n) => n % 4 === 0 && n >= 9 && n < 30),
      )
      expect(await pages({ mailbox: 'none@x' }, 3)).toEqual([])
    })
  })

  test('order is that of the bytes, whatever the language of the database', async () => {
    await seedFirstStart(store(), { domain: 'x', now: 1 })
    for (const local of ['a_b', 'a1', 'ab', 'a.b'])
      await addMailbox(store(), { address: `${local}@x`, tenant: 'acme', now: 1 })
    const want = ['a.b@x', 'a1@x', 'a_b@x', 'ab@x', 'postmaster@x']
    expect((await listMailboxes(store())).map((row) => row.address)).toEqual(want)
    const rest = await listMailboxes(store(), { after: 'a1@x', limit: 2 })
    expect(rest.map((row) => row.address)).toEqual(want.slice(2, 4))
  })

  test('numbers, absent values and every character but NUL come back as they went', async () => {
    const sizeBytes = 2 ** 45
    const sent = draft(1, {
      sizeBytes,
      subject: "ü \u{1f389} \\ ' % _",
      detail: { message: 'a\0b', n: 1 },
      reason: 'x',
    })
    await store().transaction((tx) => saveMessage(tx, sent))
    const { syntheticBase: _, ...want } = sent
    expect(await getMessage(store(), sent.id)).toEqual({ ...want, synthetic: false })
    expect(await countByStatus(store())).toMatchObject({ PARSED: 1, FAILED: 0 })
    await store().transaction((tx) => saveMessage(tx, draft(2, { subject: 'a\0b', receivedAt: 5 })))
    expect((await listMessages(store(), {}, { limit: 5 })).rows).toHaveLength(2)
  })

  test('a message that is saved again keeps its place', async () => {
    const save = (change: object) => store().transaction((tx) => saveMessage(tx, draft(1, change)))
    const place = await save({ status: 'STORED' })
    expect(await save({ subject: 'again' })).toEqual(place)
    expect((await listMessages(store(), {}, { limit: 5 })).rows).toMatchObject([{ status: 'PARSED', subject: 'again' }])
  })

  test('messages of every age have their place', async () => {
    const times = [
      0,
      Date.UTC(1999, 11, 31, 23, 59, 59, 999),
      Date.UTC(2000, 0),
      Date.UTC(2026, 10, 21),
      Date.UTC(2027, 0),
    ]
    for (const [n, receivedAt] of times.entries()) {
      await store().transaction((tx) => saveMessage(tx, draft(n, { receivedAt })))
    }
    const { rows } = await listMessages(store(), { until: Date.UTC(2027, 0) }, { limit: 10 })
    expect(rows.map((row) => row.receivedAt)).toEqual(times.slice(0, 4).reverse())
  })
}
