// A credential's way: made at the command line, known to the front door by the snapshot, revoked.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkSecret } from '../directory/directory.ts'
import { openDirectory, writeSnapshot } from '../directory/snapshot.ts'
import { directoryRows } from '../store/store.ts'
import { clock, openDesk, silent } from './testing/desk.ts'

test('add shows the secret once; the front door knows it by its hash; revoke ends it', async () => {
  const desk = await openDesk()
  const path = join(desk.dataDir, 'directory.db')
  const login = async (name: string) => {
    await writeSnapshot(path, directoryRows(desk.store))
    const directory = openDirectory({
      path,
      clock,
      log: silent,
      hostedDomain: 'mail.localhost',
      plusPrefix: 'orders',
      postmaster: { local: 'postmaster', domain: 'mail.localhost', text: '' },
    })
    onTestFinished(() => directory.close())
    return directory.credential(name)
  }
  const added = await desk.json<{ secret: string }>(
    'credentials add Shop --tenant acme --send-as mail.localhost ann@mail.localhost',
  )
  expect(added).toMatchObject({ name: 'shop', tenant: 'acme', sendAs: ['mail.localhost', 'ann@mail.localhost'] })
  expect(added.secret).toMatch(/^[\w-]{32}$/)

  const known = await login('shop')
  expect(known).toMatchObject({ kind: 'credential', enabled: true, credential: { tenant: 'acme' } })
  if (known.kind === 'credential') expect(await checkSecret(added.secret, known.credential.secretHash)).toBe(true)
  for (const file of ['store.db', 'store.db-wal', 'directory.db'])
    expect(readFileSync(join(desk.dataDir, file)).includes(added.secret)).toBe(false)

  const listed = (await desk.run('credentials list --tenant acme --json')).stdout
  expect(JSON.parse(listed)).toMatchObject([{ name: 'shop', revokedAt: null }])
  expect(listed).not.toMatch(/secret|scrypt/i)

  expect((await desk.run('credentials revoke shop')).status).toBe(0)
  expect(await login('shop')).toEqual({ kind: 'unknown' })
  expect((await desk.run('credentials list')).stdout).toMatch(/shop +revoked +acme/)
})

test.each([
  ['credentials add shop', 2, 'no tenant is said'],
  ['credentials add shop --tenant none', 3, 'no such tenant'],
  ['credentials add (shop) --tenant acme', 2, 'no name'],
  ['credentials revoke none', 3, 'no such credential'],
])('%s ends with %i: %s', async (line, status, _why) => {
  const desk = await openDesk()
  expect((await desk.run(line)).status).toBe(status)
})
