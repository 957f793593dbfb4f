import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSqliteStore } from './sqlite.ts'
import {
  addDomain,
  addMailbox,
  checkpointOf,
  createJob,
  createTenant,
  directoryRows,
  directoryVersion,
  getJob,
  indexText,
  listEvents,
  listMessages,
  listTenants,
  MESSAGE_MOVES,
  nextStatus,
  parseQuery,
  projectEvents,
  removeDomain,
  removeTenant,
  saveCheckpoint,
  saveMessage,
  searchMessages,
  seedFirstStart,
  StoreError,
  updateTenant,
  type MessageDraft,
  type Store,
} from './store.ts'

let dir: string
let store: Store
const file = () => join(dir, 'store.db')
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'store-'))
  store = await openSqliteStore({ file: file() })
})
afterEach(async () => {
  await store.close()
  rmSync(dir, { recursive: true })
})

const reasonOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof StoreError ? error.reason : String(error)),
  )

const draft = (n: number, change: Partial<MessageDraft> = {}): MessageDraft => ({
  id: `m${String(n).padStart(6, '0')}`,
  entryId: `e${n}`,
  tenant: 'acme',
  mailbox: 'a@x',
  recipients: [{ address: 'a@x', mailbox: 'a@x' }],
  source: 'EMAIL',
  status: 'PARSED',
  reason: null,
  detail: null,
  headerMessageId: `<${n}@x>`,
  syntheticBase: null,
  duplicateOf: null,
  forced: false,
  threadId: null,
  subject: 's',
  from: [],
  to: [],
  cc: [],
  date: null,
  receivedAt: 1000 + n,
  indexedAt: 0,
  sizeBytes: 100 * n,
  sha256: 'f'.repeat(64),
  traceId: `t${n}`,
  rawKey: 'r',
  metaKey: 'm',
  mailFrom: '',
  clientAddress: '',
  snippet: '',
  flags: [],
  parser: 'p',
  attachmentCount: n % 2,
  contentHash: null,
  ...change,
})

describe('the schema', () => {
  test('a second start finds its data; a reader needs no write', async () => {
    expect(await seedFirstStart(store, { domain: 'mail.localhost', now: 1 })).toBe(true)
    expect(await seedFirstStart(store, { domain: 'mail.localhost', now: 2 })).toBe(false)
    const reader = await openSqliteStore({ file: file(), readOnly: true })
    expect((await listTenants(reader)).map((tenant) => tenant.slug)).toEqual(['acme'])
    expect(await reasonOf(createTenant(reader, { slug: 'b', now: 1 }))).toBe('unavailable')
    await reader.close()
  })

  test('two programs that start together migrate once', async () => {
    const program = `import('${import.meta.dirname}/sqlite.ts')
      .then(({ openSqliteStore }) => openSqliteStore({ file: ${JSON.stringify(join(dir, 'other.db'))} }))
      .then((store) => store.close())`
    const start = () => promisify(execFile)(process.execPath, ['-e', program])
    await Promise.all([start(), start(), start()])
  })

  test('a newer schema is refused in words', async () => {
    const raw = new Database(file())
    raw.exec("insert into kysely_migration (name, timestamp) values ('9999-future', 'x')")
    raw.close()
    for (const readOnly of [false, true]) {
      await expect(openSqliteStore({ file: file(), readOnly })).rejects.toThrow(
        /written by a newer version .*9999-future/,
      )
    }
  })

  test('a reader of a store that is not there is told what to do', async () => {
    const missing = openSqliteStore({ file: join(dir, 'none.db'), readOnly: true })
    await expect(missing).rejects.toThrow(/there is no store at .*start the service first/)
  })

  test('commits are synced and the log is shared', () => {
    const raw = new Database(file(), { readonly: true })
    expect(raw.pragma('journal_mode', { simple: true })).toBe('wal')
    raw.close()
  })
})

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
    expect(await reasonOf(createTenant(store, { slug, now: 1 }))).toBe(reason)
  })

  test('each refusal has its reason', async () => {
    await seedFirstStart(store, { domain: 'mail.localhost', now: 1 })
    await createTenant(store, { slug: 'b', now: 1 })
    await addDomain(store, { domain: 'B.example', tenant: 'b', now: 1 })
    const refusals: [Promise<unknown>, string][] = [
      [createTenant(store, { slug: 'acme', now: 1 }), 'conflict'],
      [updateTenant(store, 'none', { enabled: false, now: 1 }), 'not_found'],
      [updateTenant(store, 'acme', { sizeMax: Number.NaN, now: 1 }), 'invalid'],
      [addDomain(store, { domain: 'b.example', tenant: null, now: 1 }), 'conflict'],
      [addDomain(store, { domain: 'no domain', tenant: null, now: 1 }), 'invalid'],
      [addDomain(store, { domain: 'c.example', tenant: 'none', now: 1 }), 'not_found'],
      [addMailbox(store, { address: 'a@b.example', tenant: 'acme', now: 1 }), 'conflict'],
      [addMailbox(store, { address: 'a@c.example', tenant: 'acme', now: 1 }), 'not_found'],
      [addMailbox(store, { address: 'not an address', tenant: 'acme', now: 1 }), 'invalid'],
      [addMailbox(store, { address: 'Postmaster@mail.localhost', tenant: 'acme', now: 1 }), 'conflict'],
      [removeDomain(store, 'mail.localhost'), 'conflict'],
      [removeTenant(store, 'b'), 'conflict'],
      [removeTenant(store, 'none'), 'not_found'],
    ]
    for (const [work, reason] of refusals) expect(await reasonOf(work)).toBe(reason)
  })

  test('every change raises the directory version, and no refusal does', async () => {
    const versions = [await directoryVersion(store)]
    const did = async (work: Promise<unknown>) => {
      await reasonOf(work)
      versions.push(await directoryVersion(store))
    }
    await did(createTenant(store, { slug: 'a', now: 1 }))
    await did(createTenant(store, { slug: 'a', now: 1 }))
    await did(addDomain(store, { domain: 'x.example', tenant: 'a', now: 1 }))
    await did(addMailbox(store, { address: 'Ann@x.example', tenant: 'a', now: 1 }))
    await did(updateTenant(store, 'a', { sizeMax: 4096, now: 2 }))
    expect(versions).toEqual([0, 1, 1, 2, 3, 4])
    const rows = []
    for await (const row of directoryRows(store)) rows.push(row)
    expect(rows).toMatchObject([
      { kind: 'tenant', slug: 'a', sizeMax: 4096, enabled: true },
      { kind: 'domain', domain: 'x.example', tenant: 'a', state: 'active' },
      { kind: 'mailbox', address: 'ann@x.example', tenant: 'a', enabled: true },
    ])
  })
})

