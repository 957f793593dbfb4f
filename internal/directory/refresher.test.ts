import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseMailbox, type Mailbox } from '../envelope/envelope.ts'
import type { DirectoryRow } from './directory.ts'
import { refreshDirectory, Refresher } from './refresher.ts'
import { setback } from './setback.ts'
import { openDirectory } from './snapshot.ts'

const silent = { info: () => undefined, warn: () => undefined }

test('a change in the store is in force after the next look; trouble with the store leaves the last snapshot in force', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'refresher-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'directory.db')
  const tenants: DirectoryRow[] = [{ kind: 'tenant', slug: 'acme', sizeMax: null, enabled: true }]
  let version = 1
  let down = false
  let monotonic = 0
  const looks: (() => void)[] = []
  const clock = {
    monotonic: () => 0,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        looks.shift()?.()
        signal?.addEventListener('abort', () => reject(new Error('stopped')))
        next = resolve
      }),
  }
  let next: () => void = () => undefined
  const look = () =>
    new Promise<void>((resolve) => {
      looks.push(resolve)
      next()
    })
  const source = {
    version: async () => {
      if (down) throw new Error('locked')
      return version
    },
    rows: () => tenants,
  }
  const stop = new AbortController()
  const first = new Promise<void>((resolve) => looks.push(resolve))
  const running = refreshDirectory(
    new Refresher({ path, source, clock, log: silent, registry: new Registry(), everyMs: 1 }),
    stop.signal,
  )
  await first

  const settings = {
    hostedDomain: 'mail.example',
    plusPrefix: 'orders',
    postmaster: mailbox('postmaster@mail.example'),
  }
  const directory = openDirectory({ ...settings, path, clock: { monotonic: () => (monotonic += 1000) }, log: silent })
  onTestFinished(() => directory.close())
  const kindOf = (address: string) => directory.route(mailbox(address)).kind
  expect(kindOf('orders+acme@mail.example')).toBe('mailbox')
  expect(kindOf('orders+globex@mail.example')).toBe('unknown_tenant')

  tenants.push({ kind: 'tenant', slug: 'globex', sizeMax: null, enabled: true })
  await look()
  expect(kindOf('orders+globex@mail.example')).toBe('unknown_tenant')
  version += 1
  await look()
  expect(kindOf('orders+globex@mail.example')).toBe('mailbox')

  rmSync(path)
  await look()
  expect(existsSync(path)).toBe(true)

  down = true
  await look()
  expect(kindOf('orders+globex@mail.example')).toBe('mailbox')
  stop.abort()
  await running
})

describe('a database that is empty, or older than the snapshot, takes nothing from it', () => {
  /** A refresher on a file of its own; `store` is what its store says. */
  function rigged(store: { version: number; slugs: string[] } | Error) {
    const folder = mkdtempSync(join(tmpdir(), 'refresher-'))
    const path = join(folder, 'directory.db')
    let now = 0
    const lines: unknown[] = []
    const rig = {
      store,
      path,
      lines,
      pass: (ms: number) => void (now += ms),
      registry: new Registry(),
      kindOf,
      restarted,
    }
    const log = {
      info: (_fields: object, line: string) => void lines.push(line),
      warn: ({ error }: { error?: string }) => void lines.push(error),
    }
    const known = () => {
      if (rig.store instanceof Error) throw rig.store
      return rig.store
    }
    const source = {
      version: async () => known().version,
      rows: () => known().slugs.map((slug): DirectoryRow => ({ kind: 'tenant', slug, sizeMax: null, enabled: true })),
    }
    function restarted() {
      rig.registry = new Registry()
      const clock = { monotonic: () => now, sleep: async () => undefined }
      return new Refresher({ path, source, clock, log, registry: rig.registry, everyMs: 1 })
    }
    const directory = openDirectory({
      hostedDomain: 'mail.example',
      plusPrefix: 'orders',
      postmaster: mailbox('postmaster@mail.example'),
      path,
      clock: { monotonic: () => (now += 1000) },
      log: silent,
    })
    function kindOf(slug: string) {
      return directory.route(mailbox(`orders+${slug}@mail.example`)).kind
    }
    onTestFinished(() => {
      directory.close()
      rmSync(folder, { recursive: true })
    })
    return rig
  }

  test.each([
    [undefined, { version: 0, tenants: false }, true, 'the first one'],
    [{ version: 5, tenants: false }, { version: 1, tenants: false }, true, 'nothing to lose'],
    [{ version: 5, tenants: true }, { version: 5, tenants: true }, true, 'the same again'],
    [{ version: 5, tenants: true }, { version: 6, tenants: true }, true, 'newer'],
    [{ version: 0, tenants: true }, { version: 3, tenants: true }, true, 'a file of an earlier program'],
    [{ version: 5, tenants: true }, { version: 4, tenants: true }, false, 'older'],
    [{ version: 5, tenants: true }, { version: 6, tenants: false }, false, 'empty'],
  ])('%j, then %j: taken is %j (%s)', (held, next, taken, _why) => {
    expect(setback(held, next) === undefined).toBe(taken)
  })

  test.each([
    ['empty', { version: 8, slugs: [] }, /has no tenant.*remove \S*directory\.db$/],
    ['empty and new', { version: 1, slugs: [] }, /version 1, older than version 7.*remove \S*directory\.db$/],
    ['older', { version: 6, slugs: ['other'] }, /version 6, older than version 7.*remove \S*directory\.db$/],
  ])('%s: refused also after a restart, said once a minute, until the file is removed', async (_what, wrong, said) => {
    const rig = rigged({ version: 7, slugs: ['acme'] })
    await rig.restarted().look()
    rig.store = wrong
    const refresher = rig.restarted()
    await refresher.look()
    expect(rig.kindOf('acme')).toBe('mailbox')
    expect(refresher.problem()).toMatch(said)
    expect(await rig.registry.metrics()).toContain('directory_refresh_problem{problem="refused"} 1')
    await refresher.look()
    expect(rig.lines).toHaveLength(1)
    rig.pass(60_000)
    await refresher.look()
    expect(rig.lines).toHaveLength(2)

    rmSync(rig.path)
    await refresher.look()
    expect(refresher.problem()).toBeUndefined()
    // Without any tenant the answer is temporary: the sender keeps the mail.
    expect(rig.kindOf('acme')).toBe(wrong.slugs.length === 0 ? 'unavailable' : 'unknown_tenant')
    expect(await rig.registry.metrics()).toContain('directory_refresh_problem{problem="refused"} 0')
  })

  test('the right database again is taken at the next look', async () => {
    const rig = rigged({ version: 7, slugs: ['acme'] })
    const refresher = rig.restarted()
    await refresher.look()
    rig.store = { version: 1, slugs: [] }
    await refresher.look()
    rig.store = new Error('out of reach')
    await refresher.look()
    expect(refresher.problem()).toBe('out of reach')
    rig.store = { version: 8, slugs: ['acme', 'globex'] }
    await refresher.look()
    expect(rig.kindOf('globex')).toBe('mailbox')
    expect(refresher.problem()).toBeUndefined()
    expect(rig.lines).toHaveLength(3)
  })
})

function mailbox(address: string): Mailbox {
  const parsed = parseMailbox(address)
  if (parsed === undefined) throw new TypeError(address)
  return parsed
}
