// What operators rely on when mail is indexed again, run by bin/ingestctl on whichever engines a place has.

import { spawn } from 'node:child_process'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { blobsOf, eventLogOf, storeOf } from '../cmd/adapters.ts'
import { loadConfig } from '../internal/config/config.ts'
import type { BlobStore } from '../internal/blob/blob.ts'
import { systemClock } from '../internal/daemon/clock.ts'
import { systemIds } from '../internal/daemon/ids.ts'
import { TOPICS, type EventLog } from '../internal/eventlog/eventlog.ts'
import { entryIdOf, mail, putMail, type Mail } from '../internal/indexer/testing/bed.ts'
import { corpusOf, transactions } from '../internal/indexer/testing/corpus.ts'
import { everything, searchIndexOf } from '../internal/indexer/testing/rows.ts'
import {
  findMessage,
  getJob,
  listCheckpoints,
  outboxState,
  type MessageStatus,
  type Store,
} from '../internal/store/store.ts'
import { startIndexer, type Stage } from './cluster.ts'
import { contentsOf } from './contents.ts'
import { environmentOf, eventually, ingestctl } from './system.ts'

type Settings = Record<string, string>

/** Engines to work on. */
export interface Place {
  folder: string
  settings: Settings
  /** Settings of a store that nothing was ever written to. */
  emptyStore(): Promise<Settings>
  /** Settings of a log that nothing was ever written to. */
  emptyLog(): Promise<Settings>
  stop(): Promise<void>
}

const MINUTE = 60_000
const INGEST_TOPIC = 'mail.ingest.v1'
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const parts = { clock: systemClock, ids: systemIds(systemClock), log: silent }

interface Engines {
  store: Store
  log: EventLog
  blobs: BlobStore
}

interface Dry {
  count: number
  compared: number
  same: number
  changed: number
  new: number
  kinds: Record<string, number>
}

