import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NO_POLICY } from '../envelope/envelope.ts'
import type { DirectoryRow, Route } from './directory.ts'
import { openDirectory, writeSnapshot, type SnapshotDirectory } from './snapshot.ts'

let dir = ''
let path = ''
let nowMs = 0
let warnings: string[] = []
let directory: SnapshotDirectory

const tenant = (slug: string): DirectoryRow => ({ kind: 'tenant', slug, sizeMax: null, enabled: true })
const rows = (...slugs: string[]): DirectoryRow[] => [
  ...slugs.map(tenant),
  {
    kind: 'domain',
    domain: 'Acme.example',
    tenant: 'acme',
    state: 'active',
    catchAll: 'Ann@acme.example',
    antiEnumeration: true,
  },
  { kind: 'mailbox', address: 'Ann@acme.example', tenant: 'acme', enabled: true },
]

const ask = (slug: string): Route['kind'] => {
  nowMs += 200
  return directory.route({ local: `orders+${slug}`, domain: 'mail.example', text: '' }).kind
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'directory-'))
  path = join(dir, 'directory.db')
  warnings = []
  directory = openDirectory({
    path,
    clock: { monotonic: () => nowMs },
    log: { info: () => undefined, warn: (_fields, message) => void warnings.push(message) },
    hostedDomain: 'mail.example',
    plusPrefix: 'orders',
    postmaster: { local: 'postmaster', domain: 'mail.example', text: 'postmaster@mail.example' },
  })
})

afterEach(() => {
  directory.close()
  rmSync(dir, { recursive: true })
})