test('a transaction is all or nothing, and the next one goes on', async () => {
  const broken = store.transaction(async (tx) => {
    await createTenant(tx, { slug: 'a', now: 1 })
    throw new Error('stop')
  })
  await expect(broken).rejects.toThrow('stop')
  expect(await listTenants(store)).toEqual([])
  await store.transaction((tx) => createTenant(tx, { slug: 'a', now: 1 }))
  expect(await listTenants(store)).toHaveLength(1)
})

test('another connection’s lock is `unavailable`, and passes', async () => {
  const other = new Database(file())
  other.exec('begin immediate')
  expect(await reasonOf(createTenant(store, { slug: 'a', now: 1 }))).toBe('unavailable')
  expect(await reasonOf(store.transaction((tx) => createTenant(tx, { slug: 'a', now: 1 })))).toBe('unavailable')
  expect(await listTenants(store)).toEqual([])
  other.exec('rollback')
  other.close()
  expect(await reasonOf(createTenant(store, { slug: 'a', now: 1 }))).toBe('none')
})

test('a transaction that reads first may still write: it holds the write lock from its beginning', async () => {
  const other = new Database(file(), { timeout: 0 })
  await store.transaction(async (tx) => {
    await listTenants(tx)
    expect(() => other.exec("insert into tenants values ('x', 'x', null, 1, 1, 1)")).toThrow('locked')
    await createTenant(tx, { slug: 'a', now: 1 })
  })
  other.close()
  expect(await listTenants(store)).toHaveLength(1)
})

test('a checkpoint never goes back', async () => {
  const checkpoint = { group: 'g', topic: 't', partition: 0, eventTime: null, updatedAt: 1 }
  for (const offset of [5, 3, 7]) await store.transaction((tx) => saveCheckpoint(tx, { ...checkpoint, offset }))
  expect(await checkpointOf(store, 'g', 't', 0)).toBe(7)
  expect(await checkpointOf(store, 'g', 't', 1)).toBe(0)
})

test('jobs keep what they were asked', async () => {
  await createJob(store, { id: 'j', kind: 'replay', spec: { a: 1 }, total: 3, now: 1 })
  expect(await getJob(store, 'j')).toMatchObject({ spec: { a: 1 }, state: 'running', done: 0 })
  expect(await reasonOf(createJob(store, { id: 'j', kind: 'replay', spec: {}, total: 3, now: 1 }))).toBe('conflict')
  expect(await reasonOf(getJob(store, 'none'))).toBe('not_found')
})