/** `open` is called once. */
export function replays(name: string, open: () => Promise<Place>): void {
  describe(`indexed again on ${name}`, { timeout: 3 * MINUTE }, () => {
    let place: Place
    let engines: Engines
    let indexer: Stage
    /** Mail of 2023 that contends for ids and conversations, and some that came just now. */
    const corpus = corpusOf(fc.sample(transactions, { numRuns: 3, seed: 11 }).flat())
    const recent = [1, 2, 3].map((n) => fresh(n))
    const all = [...corpus.mails, ...recent]

    beforeAll(async () => {
      place = await open()
      // The SDK reads them where it is asked for its credentials.
      for (const key of Object.keys(place.settings)) if (key.startsWith('AWS_')) process.env[key] = place.settings[key]
      indexer = await startIndexer(place.folder, 'indexer', place.settings)
      engines = await enginesOf(place.settings)
      for (const each of all) await putMail(engines.blobs, each)
      for (const { meta } of corpus.lost) await engines.blobs.delete(meta.rawKey)
      await engines.log.append(all.map(({ event }) => event))
      await settled(engines)
    }, 10 * MINUTE)

    afterAll(async () => {
      await indexer?.stop()
      await engines?.store.close()
      await engines?.log.close()
      await place?.stop()
    }, MINUTE)

    const rows = async (store = engines.store) => ({ ...(await contentsOf(store)), words: await searchIndexOf(store) })
    const replay = (args: readonly string[], settings: Settings = place.settings) =>
      ingestctl(place.folder, args, settings)
    const json = async <T>(args: readonly string[], settings?: Settings): Promise<T> => {
      const { status, stdout, stderr } = await replay([...args, '--json'], settings)
      if (status !== 0) throw new Error(`ingestctl ${args.join(' ')} ended with ${status}: ${stderr}`)
      return JSON.parse(stdout.toString()) as T
    }
    const having = async (status: MessageStatus) =>
      (await contentsOf(engines.store)).messages.filter((row) => row['status'] === status)

    test.each<[string, string[], (each: Mail) => boolean]>([
      ['an id', ['replay', recent[0]?.meta.messageId ?? ''], (each) => each === recent[0]],
      ['a tenant', ['replay', '--tenant', 'globex'], ({ meta }) => meta.tenant === 'globex'],
      ['the last minutes', ['replay', '--from', '1h'], (each) => recent.includes(each)],
      ['a time', ['replay', '--to', '2024-01-01'], (each) => corpus.mails.includes(each)],
      [
        'a time range',
        ['replay', '--from', '2023-11-14T22:13:25Z', '--to', '2023-11-14T22:13:30Z'],
        ({ meta }) => /T22:13:2[5-9]/.test(meta.envelope.receivedAt),
      ],
      ['objects', ['replay', '--objects', 'globex/2023/'], ({ meta }) => meta.rawKey.startsWith('globex/2023/')],
      ['all objects', ['replay', '--objects', '', '--limit', 'all'], () => true],
    ])('a dry run by %s finds what is meant, and all of it the same', async (_what, args, meant) => {
      const count = all.filter(meant).length
      expect(count).toBeGreaterThan(0)
      expect(await json<Dry>([...args, '--rate', '10000', '--dry-run'])).toMatchObject({
        count,
        compared: count,
        same: count,
      })
    })

    test('by status and reason, and ids from a pipe', async () => {
      for (const status of ['QUARANTINED', 'FAILED'] as const) {
        const found = await having(status)
        const reason = String(found[0]?.['reason'])
        const count = found.filter((row) => row['reason'] === reason).length
        const args = ['replay', '--status', status, '--reason', reason, '--dry-run']
        expect(await json<Dry>(args)).toMatchObject({ count, same: count })
        if (status === 'QUARANTINED') {
          expect(await json<Dry>(['quarantine', 'redrive', '--reason', reason, '--dry-run'])).toMatchObject({ count })
        }
      }
      const piped =
        'bin/ingestctl messages list --tenant globex --limit 5 --ids | bin/ingestctl replay - --dry-run --json'
      expect(JSON.parse(await shell(piped, environmentOf(place.folder, place.settings)))).toMatchObject({ compared: 5 })
    })

    test('by offsets, also on a store without a copy of the log', async () => {
      const empty = { ...place.settings, ...(await place.emptyStore()) }
      await (await storeOf(loadConfig(environmentOf(place.folder, empty)))).close()
      const [longest] = (await engines.log.ends(INGEST_TOPIC)).toSorted((a, b) => b.offset - a.offset)
      const { partition = 0, offset = 0 } = longest ?? {}
      // Nothing else has been told yet, so each offset is a message.
      expect(offset).toBeGreaterThan(2)
      const range = (from: number, to: number) => `${INGEST_TOPIC}:${partition}:${from}-${to}`
      const dry = (offsets: string, settings?: Settings) =>
        json<Dry>(['replay', '--offsets', offsets, '--dry-run'], settings)
      expect(await dry(range(0, offset - 1))).toMatchObject({ count: offset, same: offset })
      expect(await dry(range(0, offset - 1), empty)).toMatchObject({ count: offset, new: offset })
      expect(await dry(range(1, 2), empty)).toMatchObject({ count: 2, new: 2 })
    })

    test('a dry run tells what a redrive then does, and leaves everything as it is', async () => {
      const before = await rows()
      const parsed = (await having('PARSED')).length
      await engines.store.kysely
        .updateTable('messages')
        .set({ status: 'QUARANTINED', reason: 'parse_crash', parser: 'older', subject: null, snippet: '' })
        .where('status', '=', 'PARSED')
        .execute()
      const state = async () => [await everything(engines.store), await engines.log.ends('mail.messages.v1')]
      const older = await state()
      const args = ['quarantine', 'redrive', '--reason', 'parse_crash']
      const { kinds, changed } = await json<Dry>([...args, '--dry-run'])
      expect({ changed, status: kinds['status QUARANTINED → PARSED'], subject: kinds['subject'] }).toEqual({
        changed: parsed,
        status: parsed,
        subject: parsed,
      })
      expect(await state()).toEqual(older)
      expect(await json([...args, '--yes'])).toMatchObject({ state: 'done', done: parsed, failed: 0 })
      await settled(engines)
      expect(await rows()).toEqual(before)
      expect((await json<Dry>(['replay', '--to', '2024-01-01', '--dry-run'])).changed).toBe(0)
    })

    test('killed in the middle it goes on where it was, live mail passes it by, and the rows are the same', async () => {
      const before = await rows()
      const args = ['replay', '--to', '2024-01-01', '--rate', '5', '--yes']
      const env = environmentOf(place.folder, place.settings)
      const child = spawn('bin/ingestctl', args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
      let stderr = ''
      child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)))
      const gone = new Promise((resolve) => child.once('close', resolve))
      const jobOf = (id: string) => getJob(engines.store, id)
      const id = await eventually(async () => /--resume (\S+)/.exec(stderr)?.[1], MINUTE, 'a job')
      await eventually(async () => ((await jobOf(id)).done > 0 ? true : undefined), MINUTE, 'progress')

      const live = fresh(9)
      await putMail(engines.blobs, live)
      await engines.log.append([live.event])
      await eventually(async () => {
        const row = await findMessage(engines.store, live.meta.messageId)
        return row?.status === 'PARSED' ? true : undefined
      })
      expect(child.exitCode).toBeNull()
      child.kill('SIGKILL')
      await gone
      const { done, state } = await jobOf(id)
      expect(state).toBe('running')
      expect(done).toBeLessThan(corpus.mails.length)
      expect(await json(['replay', '--resume', id, '--rate', '1000'])).toMatchObject({
        state: 'done',
        done: corpus.mails.length,
        total: corpus.mails.length,
      })
      await settled(engines)
      const after = await rows()
      expect(after.messages.filter((row) => row['id'] !== live.meta.messageId)).toEqual(before.messages)
      expect(after.documents).toEqual(before.documents)
    })

    test('in an empty store the same rows come from the log, and from the objects alone', async () => {
      const want = await rows()
      // Indexers of two stores in one consumer group would share the log, and each would see a part of it.
      await indexer.stop()
      const fromLog = { ...place.settings, ...(await place.emptyStore()) }
      expect(await remade('from-log', fromLog)).toEqual(want)
      const fromObjects = { ...place.settings, ...(await place.emptyStore()), ...(await place.emptyLog()) }
      const args = ['replay', '--objects', '', '--limit', 'all', '--rate', '1000', '--yes']
      expect(await remade('from-objects', fromObjects, args)).toEqual(want)
    })

    async function remade(name: string, settings: Settings, command?: string[]) {
      const stage = await startIndexer(place.folder, name, settings)
      if (command !== undefined) expect(await replay(command, settings)).toMatchObject({ status: 0 })
      const again = await enginesOf(settings)
      try {
        await settled(again)
        return await rows(again.store)
      } finally {
        await stage.stop()
        await again.store.close()
        await again.log.close()
      }
    }
  })
}