describe('snapshot', () => {
  test('without any, the answer is temporary, and told of once', () => {
    expect([ask('acme'), ask('acme')]).toEqual(['unavailable', 'unavailable'])
    expect(directory.stats()).toEqual({ loaded: false, empty: false, stale: false, opened: 0 })
    expect(warnings).toHaveLength(1)
  })

  const credential = { name: 'app', tenant: 'acme', secretHash: 'h', sendAs: ['acme.example'] }
  const ann = { local: 'ann', domain: 'acme.example', text: '' }

  test('credentials come along, in a file that others cannot read', async () => {
    expect(directory.credential('app')).toEqual({ kind: 'unavailable' })
    expect(directory.maySendAs('app', ann)).toBe('unavailable')
    await writeSnapshot(path, [...rows('acme'), { kind: 'credential', ...credential }])
    nowMs += 200
    expect(directory.credential('app')).toEqual({ kind: 'credential', credential, enabled: true })
    expect(directory.credential('App')).toEqual({ kind: 'unknown' })
    expect(directory.maySendAs('app', ann)).toBe('yes')
    expect(directory.maySendAs('app', { ...ann, domain: 'elsewhere.example' })).toBe('no')
    expect(directory.maySendAs('gone', ann)).toBe('no')
    expect(statSync(path).mode & 0o007).toBe(0)
  })

  test('a snapshot of an older program serves, without credentials', async () => {
    await writeSnapshot(path, rows('acme'))
    const db = new Database(path)
    db.exec('DROP TABLE credentials')
    db.close()
    expect(ask('acme')).toBe('mailbox')
    expect(directory.credential('app')).toEqual({ kind: 'unknown' })
  })

  test('what was written is found, and no temporary file stays', async () => {
    await writeSnapshot(path, rows('acme'))
    expect(ask('acme')).toBe('mailbox')
    expect(ask('other')).toBe('unknown_tenant')
    expect(directory.route({ local: 'aNN', domain: 'acme.example', text: '' })).toEqual({
      kind: 'mailbox',
      tenant: 'acme',
      mailbox: 'ann@acme.example',
    })
    expect(readdirSync(dir)).toEqual(['directory.db'])
  })

  test('what a domain does with mail to nobody is in it', async () => {
    await writeSnapshot(path, rows('acme'))
    const route = { kind: 'mailbox', tenant: 'acme', mailbox: 'ann@acme.example' }
    expect(directory.route({ local: 'nobody', domain: 'acme.example', text: '' })).toEqual(route)
    const quiet = rows('acme').map((row) => (row.kind === 'domain' ? { ...row, catchAll: null } : row))
    await writeSnapshot(path, quiet)
    nowMs += 200
    const discard = { kind: 'discard', tenant: 'acme' }
    expect(directory.route({ local: 'nobody', domain: 'acme.example', text: '' })).toEqual(discard)
  })

  test('one that was written before domains had options is read', async () => {
    await writeSnapshot(path, rows('acme'))
    const old = 'ALTER TABLE domains DROP COLUMN catch_all; ALTER TABLE domains DROP COLUMN anti_enumeration'
    new Database(path).exec(old).close()
    expect(directory.route({ local: 'ann', domain: 'acme.example', text: '' }).kind).toBe('mailbox')
    expect(directory.route({ local: 'nobody', domain: 'acme.example', text: '' }).kind).toBe('unknown_mailbox')
  })

  test('without any tenant in it, the answer is temporary for every address', async () => {
    await writeSnapshot(
      path,
      rows('acme').filter((row) => row.kind !== 'tenant'),
    )
    expect(ask('acme')).toBe('unavailable')
    expect(directory.route({ local: 'ann', domain: 'acme.example', text: '' })).toEqual({ kind: 'unavailable' })
    expect(directory.route({ local: 'ann', domain: 'elsewhere.example', text: '' })).toEqual({ kind: 'unavailable' })
    expect(directory.stats()).toMatchObject({ loaded: true, empty: true })
  })

  test('a new one is taken within 200 ms, and looked for no more often', async () => {
    await writeSnapshot(path, rows('acme'))
    expect(ask('acme')).toBe('mailbox')
    await writeSnapshot(path, rows('acme', 'new'))
    nowMs -= 1
    expect(ask('new')).toBe('unknown_tenant')
    expect(ask('new')).toBe('mailbox')
    expect(directory.stats().opened).toBe(2)
  })

  test.each([
    ['missing', () => rmSync(path)],
    ['foreign', () => writeFileSync(path, 'not a database')],
    ['empty', () => writeFileSync(path, '')],
    ['cut', () => truncateSync(path, 8192)],
    ['newer', () => new Database(path).exec('PRAGMA user_version = 99').close()],
  ])('a %s new file leaves the last good one in use until a good one comes', async (_what, harm) => {
    await writeSnapshot(path, rows('acme'))
    expect(ask('acme')).toBe('mailbox')
    if (_what !== 'missing') {
      // In place of a rename, so that the open file is left alone.
      rmSync(path)
      await writeSnapshot(path, rows('acme', 'other'))
    }
    harm()
    expect([ask('acme'), ask('acme')]).toEqual(['mailbox', 'mailbox'])
    expect(directory.stats().stale).toBe(true)
    expect(warnings).toHaveLength(1)
    await writeSnapshot(path, rows('acme', 'new'))
    expect(ask('new')).toBe('mailbox')
    expect(directory.stats().stale).toBe(false)
  })

  test('a source that fails leaves the old snapshot and no temporary file', async () => {
    await writeSnapshot(path, rows('acme'))
    const broken = (function* () {
      yield tenant('new')
      throw new Error('store is down')
    })()
    await expect(writeSnapshot(path, broken)).rejects.toThrow('store is down')
    expect(ask('acme')).toBe('mailbox')
    expect(readdirSync(dir)).toEqual(['directory.db'])
  })

  test('what a crash of an earlier writer left behind is no obstacle', async () => {
    writeFileSync(`${path}.tmp`, 'half')
    await writeSnapshot(path, rows('acme'))
    expect(ask('acme')).toBe('mailbox')
  })

  test('policies and named senders; without a snapshot nobody has any', async () => {
    const sender = (local: string, domain: string) => ({ local, domain, text: '' })
    nowMs += 200
    expect(directory.policy('acme').spf_fail).toBe('none')
    expect(directory.listing('acme', sender('Ann', 'x.example'))).toBeUndefined()
    await writeSnapshot(path, [
      ...rows('acme'),
      { kind: 'policy', tenant: 'acme', rule: 'spf_fail', action: 'reject' },
      { kind: 'sender', tenant: 'acme', sender: 'x.example', listing: 'block' },
      { kind: 'sender', tenant: 'acme', sender: 'ann@x.example', listing: 'allow' },
    ])
    nowMs += 200
    expect(directory.policy('acme')).toEqual({ ...NO_POLICY, spf_fail: 'reject' })
    expect(directory.policy('other').spf_fail).toBe('none')
    expect(directory.listing('acme', sender('bob', 'x.example'))).toBe('block')
    expect(directory.listing('acme', sender('ANN', 'x.example'))).toBe('allow')
    expect(directory.listing('other', sender('bob', 'x.example'))).toBeUndefined()
  })

  test('100,000 tenants: lookups stay indexed and the process flat', async () => {
    const many = (function* () {
      for (let index = 0; index < 100_000; index += 1) yield tenant(`tenant-${index}`)
    })()
    await writeSnapshot(path, many)
    ask('tenant-1')
    const before = process.memoryUsage().rss
    for (let index = 0; index < 20_000; index += 1) expect(ask(`tenant-${(index * 7919) % 100_000}`)).toBe('mailbox')
    expect(process.memoryUsage().rss - before).toBeLessThan(60 * 1024 * 1024)
  })
})
