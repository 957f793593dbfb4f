// Scanning in the indexer, with a real clamd that is killed, frozen and taught.

import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { clamdUnavailable, EICAR, EICAR_NAME, startClamd, type Clamd } from '../../test/engines/clamd.ts'
import { clamdScanner } from '../scanner/clamd.ts'
import { ScannerError, type Scanner } from '../scanner/scanner.ts'
import { listEvents, findMessage, getMessage, listCheckpoints } from '../store/store.ts'
import { previewReplay, replay, type Preview, type ReplaySelector, type Scanning } from './indexer.ts'
import { Bed, eventually, fastClock, mail, putMail, realClock, testParsers, type Mail } from './testing/bed.ts'

const missing = clamdUnavailable()
const STREAM_MAX = 1024 * 1024

const attached = (n: number, content: string): Mail =>
  mail(
    n,
    `From: ann@example.org\nMessage-ID: <${n}@x>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nmark\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=a.csv\nContent-Transfer-Encoding: base64\n\n${Buffer.from(content).toString('base64')}\n--b--\n`,
  )
const clean = attached(1, 'a row that is long enough for a signature')
const infected = attached(2, EICAR)
const raw = mail(3, `Message-ID: <3@x>\n\n${EICAR}\n`)
const large = mail(4, `Message-ID: <4@x>\n\n${'mark and more\n'.repeat(100_000)}`)
const all: ReplaySelector = { by: 'filter', filter: {} }

