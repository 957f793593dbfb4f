import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import Database from 'better-sqlite3'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openNodeQuotas } from './node-quotas.ts'
import { exceeded, quotaLevel, quotaShares, type Quotas, type Usage } from './quotas.ts'
import { refreshUsage, UsageRefresher, type UsageSource } from './usage-refresher.ts'

const DAY_MS = 86_400_000
const NONE: Quotas = { messagesPerDay: null, bytesPerDay: null, storedBytes: null }
const NOTHING: Usage = { messages: 0, bytes: 0, storedBytes: 0 }

describe('what fits', () => {
  test.each<[Partial<Quotas>, Partial<Usage>, number, string | undefined, string]>([
    [{}, { messages: 1e9, bytes: 1e15, storedBytes: 1e15 }, 1e9, undefined, 'no quota'],
    [{ messagesPerDay: 10 }, { messages: 9, bytes: 1e9 }, 1e9, undefined, 'the last message'],
    [{ messagesPerDay: 10 }, { messages: 10 }, 0, 'messagesPerDay', 'one too many'],
    [{ bytesPerDay: 100 }, { bytes: 60, messages: 1e6 }, 40, undefined, 'the last bytes'],
    [{ bytesPerDay: 100 }, { bytes: 60 }, 41, 'bytesPerDay', 'a byte too many, as declared'],
    [{ bytesPerDay: 100 }, { bytes: 99 }, 0, undefined, 'undeclared, and there is room for something'],
    [{ bytesPerDay: 100 }, { bytes: 100 }, 0, 'bytesPerDay', 'undeclared, and there is no room'],
    [{ storedBytes: 100 }, { storedBytes: 60, bytes: 1e9 }, 41, 'storedBytes', 'kept from other days'],
    [{ messagesPerDay: 10, storedBytes: 1 }, { storedBytes: 2 }, 0, 'storedBytes', 'each holds by itself'],
  ])('%j, used %j, one of %d: %s (%s)', (quotas, usage, bytes, want, _why) => {
    expect(exceeded({ ...NONE, ...quotas }, { ...NOTHING, ...usage }, bytes)).toBe(want)
  })

  test.each<[Partial<Quotas>, Partial<Usage>, string]>([
    [{}, { messages: 1e9 }, 'ok'],
    [{ messagesPerDay: 10 }, { messages: 7 }, 'ok'],
    [{ messagesPerDay: 10 }, { messages: 8 }, 'near'],
    [{ messagesPerDay: 10 }, { messages: 10 }, 'over'],
    [{ messagesPerDay: 10, storedBytes: 100 }, { messages: 1, storedBytes: 81 }, 'near'],
    [{ messagesPerDay: 10, bytesPerDay: 100 }, { messages: 8, bytes: 101 }, 'over'],
  ])('%j, used %j: %s', (quotas, usage, want) => {
    expect(quotaLevel({ ...NONE, ...quotas }, { ...NOTHING, ...usage })).toBe(want)
  })

  test('shares are of each quota that there is', () => {
    const usage = { messages: 5, bytes: 1, storedBytes: 30 }
    expect(quotaShares({ ...NONE, messagesPerDay: 10, storedBytes: 20 }, usage)).toEqual({
      messagesPerDay: 0.5,
      bytesPerDay: null,
      storedBytes: 1.5,
    })
  })
})

