import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { parseMailbox, type Mailbox } from '../envelope/envelope.ts'
import type { DirectoryRow } from './directory.ts'
import { refreshDirectory, Refresher } from './refresher.ts'
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
  const running = refreshDirectory(new Refresher({ path, source, clock, log: silent, everyMs: 1 }), stop.signal)
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

function mailbox(address: string): Mailbox {
  const parsed = parseMailbox(address)
  if (parsed === undefined) throw new TypeError(address)
  return parsed
}