/** A mail that came now. */
const fresh = (n: number): Mail =>
  mail(9000 + n, `From: ann@example.org\nSubject: s\nMessage-ID: <fresh-${n}-${entryIdOf(n)}@x>\n\nmark\n`, {
    receivedAt: new Date().toISOString(),
  })

async function enginesOf(settings: Settings): Promise<Engines> {
  const config = loadConfig(settings)
  return { store: await storeOf(config), log: await eventLogOf(config, parts), blobs: await blobsOf(config, parts) }
}

/** Resolves when all that was told is indexed, told on and copied, at two looks: one look is not one moment. */
async function settled({ store, log }: Engines): Promise<void> {
  let calm = 0
  await eventually(
    async () => {
      calm = (await waiting({ store, log })) ? 0 : calm + 1
      return calm === 2 ? true : undefined
    },
    2 * MINUTE,
    'an empty pipeline',
  )
}

async function waiting({ store, log }: Pick<Engines, 'store' | 'log'>): Promise<boolean> {
  const ends = (await Promise.all(TOPICS.map((topic) => log.ends(topic)))).flat()
  const checkpoints = await listCheckpoints(store)
  const behind = (group: string, topics: readonly string[]) =>
    ends.some(({ topic, partition, offset }) => {
      const at = checkpoints.find(
        (each) => each.group === group && each.topic === topic && each.partition === partition,
      )
      return topics.includes(topic) && (at?.offset ?? 0) < offset
    })
  if (behind('indexer', [INGEST_TOPIC]) || behind('projector', TOPICS)) return true
  return (await outboxState(store)).pending > 0
}

function shell(line: string, env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', line], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += String(chunk)))
    child.once('error', reject)
    child.once('close', () => resolve(text))
  })
}