/** A node and a store that counts by itself; both go by the same clock. */
function node(sleep = async (): Promise<void> => Promise.reject(new Error('not here'))) {
  const folder = mkdtempSync(join(tmpdir(), 'quotas-'))
  const path = join(folder, 'usage.db')
  const log: string[] = []
  const note = (fields: Record<string, unknown>, text: string) =>
    void log.push(`${fields['tenant'] === undefined ? '' : 'acme: '}${text}`)
  const time = { now: 20_000 * DAY_MS + 1000, monotonic: 0 }
  const clock = {
    now: () => time.now,
    monotonic: () => (time.monotonic += 1000),
    sleep,
  }
  const store = {
    away: false,
    quotas: { ...NONE },
    tenants: ['acme'],
    indexed: new Map<string, { day: number; bytes: number }>(),
    asked: 0,
  }
  const source: UsageSource = {
    async *limited(day) {
      if (store.away) throw new Error('out of reach')
      const all = [...store.indexed.values()]
      const today = all.filter((each) => each.day === day)
      const sum = (some: typeof all) => some.reduce((total, { bytes }) => total + bytes, 0)
      if (Object.values(store.quotas).every((quota) => quota === null)) return
      const usage = { messages: today.length, bytes: sum(today), storedBytes: sum(all) }
      for (const tenant of store.tenants) yield { tenant, quotas: store.quotas, usage }
    },
    counted: async (ids) => {
      store.asked += ids.length
      return ids.filter((id) => store.indexed.has(id))
    },
  }
  const lines = { info: note, warn: note }
  const registry = new Registry()
  const refresher = new UsageRefresher({ path, source, clock, log: lines, registry, everyMs: 1 })
  const open = () => {
    const opened = openNodeQuotas({ path, clock, log: lines })
    onTestFinished(() => opened.close())
    return opened
  }
  onTestFinished(() => {
    refresher.close()
    rmSync(folder, { recursive: true })
  })
  const day = () => Math.floor(time.now / DAY_MS)
  const index = (...ids: string[]) => ids.forEach((id) => store.indexed.set(id, { day: day(), bytes: 100 }))
  return { path, log, time, store, refresher, registry, open, index }
}

const mail = (messageId: string, receivedAtMs: number) => ({ messageId, tenant: 'acme', sizeBytes: 100, receivedAtMs })

