// What docs/operations.md tells an operator to do, done by bin/ingestctl on whichever engines a place has: a dead node's spool, a
// backup and its restoring, a tenant erased.

import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { storeOf } from '../cmd/adapters.ts'
import { loadConfig } from '../internal/config/config.ts'
import { seedFirstStart } from '../internal/store/store.ts'
import { startIndexer, startNode, startStage, type Node, type Stage } from './cluster.ts'
import { contentsOf, type Contents } from './contents.ts'
import { entryIdOf, mailOf, Session } from './mail.ts'
import { environmentOf, eventually, ingestctl, ingestctlJson } from './system.ts'

type Settings = Record<string, string>

/** Engines to work on. */
export interface Place {
  folder: string
  settings: Settings
  /** A backup of the database, restored as a new one. */
  copyStore(): Promise<Settings>
  /** A copy of every object, in a new place. */
  copyObjects(): Promise<Settings>
  /** A log that nothing was ever written to. */
  emptyLog(): Promise<Settings>
  stop(): Promise<void>
}

interface Row {
  id: string
  entryId: string
  status: string
  sha256: string
  tenant: string
}

const MINUTE = 60_000
const MAIL_BYTES = [2_000, 700_000, 5_000]
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** `open` is called once. */
export function operations(name: string, open: () => Promise<Place>): void {
  describe(`operations on ${name}`, { timeout: 4 * MINUTE }, () => {
    let place: Place
    let indexer: Stage
    let node: Node
    let count = 0
    const run = (line: string | string[], settings: Settings = {}) =>
      ingestctl(place.folder, typeof line === 'string' ? line.split(' ') : line, { ...place.settings, ...settings })
    const json = <T>(line: string, settings: Settings = {}): Promise<T> =>
      ingestctlJson<T>(place.folder, line.split(' '), { ...place.settings, ...settings })
    const contents = async (settings: Settings = {}): Promise<Contents> => {
      const store = await storeOf(loadConfig({ DATA_DIR: place.folder, ...place.settings, ...settings }), {
        readOnly: true,
      })
      try {
        return await contentsOf(store)
      } finally {
        await store.close()
      }
    }

    /** The log is a new one: what was read of the old one says nothing of it. */
    async function forgetLog(settings: Settings): Promise<void> {
      const store = await storeOf(loadConfig({ DATA_DIR: place.folder, ...place.settings, ...settings }))
      for (const table of ['checkpoints', 'events'] as const) await store.kysely.deleteFrom(table).execute()
      await store.close()
    }

    /** Sends mails and resolves with what each `250` promised: the entry's id, and the digest of its bytes. */
    async function send(
      many: number,
      to = 'orders+acme@mail.localhost',
      over = () => false,
    ): Promise<Map<string, string>> {
      const promised = new Map<string, string>()
      try {
        const session = await Session.open(node.smtpPort)
        for (let at = 0; at < many && !over(); at += 1) {
          const body = mailOf(`operations-${count++}`, MAIL_BYTES[at % MAIL_BYTES.length] ?? 0)
          const entryId = entryIdOf(await session.send('ann@sender.example', [to], body))
          if (entryId !== undefined) promised.set(entryId, digest(body))
        }
        session.close()
      } catch (error) {
        if (!over()) throw error // else it was killed under this session
      }
      return promised
    }

    const indexed = (promised: ReadonlyMap<string, string>, settings: Settings = {}): Promise<Row[]> =>
      eventually(
        async () => {
          const rows = await json<Row[]>('messages list --limit 1000', settings)
          const done = new Set(rows.filter(({ status }) => status === 'PARSED').map(({ entryId }) => entryId))
          return [...promised.keys()].every((id) => done.has(id)) ? rows : undefined
        },
        2 * MINUTE,
        'an index of all that was promised',
      )

    beforeAll(async () => {
      place = await open()
      const store = await storeOf(loadConfig({ DATA_DIR: place.folder, ...place.settings }))
      await seedFirstStart(store, { domain: 'mail.localhost', now: Date.now() })
      await store.close()
    }, 10 * MINUTE)

    afterAll(() => place?.stop(), MINUTE)

    /** Programs end with the test that started them. */
    async function started(): Promise<void> {
      indexer = await startIndexer(place.folder, 'indexer', place.settings)
      node = await startNode(place.folder, `node-${count}`, place.settings)
    }

    test('a node that died under load: its spool, attached elsewhere, is handed on once and whole', async () => {
      await started()
      await node.uploaderd.stop('SIGKILL')
      const promised = await send(12)
      // A part of it is on its way when the machine goes.
      const uploaderd = await startStage('uploaderd', node.dataDir, place.settings)
      const alive = await run(`spool attach ${join(node.dataDir, 'spool')}`)
      expect(alive).toMatchObject({ status: 6 })
      let dead = false
      const more = send(100, undefined, () => dead)
      await eventually(async () => ((await json<Row[]>('messages list --limit 1000')).length > 3 ? true : undefined))
      dead = true
      await Promise.all([node.smtpd.stop('SIGKILL'), uploaderd.stop('SIGKILL')])
      for (const [id, sha256] of await more) promised.set(id, sha256)

      const disk = join(place.folder, 'attached')
      renameSync(join(node.dataDir, 'spool'), disk)
      const { pending } = await json<{ pending: number }>(`spool attach ${disk} --dry-run`)
      const done = await run(`spool attach ${disk} --json`)
      expect(done).toMatchObject({ status: 0 })
      const nothing = { pending: 0, aside: 0, refusals: 0, refusalsHandedOn: 0 }
      expect(JSON.parse(done.stdout.toString())).toEqual({ dir: disk, handedOn: pending, ...nothing })
      expect(await json(`spool attach ${disk}`)).toMatchObject({ handedOn: 0 })

      const rows = await indexed(promised)
      const digests = rows.map(({ sha256 }) => sha256)
      expect(new Set(digests).size).toBe(digests.length)
      for (const [id, sha256] of promised) expect(rows.find(({ entryId }) => entryId === id)?.sha256).toBe(sha256)
      expect(await run('spool attach /nowhere')).toMatchObject({ status: 3 })
    })

    test('from a line in Postfix’s log three commands lead to the last event', async () => {
      await started()
      const session = await Session.open(node.smtpPort)
      const reply = await session.send('ann@sender.example', ['orders+acme@mail.localhost'], mailOf('postfix', 900))
      session.close()
      await indexed(new Map([[entryIdOf(reply) ?? '', '']]))
      const log = join(place.folder, 'mail.log')
      const sent = `to=<orders+acme@mail.localhost>, relay=127.0.0.1[127.0.0.1]:25, delay=0.59, dsn=2.0.0, status=sent (${reply.trim()})`
      writeFileSync(log, `Nov 28 03:07:34 relay postfix/smtp[16557]: 17CF49987B9: ${sent}\n`)
      const page = readFileSync('docs/operations/README.md', 'utf8')
      const commands = /```sh three-commands\n([^`]*)```/.exec(page)?.[1]?.trim() ?? ''
      expect(commands.split('\n').length).toBe(3)
      const env = environmentOf(place.folder, place.settings)
      const last = await eventually(async () => {
        const { stdout } = spawnSync('sh', ['-c', commands.replace('/var/log/mail.log', log)], {
          env,
          encoding: 'utf8',
        })
        const line = stdout.trim().split('\n').at(-1) ?? ''
        return line.includes('indexer.indexed') ? line : undefined
      })
      expect(last).toContain('status=PARSED')
    })

    test('a backup is restored: the same rows, and from the objects what came after it', async () => {
      await started()
      await indexed(await send(4))
      const before = await contents()
      const store = await place.copyStore()
      const late = await send(3)
      await indexed(late)
      const want = await contents()
      const restored = { ...store, ...(await place.copyObjects()), ...(await place.emptyLog()) }
      expect(await contents(restored)).toEqual(before)
      await forgetLog(restored)
      await indexer.stop()
      const again = await startIndexer(place.folder, 'restored', { ...place.settings, ...restored })
      const replayed = await run(['replay', '--objects', '', '--limit', 'all', '--rate', '1000', '--yes'], restored)
      expect(replayed).toMatchObject({ status: 0 })
      await indexed(late, restored)
      await again.stop()
      expect(await contents(restored)).toEqual(want)
    })

    test('a tenant is erased: also what was still in a spool, and nothing of the others', async () => {
      await started()
      expect(await run('tenants add globex')).toMatchObject({ status: 0 })
      const mine = 'orders+globex@mail.localhost'
      const first = await eventually(async () => {
        const sent = await send(1, mine)
        return sent.size > 0 ? sent : undefined
      })
      await indexed(first)
      await node.uploaderd.stop('SIGKILL')
      const waiting = await send(2, mine)
      expect(waiting.size).toBe(2)
      const others = async () => (await contents()).messages.filter(({ tenant }) => tenant !== 'globex')
      const before = await others()
      expect(await json('tenants erase globex --dry-run')).toMatchObject({
        messages: first.size,
        objects: 2 * first.size,
      })
      expect(await run('tenants erase globex --yes')).toMatchObject({ status: 0 })
      const uploaderd = await startStage('uploaderd', node.dataDir, place.settings)
      node = { ...node, uploaderd }
      await indexed(await send(1))
      await eventually(async () => {
        const { objects, messages } = await json<{ objects: number; messages: number }>(
          'tenants erase globex --dry-run',
        )
        return objects === 0 && messages === 0 ? true : undefined
      })
      const after = await others()
      expect(after.filter(({ id }) => before.some((row) => row['id'] === id))).toEqual(before)
      // smtpd knows by now that there is no such tenant.
      await eventually(async () => ((await send(1, mine)).size === 0 ? true : undefined))
    })
  })
}