describe('states (R17)', () => {
  test.each([
    ['RECEIVED', 'consumed', 'STORED'],
    ['RECEIVED', 'parsed', 'PARSED'],
    ['STORED', 'gave_up', 'FAILED'],
    ['STORED', 'quarantined', 'QUARANTINED'],
    ['STORED', 'repeated', 'DUPLICATE'],
    ['QUARANTINED', 'parsed', 'PARSED'],
    ['FAILED', 'parsed', 'PARSED'],
    ['PARSED', 'demoted', 'DUPLICATE'],
    ['DUPLICATE', 'forced', 'PARSED'],
    ['DUPLICATE', 'promoted', 'STORED'],
    ['PARSED', 'gave_up', undefined],
    ['PARSED', 'consumed', undefined],
    ['PARSED', 'promoted', undefined],
    ['QUARANTINED', 'demoted', undefined],
    ['DUPLICATE', 'gave_up', undefined],
  ] as const)('%s, %s: %s', (from, move, to) => expect(nextStatus(from, move)).toBe(to))

  test('every move leads somewhere from somewhere', () => {
    const froms = ['RECEIVED', 'STORED', 'PARSED', 'QUARANTINED', 'FAILED', 'DUPLICATE'] as const
    expect(MESSAGE_MOVES.filter((move) => !froms.some((from) => nextStatus(from, move)))).toEqual([])
  })
})

describe('lists', () => {
  test('pages by key, newest first, without gaps or repeats while rows come in', async () => {
    const save = (n: number) => store.transaction((tx) => saveMessage(tx, draft(n, { receivedAt: Math.floor(n / 3) })))
    for (let n = 0; n < 20; n++) await save(n)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await listMessages(store, { tenant: 'acme' }, { limit: 7, ...(cursor !== undefined && { cursor }) })
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
    expect(await reasonOf(listMessages(store, {}, want))).toBe('invalid')
  })

  test('events page in both directions', async () => {
    const row = (offset: number) => ({
      topic: 't',
      partition: 0,
      offset,
      id: `i${offset}`,
      type: 'x',
      subject: 'm',
      tenant: 'acme',
      entryId: null,
      time: 5,
      traceId: 't',
      source: 's',
      replayId: null,
      data: {},
    })
    await store.transaction((tx) => projectEvents(tx, [0, 1, 2, 3, 4].map(row)))
    await store.transaction((tx) => projectEvents(tx, [3, 4, 5].map(row)))
    for (const newestFirst of [false, true]) {
      const first = await listEvents(store, { tenant: 'acme' }, { limit: 4, newestFirst })
      const second = await listEvents(
        store,
        {},
        { limit: 4, newestFirst, ...(first.next !== undefined && { cursor: first.next }) },
      )
      const offsets = [...first.rows, ...second.rows].map((event) => event.offset)
      expect(newestFirst ? offsets.reverse() : offsets).toEqual([0, 1, 2, 3, 4, 5])
      expect(second.next).toBeUndefined()
    }
  })
})

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
  beforeEach(async () => {
    for (const [n, { subj = '', sender = '', body = '', files = '' }] of MAILS.entries()) {
      await store.transaction(async (tx) => {
        const { seq } = await saveMessage(tx, draft(n, { tenant: n === 3 ? 'other' : 'acme' }))
        await indexText(tx, seq, { subject: subj, sender, recipients: 'orders@x', filenames: files, body })
      })
    }
  })

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

describe('costs stay flat', () => {
  const plan = (raw: Database.Database, text: string) =>
    (raw.prepare(`explain query plan ${text}`).all() as { detail: string }[]).map((row) => row.detail).join('; ')

  test.each([
    ['all', 'select * from messages order by received_at desc, id desc limit 50'],
    ['a tenant', "select * from messages where tenant = 'a' order by received_at desc, id desc limit 50"],
    [
      'a tenant and status',
      "select * from messages where tenant = 'a' and status = 'FAILED' order by received_at desc, id desc limit 50",
    ],
    ['a status', "select * from messages where status = 'FAILED' order by received_at desc, id desc limit 50"],
    [
      'a page of a tenant',
      "select * from messages where tenant = 'a' and (received_at, id) < (5, 'x') order by received_at desc, id desc limit 50",
    ],
    ['an entry', "select * from messages where entry_id = 'x'"],
    ['any id', "select * from messages where id = 'x' or entry_id = 'x' or trace_id = 'x' or header_message_id = 'x'"],
    ['a mailbox', "select message_id from message_mailboxes where mailbox = 'a'"],
    ['a thread', "select * from messages where tenant = 'a' and thread_id = 't'"],
    ['duplicates', "select * from messages where duplicate_of = 'x' order by entry_id limit 1"],
    ['events of a message', "select * from events where subject = 'x'"],
    [
      'events of a tenant',
      "select * from events where tenant = 'a' order by time, topic, partition, log_offset limit 50",
    ],
    ['events from an offset', "select * from events where topic = 't' and partition = 0 and log_offset >= 5"],
  ])('%s: no table is scanned', (_what, text) => {
    const raw = new Database(file(), { readonly: true })
    const said = plan(raw, text)
    raw.close()
    expect(said).not.toMatch(/SCAN \w+(;|$)/)
    if (text.includes('order by')) {
      expect(said).toMatch(/USING (COVERING )?INDEX/)
      expect(said).not.toMatch(/TEMP B-TREE/)
    }
  })
})