describe('a node', () => {
  test('counts what it accepts until the store has counted it, and never twice', async () => {
    const { time, store, refresher, open, index } = node()
    store.quotas = { ...NONE, messagesPerDay: 4 }
    index('x')
    await refresher.look()
    const quotas = open()
    for (const id of ['a', 'b', 'b']) quotas.accepted(mail(id, time.now))
    expect(quotas.hasRoom('acme', 0)).toBe(true)
    index('a', 'b')
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(true)
    quotas.accepted(mail('c', time.now))
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    index('c')
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    expect(quotas.hasRoom('other', 1e9)).toBe(true)
  })

  test('knows after a start what it accepted before', async () => {
    const { time, store, refresher, open } = node()
    store.quotas = { ...NONE, bytesPerDay: 250 }
    await refresher.look()
    const before = open()
    before.accepted(mail('a', time.now))
    before.accepted(mail('b', time.now))
    before.close()
    expect(before.hasRoom('acme', 1e9)).toBe(true)
    const after = open()
    expect(after.hasRoom('acme', 50)).toBe(true)
    expect(after.hasRoom('acme', 51)).toBe(false)
  })

  test('goes by the last count and its own while the store is away, and begins a new day without it', async () => {
    const { log, time, store, refresher, registry, open, index } = node()
    store.quotas = { messagesPerDay: 3, bytesPerDay: null, storedBytes: 501 }
    index('x')
    await refresher.look()
    store.away = true
    const quotas = open()
    await refresher.look()
    await refresher.look()
    for (const id of ['a', 'b']) quotas.accepted(mail(id, time.now))
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    time.now += DAY_MS
    expect(quotas.hasRoom('acme', 0)).toBe(true)
    for (const id of ['c', 'd']) quotas.accepted(mail(id, time.now))
    expect(quotas.hasRoom('acme', 1)).toBe(true)
    expect(quotas.hasRoom('acme', 2)).toBe(false)
    expect(log.filter((line) => line.includes('not refreshed'))).toHaveLength(1)
    expect(await registry.metrics()).toContain('mail_ingest_quota_refresh_problem 1')
    store.away = false
    await refresher.look()
    expect(log.at(-1)).toContain('again')
    expect(await registry.metrics()).toContain('mail_ingest_quota_refresh_problem 0')
  })

  test('quotas that are set, changed and taken off hold with the next look', async () => {
    const { store, refresher, open, index } = node()
    index('x', 'y')
    await refresher.look()
    const quotas = open()
    expect(quotas.hasRoom('acme', 0)).toBe(true)
    store.quotas = { ...NONE, messagesPerDay: 2 }
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    store.quotas = { ...NONE, messagesPerDay: 3 }
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(true)
    store.quotas = { ...NONE, bytesPerDay: 200 }
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    store.quotas = NONE
    await refresher.look()
    expect(quotas.hasRoom('acme', 1e12)).toBe(true)
  })

  test('a tenant that is near or over is told of once a day, not for each refusal', async () => {
    const { log, time, store, refresher, registry, open, index } = node()
    store.quotas = { ...NONE, messagesPerDay: 5 }
    index('x', 'y', 'z')
    await refresher.look()
    const quotas = open()
    quotas.accepted(mail('a', time.now))
    quotas.accepted(mail('b', time.now))
    for (let times = 0; times < 5; times++) quotas.hasRoom('acme', 0)
    expect(log).toEqual(['acme: tenant has used most of its quota', 'acme: tenant is over its quota'])
    index('a', 'b')
    await refresher.look()
    expect(await registry.metrics()).toContain('mail_ingest_quota_tenants{level="over"} 1')
    time.now += DAY_MS
    index('1', '2', '3', '4', '5')
    await refresher.look()
    for (let times = 0; times < 5; times++) quotas.hasRoom('acme', 0)
    expect(log).toHaveLength(3)
  })

  test('many that wait: those that never arrive hold up none behind them, and go after a week', async () => {
    const { path, time, store, refresher, open, index } = node()
    store.quotas = { ...NONE, messagesPerDay: 1_000_000 }
    await refresher.look()
    const quotas = open()
    const db = new Database(path)
    onTestFinished(() => void db.close())
    const left = () => db.prepare('SELECT count(*) FROM accepted').pluck().get()
    const lost = Array.from({ length: 1500 }, (_each, n) => `lost${n}`)
    const good = Array.from({ length: 2500 }, (_each, n) => `good${n}`)
    db.exec('BEGIN')
    const put = db.prepare('INSERT INTO accepted (message_id, tenant, day, bytes) VALUES (?, ?, ?, 100)')
    for (const id of [...lost, ...good]) put.run(id, 'acme', Math.floor(time.now / DAY_MS))
    db.exec('COMMIT')
    index(...good)
    for (let looks = 0; looks < 6; looks++) await refresher.look()
    expect(left()).toBe(1500)
    expect(db.prepare('SELECT messages, bytes FROM own').all()).toEqual([{ messages: 1500, bytes: 150_000 }])
    time.now += 8 * DAY_MS
    await refresher.look()
    expect(left()).toBe(0)
    expect(db.prepare('SELECT * FROM own').all()).toEqual([])
    expect(quotas.hasRoom('acme', 0)).toBe(true)
  })

  test('an idle look writes nothing, and asks for no lock that smtpd would wait for', async () => {
    const { path, log, store, refresher, index } = node()
    store.tenants = ['acme', 'beta']
    store.quotas = { ...NONE, messagesPerDay: 5 }
    index('x')
    await refresher.look()
    const other = new Database(path)
    onTestFinished(() => void other.close())
    const version = () => other.pragma('data_version', { simple: true })
    const size = () => statSync(`${path}-wal`).size
    const before = { version: version(), size: size() }
    other.exec('BEGIN IMMEDIATE')
    for (let looks = 0; looks < 3; looks++) await refresher.look()
    other.exec('COMMIT')
    expect(log).toEqual([])
    expect({ version: version(), size: size() }).toEqual(before)
    index('y')
    await refresher.look()
    expect(version()).not.toBe(before.version)
    expect(size()).toBeGreaterThan(before.size)
  })

  test('a look writes the rows that differ, and no other', async () => {
    const { path, store, refresher } = node()
    store.tenants = ['acme', 'beta']
    store.quotas = { ...NONE, messagesPerDay: 5 }
    await refresher.look()
    const other = new Database(path)
    onTestFinished(() => void other.close())
    other.exec(`CREATE TABLE touched (what TEXT);
      CREATE TRIGGER put AFTER INSERT ON usage BEGIN INSERT INTO touched VALUES ('put ' || new.tenant); END;
      CREATE TRIGGER changed AFTER UPDATE ON usage BEGIN INSERT INTO touched VALUES ('changed ' || new.tenant); END;
      CREATE TRIGGER gone AFTER DELETE ON usage BEGIN INSERT INTO touched VALUES ('gone ' || old.tenant); END`)
    const touched = () => other.prepare('DELETE FROM touched RETURNING what').pluck().all()
    store.tenants = ['acme', 'beta', 'new']
    await refresher.look()
    expect(touched()).toEqual(['put new'])
    store.tenants = ['beta', 'new']
    await refresher.look()
    expect(touched()).toEqual(['gone acme'])
    store.quotas = { ...NONE, messagesPerDay: 5, storedBytes: 7 }
    await refresher.look()
    expect(touched()).toEqual(['changed beta', 'changed new'])
    expect(
      other.prepare('SELECT DISTINCT messages_per_day, bytes_per_day, stored_bytes_max FROM usage').raw().all(),
    ).toEqual([[5, null, 7]])
  })
})