describe.skipIf(missing)(`malware ${missing ?? ''}`, () => {
  let clamd: Clamd
  let pool: ReturnType<typeof testParsers>
  let bed: Bed
  beforeAll(async () => {
    clamd = await startClamd({ streamMaxBytes: STREAM_MAX })
    pool = testParsers()
  })
  afterAll(async () => {
    await pool.close()
    await clamd.stop()
  })
  beforeEach(async () => {
    bed = await Bed.open(pool)
  })
  afterEach(() => bed.close())

  const scanner = (timeoutMs = 5000): Scanner =>
    clamdScanner({
      place: { path: clamd.path },
      timeoutMs,
      connectionsMax: 4,
      streamMaxBytes: STREAM_MAX,
      clock: realClock,
    })
  const scanning = (down: Scanning['down'] = 'defer', by = scanner()) => ({ scanning: { scanner: by, down } })
  /** Of the flags only the one of the scanner. */
  const rowOf = async ({ meta }: Mail) => {
    const row = await getMessage(bed.store, meta.messageId)
    return { ...row, flags: row.flags.filter((flag) => flag === 'unscanned') }
  }
  const objects = async () => {
    const keys: string[] = []
    for await (const { key } of bed.blobs.list('')) keys.push(key)
    return keys
  }
  const parts = () => ({
    store: bed.store,
    blobs: bed.blobs,
    log: bed.log,
    clock: fastClock,
    source: '/ingest/test/ctl',
  })
  let jobs = 0
  const told = (selector: ReplaySelector) =>
    replay(parts(), {
      jobId: `job-${(jobs += 1)}`,
      selector,
      perSecond: 10_000,
      signal: new AbortController().signal,
    })

  test('what is found sets the message aside, with its name; the raw bytes stay and attachments are not put', async () => {
    await bed.deliver([clean, infected, raw])
    await bed.index(scanning())
    expect(await rowOf(clean)).toMatchObject({ status: 'PARSED', flags: [], attachmentCount: 1 })
    for (const each of [infected, raw]) {
      expect(await rowOf(each)).toMatchObject({
        status: 'QUARANTINED',
        reason: 'malware',
        detail: { message: `malware: ${EICAR_NAME}`, signature: EICAR_NAME },
        attachmentCount: 0,
      })
      expect(await bed.blobs.head(each.meta.rawKey)).toMatchObject({ sizeBytes: each.raw.length })
    }
    expect((await objects()).filter((key) => key.includes('/attachments/'))).toHaveLength(1)
    const { rows } = await listEvents(bed.store, { types: ['message.quarantined'] }, { limit: 10 })
    expect(rows.map(({ data }) => data)).toEqual([
      expect.objectContaining({ reason: 'malware', detail: `malware: ${EICAR_NAME}` }),
      expect.objectContaining({ reason: 'malware', detail: `malware: ${EICAR_NAME}` }),
    ])
  })

  test('without a scanner nothing is flagged', async () => {
    await bed.deliver([raw])
    await bed.index()
    expect(await rowOf(raw)).toMatchObject({ status: 'PARSED', flags: [] })
  })

  test('what is over the limit of the scanner is indexed and flagged', async () => {
    await bed.deliver([large])
    await bed.index(scanning())
    expect(await rowOf(large)).toMatchObject({ status: 'PARSED', flags: ['unscanned'] })
  })

  test.each(['killed', 'frozen'])(
    'deferred while it is %s: nothing is indexed or lost, and all of it is later',
    async (how) => {
      if (how === 'killed') await clamd.kill()
      else clamd.freeze()
      await bed.deliver([clean, infected, raw])
      const running = bed.start(scanning('defer', scanner(300)))
      try {
        await new Promise((resolve) => setTimeout(resolve, 1500))
        for (const each of [clean, infected, raw]) {
          expect((await findMessage(bed.store, each.meta.messageId))?.status ?? 'STORED').toBe('STORED')
        }
        expect((await listCheckpoints(bed.store)).find(({ group }) => group === 'indexer')?.offset ?? 0).toBe(0)
      } finally {
        if (how === 'killed') await clamd.start()
        else clamd.thaw()
      }
      await eventually(() => bed.settled())
      await running.stop()
      expect((await rowOf(clean)).status).toBe('PARSED')
      expect((await rowOf(infected)).status).toBe('QUARANTINED')
      expect((await rowOf(raw)).status).toBe('QUARANTINED')
    },
  )

  test.each(['killed', 'frozen'])(
    'accepted while it is %s, flagged, and found by the flag for a scan later',
    async (how) => {
      if (how === 'killed') await clamd.kill()
      else clamd.freeze()
      try {
        await bed.deliver([clean, infected])
        await bed.index(scanning('accept', scanner(300)))
      } finally {
        if (how === 'killed') await clamd.start()
        else clamd.thaw()
      }
      expect(await rowOf(clean)).toMatchObject({ status: 'PARSED', flags: ['unscanned'] })
      expect(await rowOf(infected)).toMatchObject({ status: 'PARSED', flags: ['unscanned'] })
      expect(await told({ by: 'filter', filter: { flag: 'unscanned' } })).toMatchObject({ done: 2 })
      await bed.index(scanning('accept'))
      expect(await rowOf(clean)).toMatchObject({ status: 'PARSED', flags: [] })
      expect(await rowOf(infected)).toMatchObject({ status: 'QUARANTINED', reason: 'malware' })
      expect(await told({ by: 'filter', filter: { flag: 'unscanned' } })).toMatchObject({ done: 0 })
    },
  )

  test.each(['defer', 'accept'] as const)(
    'killed in mid-stream (%s): the message is read to its end all the same',
    async (down) => {
      const by = scanner()
      let killed = false
      const killing: Scanner = {
        ...by,
        scan: (body, signal) =>
          by.scan(
            (async function* () {
              for await (const chunk of body) {
                yield chunk
                if (!killed) await clamd.kill().then(() => (killed = true))
              }
            })(),
            signal,
          ),
      }
      await bed.deliver([large])
      const running = bed.start(scanning(down, killing))
      await eventually(() => killed)
      if (down === 'defer') await clamd.start()
      await eventually(() => bed.settled())
      if (down === 'accept') await clamd.start()
      await running.stop()
      expect(await rowOf(large)).toMatchObject({ status: 'PARSED', flags: ['unscanned'] })
    },
  )

  test('new signatures: a dry run tells what a replay then does, and what was set aside comes back when they are gone', async () => {
    await bed.deliver([clean, large])
    await bed.index(scanning())
    await clamd.know('Test.Row', 'a row that is long enough')
    const previews = async () => {
      const found = new Map<string, Preview>()
      const options = { selector: all, perSecond: 10_000, signal: new AbortController().signal }
      const previewing = {
        ...parts(),
        parsers: bed.parsers,
        workDir: `${bed.workRoot}/preview`,
        retries: 3,
        ...scanning(),
      }
      for await (const preview of previewReplay(previewing, options)) found.set(preview.messageId, preview)
      return found
    }
    const found = await previews()
    expect(found.get(clean.meta.messageId)?.changes).toContainEqual({ field: 'reason', before: null, after: 'malware' })
    expect(found.get(large.meta.messageId)).toMatchObject({ outcome: 'same' })
    expect((await rowOf(clean)).status).toBe('PARSED')
    await told(all)
    await bed.index(scanning())
    const name = 'Test.Row.UNOFFICIAL'
    expect(await rowOf(clean)).toMatchObject({ status: 'QUARANTINED', detail: { signature: name } })
    await clamd.forget()
    await told({ by: 'filter', filter: { status: 'QUARANTINED', reason: 'malware' } })
    await bed.index(scanning())
    expect(await rowOf(clean)).toMatchObject({ status: 'PARSED', reason: null, detail: null, attachmentCount: 1 })
  })

  test('what was scanned before its 250 is not scanned again, but in a replay', async () => {
    const marked = (each: Mail, scan: NonNullable<Mail['meta']['envelope']['scan']>): Mail => ({
      ...each,
      meta: { ...each.meta, envelope: { ...each.meta.envelope, scan } },
    })
    const passed = marked(raw, { verdict: 'clean' })
    const caught = marked(clean, { verdict: 'infected', signature: 'Said.Before' })
    for (const each of [passed, caught]) await putMail(bed.blobs, each)
    await bed.log.append([passed.event, caught.event])
    await bed.index(scanning())
    expect((await rowOf(passed)).status).toBe('PARSED')
    expect(await rowOf(caught)).toMatchObject({ status: 'QUARANTINED', detail: { signature: 'Said.Before' } })
    await told(all)
    await bed.index(scanning())
    expect(await rowOf(passed)).toMatchObject({ status: 'QUARANTINED', detail: { signature: EICAR_NAME } })
    expect((await rowOf(caught)).status).toBe('PARSED')
    await told(all)
    await bed.index()
    expect((await rowOf(caught)).status).toBe('QUARANTINED')
  })

  test('a message that the scanner fails on, while it scans others, is FAILED in the end and not let through', async () => {
    const by = scanner()
    let others = 10
    const failing: Scanner = {
      ...by,
      async scan(body, signal) {
        const bytes = Buffer.concat(await Array.fromAsync(body))
        if (bytes.includes('<3@x>')) throw new ScannerError('failed', "clamd: stream: Can't allocate memory ERROR")
        return by.scan(Readable.from([bytes]), signal)
      },
    }
    await bed.deliver([raw])
    const quick = { ...fastClock, sleep: (ms: number, signal?: AbortSignal) => fastClock.sleep(ms / 20, signal) }
    const running = bed.start({ ...scanning('defer', failing), clock: quick })
    const failed = async () => (await findMessage(bed.store, raw.meta.messageId))?.status === 'FAILED'
    await eventually(async () => {
      await bed.deliver([mail((others += 1), `Message-ID: <${others}@x>\n\nmark\n`)])
      return failed()
    })
    await running.stop()
    expect(await rowOf(raw)).toMatchObject({ reason: 'unscannable', attachmentCount: 0 })
  })
})
