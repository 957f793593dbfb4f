import { mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { measured } from './blob.ts'
import { blobStoreContract, uploadOf } from './contract.ts'
import { durableDirectories, sharedSync } from './directories.ts'
import { fileBlobs } from './file.ts'
import { walk } from './walk.ts'

let serial = 0
const ids = { entryId: () => `temporary-${(serial += 1)}` }
const clock = { now: () => Date.now() }

/** A plain file in the directory's place fails every call, also for root. */
const obstruct = async (dir: string) => {
  await rename(dir, `${dir}.away`)
  await writeFile(dir, '')
  return async () => {
    await rm(dir)
    await rename(`${dir}.away`, dir)
  }
}

blobStoreContract('directory', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'blob-'))
  const dir = join(parent, 'not', 'yet')
  const store = fileBlobs({ dir, clock, ids })
  // A root that nothing was ever put to may be a mount that is away.
  await store.put('first', uploadOf(''))
  await store.delete('first')
  return {
    store,
    keepsMetadata: false,
    outage: () => obstruct(dir),
    async checkClean() {
      expect(await readdir(join(dir, '.tmp'))).toEqual([])
    },
    close: () => rm(parent, { recursive: true }),
  }
})

describe('objects as files', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'blob-'))
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  test('a root given relative to the process, as the default is', async () => {
    const root = `./${relative(process.cwd(), dir)}/objects`
    await fileBlobs({ dir: root, clock, ids }).put('acme/2026/x.eml', uploadOf('Subject: hi\r\n'))
    expect(await readFile(join(dir, 'objects/acme/2026/x.eml'), 'utf8')).toBe('Subject: hi\r\n')
  })

  test('an object is a plain file under its key', async () => {
    const stored = await fileBlobs({ dir, clock, ids }).put('acme/x.eml', uploadOf('Subject: hi\r\n'))
    expect(await readFile(join(dir, 'acme/x.eml'), 'utf8')).toBe('Subject: hi\r\n')
    expect(stored.etag).toBe(uploadOf('Subject: hi\r\n').sha256)
  })

  test('bytes that are others on the disk than they were on the way are found before the name is there', async () => {
    async function* overwritten() {
      yield Buffer.from('first ')
      yield Buffer.from('next ')
      await sleep(20)
      const [name = ''] = await readdir(join(dir, '.tmp'))
      await writeFile(join(dir, '.tmp', name), 'FIRST ', { flag: 'r+' })
      yield Buffer.from('last')
    }
    const open = () => Readable.from(overwritten(), { objectMode: false })
    const put = fileBlobs({ dir, clock, ids }).put('t/a', { ...uploadOf('first next last'), open })
    await expect(put).rejects.toMatchObject({ fault: 'digest' })
    expect(await readdir(join(dir, '.tmp'))).toEqual([])
  })

  test('what a killed process left goes by age, at the first put; a put under way elsewhere keeps its file', async () => {
    await fileBlobs({ dir, clock, ids }).put('t/a', uploadOf('a'))
    for (const name of ['old', 'fresh']) await writeFile(join(dir, '.tmp', name), 'x')
    await utimes(join(dir, '.tmp/old'), new Date(0), new Date(0))
    await fileBlobs({ dir, clock, ids }).put('t/a', uploadOf('a'))
    expect(await readdir(join(dir, '.tmp'))).toEqual(['fresh'])
  })

  test('a directory removed behind our back costs one failed put, not all of them', async () => {
    const store = fileBlobs({ dir, clock, ids })
    await store.put('acme/2026/a', uploadOf('a'))
    await rm(join(dir, 'acme'), { recursive: true })
    await expect(store.put('acme/2026/a', uploadOf('a'))).rejects.toMatchObject({ fault: 'server' })
    await store.put('acme/2026/a', uploadOf('a'))
    expect(await readFile(join(dir, 'acme/2026/a'), 'utf8')).toBe('a')
  })

  test('a root that vanishes is not made anew: its mount may have gone away', async () => {
    const store = fileBlobs({ dir, clock, ids })
    await store.put('t/a', uploadOf('a'))
    await rename(dir, `${dir}.away`)
    await expect(store.put('t/b', uploadOf('b'))).rejects.toMatchObject({ fault: 'server' })
    expect(await readdir(tmpdir())).not.toContain(dir.split('/').at(-1))
    await rename(`${dir}.away`, dir)
    await store.put('t/b', uploadOf('b'))
  })

  test.each([
    ['is not there', async () => rm(dir, { recursive: true })],
    ['is empty, as the directory below a mount is', async () => rm(join(dir, '.tmp'), { recursive: true })],
  ])('while the root %s no object is missing: it is an outage', async (_how, unmount) => {
    const store = fileBlobs({ dir, clock, ids })
    await store.put('t/a', uploadOf('a'))
    expect(await store.get('t/b')).toBeUndefined()
    await rm(join(dir, 't'), { recursive: true })
    await unmount()
    await expect(store.get('t/a')).rejects.toMatchObject({ fault: 'server' })
    await expect(store.head('t/a')).rejects.toMatchObject({ fault: 'server' })
    await expect(store.delete('t/a')).rejects.toMatchObject({ fault: 'server' })
  })

  test('a directory with more names than are held at a time is walked in order', async () => {
    const names = Array.from({ length: 25 }, (_, at) => `k${String(at).padStart(2, '0')}`)
    const store = fileBlobs({ dir, clock, ids })
    for (const name of names.toReversed()) await store.put(`t/${name}`, uploadOf(name))
    const keys: string[] = []
    for await (const key of walk(dir, 't/', 4)) keys.push(key)
    expect(keys).toEqual(names.map((name) => `t/${name}`))
  })

  test('a failed sync of a directory fails those who wait as well, and later ones are new', async () => {
    const first = Promise.withResolvers<void>()
    let syncs = 0
    const sync = sharedSync(async () => {
      syncs += 1
      if (syncs === 1) await first.promise
    })
    const asked = [sync('d'), sync('d'), sync('d')]
    first.reject(new Error('EIO'))
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(syncs).toBe(1)
    await sync('d')
    expect(syncs).toBe(2)
  })

  test('syncs of one directory are shared by those who wait', async () => {
    const directories = durableDirectories(dir)
    await Promise.all(Array.from({ length: 100 }, () => directories.sync(dir)))
    await expect(directories.sync(join(dir, 'none'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('operations, results and bytes are counted; labels start at zero', async () => {
    const registry = new Registry()
    const store = measured(fileBlobs({ dir, clock, ids }), registry, { monotonic: () => 0 })
    const text = async () => (await registry.metrics()).replaceAll('mail_ingest_objectstore_', '')
    expect(await text()).toContain('operations_total{op="head",result="timeout"} 0')
    await store.put('t/a', uploadOf('12345'))
    await store.put('t/a', uploadOf('12345', '0'.repeat(64))).catch((error: unknown) => error)
    ;(await store.get('t/a'))?.body.destroy()
    expect(await text()).toContain('operations_total{op="put",result="ok"} 1')
    expect(await text()).toContain('operations_total{op="put",result="digest"} 1')
    expect(await text()).toContain('bytes_total{direction="in"} 5')
    expect(await text()).toContain('bytes_total{direction="out"} 5')
    expect(await text()).toContain('operation_duration_seconds_count{op="put"} 2')
  })
})