describe('the file', () => {
  test('that is being written holds nobody up, and what came meanwhile counts', async () => {
    const { path, time, store, refresher, open } = node()
    store.quotas = { ...NONE, messagesPerDay: 2 }
    await refresher.look()
    const quotas = open()
    expect(quotas.hasRoom('acme', 0)).toBe(true)
    const other = new Database(path)
    onTestFinished(() => void other.close())
    other.exec('BEGIN IMMEDIATE')
    quotas.accepted(mail('a', time.now))
    quotas.accepted(mail('b', time.now))
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    other.exec('COMMIT')
    quotas.accepted(mail('c', time.now))
    expect(other.prepare('SELECT messages FROM own').pluck().get()).toBe(3)
  })

  test('that is no database takes no mail away: quotas are not held, which is told once, until it is removed', async () => {
    const { path, log, store, refresher, open } = node()
    store.quotas = { ...NONE, messagesPerDay: 1 }
    writeFileSync(path, 'x'.repeat(10_000))
    const quotas = open()
    await refresher.look()
    for (let times = 0; times < 3; times++) expect(quotas.hasRoom('acme', 0)).toBe(true)
    expect(log).toHaveLength(2)
    rmSync(path)
    await refresher.look()
    store.indexed.set('x', { day: 20_000, bytes: 1 })
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(false)
  })

  test('that was removed is made anew, and both sides take the new one', async () => {
    const { path, time, store, refresher, open, index } = node()
    store.quotas = { ...NONE, messagesPerDay: 2 }
    await refresher.look()
    const quotas = open()
    quotas.accepted(mail('a', time.now))
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`)
    index('a')
    await refresher.look()
    quotas.accepted(mail('b', time.now))
    expect(quotas.hasRoom('acme', 0)).toBe(false)
    index('b')
    await refresher.look()
    store.quotas = { ...NONE, messagesPerDay: 3 }
    await refresher.look()
    expect(quotas.hasRoom('acme', 0)).toBe(true)
  })

  test('is its owner and its group to write', async () => {
    const { path, refresher } = node()
    await refresher.look()
    expect(statSync(path).mode & 0o777).toBe(0o660)
  })
})

test('the loop looks at its intervals and ends when it is told to', async () => {
  const stop = new AbortController()
  let slept = 0
  const { refresher } = node(async () => {
    slept += 1
    if (slept === 2) stop.abort()
  })
  await refreshUsage(refresher, stop.signal)
  expect(slept).toBe(2)
})
