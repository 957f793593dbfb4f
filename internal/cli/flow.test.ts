import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { nodeFs, openWriter } from '../../spool/spool.ts'
import { sqliteEventLog } from '../eventlog/sqlite.ts'
import { saveCheckpoint } from '../store/store.ts'
import { THRESHOLDS } from './status.ts'
import { clock, emptyDesk, indexed, ids, NOW, openDesk, silent, spooled } from './testing/desk.ts'
import { holdersIn } from './locks.ts'
import { durationText, instant, sizeBytes } from './quantity.ts'
import { progressText } from './progress.ts'

interface Event {
  id: string
  type: string
  subject: string
  replayid?: string
  position: { topic: string; offset: number }
}

describe('events', () => {
  test('query by message, entry, trace and event id gives the same event', async () => {
    const desk = await openDesk()
    await indexed(desk)
    const kept = await indexed(desk)
    const [event] = await desk.json<Event[]>(`events query ${kept.id}`)
    expect(event).toMatchObject({
      type: 'ingest.received',
      subject: kept.id,
      position: { topic: 'mail.ingest.v1', offset: 1 },
    })
    for (const id of [kept.entryId, kept.traceId, event?.id])
      expect(await desk.json(`events query --id ${id}`)).toEqual([event])
  })

  test.each([
    ['', 3],
    ['--tenant acme', 3],
    ['--tenant globex', 0],
    ['--type ingest.received', 3],
    ['--type message.quarantined,message.failed', 0],
    ['--topic mail.ingest.v1 --offset 1', 2],
    ['--from 1h', 3],
    ['--from 2026-10-06T10:11:13Z', 0],
    ['--to 2026-10-06', 0],
    ['--limit 2', 2],
    ['-n 1', 1],
  ])('query %s finds %i', async (line, count) => {
    const desk = await openDesk()
    for (let at = 0; at < 3; at += 1) await indexed(desk)
    expect(await desk.json<Event[]>(`events query ${line}`)).toHaveLength(count)
  })

  test('tail shows the last and then each new one, once, until interrupted', async () => {
    const desk = await openDesk()
    const before = [await indexed(desk), await indexed(desk)]
    const stop = new AbortController()
    const tailing = desk.run('events tail -n 1 --json', { signal: stop.signal })
    await sleep(150)
    const after = await indexed(desk)
    await sleep(150)
    stop.abort()
    const { status, stdout, stderr } = await tailing
    const subjects = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Event).subject)
    expect(subjects).toEqual([before[1]?.id, after.id])
    expect({ status, stderr }).toEqual({ status: 130, stderr: '' })
  })
})

describe('replay', () => {
  test('states the count, does nothing in a dry run, and tells each message once', async () => {
    const desk = await openDesk()
    const kept = [await indexed(desk), await indexed(desk)]
    const dry = await desk.run('replay --tenant acme --dry-run')
    expect(dry.stdout).toContain('2 messages tenant=acme would be indexed again')
    for (const { id } of kept) expect(dry.stdout).toContain(id)
    expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 2 }])

    expect((await desk.run('replay --tenant acme')).status).toBe(2)
    const { status, stderr } = await desk.run('replay --tenant acme --yes')
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringMatching(
        /^2 messages tenant=acme\nif it is interrupted, go on with: ingestctl replay --resume \S+\n$/,
      ),
    })
    const events = await desk.json<Event[]>('events query')
    expect(
      events
        .slice(2)
        .map(({ subject }) => subject)
        .toSorted(),
    ).toEqual(kept.map(({ id }) => id).toSorted())
    expect(new Set(events.map(({ id }) => id)).size).toBe(2)
  })

  test('takes ids from stdin, and refuses all when one is unknown', async () => {
    const desk = await openDesk()
    const { id, entryId } = await indexed(desk)
    expect((await desk.run('replay -', { input: `${id}\n\n${entryId}  PARSED\n` })).status).toBe(0)
    expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 2 }])
    const { status, stderr } = await desk.run('replay -', { input: `${id}\nnothing\n` })
    expect({ status, named: stderr.includes('nothing') }).toEqual({ status: 3, named: true })
    expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 2 }])
    expect((await desk.run('replay -', { input: '' })).status).toBe(2)
  })

  test('the limit cuts and says so', async () => {
    const desk = await openDesk()
    for (let at = 0; at < 3; at += 1) await indexed(desk)
    const { stderr } = await desk.run('replay --tenant acme --yes --limit 2')
    expect(stderr).toContain('3 messages tenant=acme; --limit ends after 2 of them')
    expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 5 }])
  })

  test('interrupted, it ends with 130, says how to go on, and goes on to the end', async () => {
    const desk = await openDesk()
    for (let at = 0; at < 5; at += 1) await indexed(desk)
    const stop = new AbortController()
    const running = desk.run('replay --tenant acme --yes --rate 1', { signal: stop.signal })
    await sleep(300)
    stop.abort()
    const { status, stderr } = await running
    expect(status).toBe(130)
    const job = /go on with: ingestctl replay --resume (\S+)/.exec(stderr)?.[1]
    expect(await desk.json(`replay --resume ${job}`)).toMatchObject({
      job,
      state: 'done',
      total: 5,
      done: 5,
      failed: 0,
    })
    const replayed = (await desk.json<Event[]>('events query')).slice(5)
    expect(new Set(replayed.map(({ subject }) => subject)).size).toBe(5)
    expect((await desk.run(`replay --resume ${job}`)).status).toBe(5)
    expect((await desk.run('replay --resume nothing')).status).toBe(3)
  })

  test('a dry run of a resumption shows the job and tells nothing', async () => {
    const desk = await openDesk()
    for (let at = 0; at < 5; at += 1) await indexed(desk)
    const stop = new AbortController()
    const running = desk.run('replay --tenant acme --yes --rate 1', { signal: stop.signal })
    await sleep(300)
    stop.abort()
    const job = /--resume (\S+)/.exec((await running).stderr)?.[1]
    const [before] = await desk.log.ends('mail.ingest.v1')
    expect(await desk.json(`replay --resume ${job} --dry-run`)).toMatchObject({ job, state: 'interrupted', total: 5 })
    expect((await desk.run(`replay --resume ${job} --tenant acme`)).status).toBe(2)
    expect((await desk.run(`replay --resume nothing --dry-run`)).status).toBe(3)
    expect(await desk.log.ends('mail.ingest.v1')).toEqual([before])
  })

  test('says in every form what a dry run found, and calls nothing a dry run that was none', async () => {
    const desk = await openDesk()
    const { id } = await indexed(desk, { status: 'FAILED', reason: 'object_missing', parser: null })
    const plain = (await desk.run('replay --tenant acme --dry-run --plain')).stdout
    expect(plain.startsWith(`count\t1\nmatching\t1\nsample\t${id}\ncompared\t1\nsame\t0\nchanged\t1\n`)).toBe(true)
    expect(plain).toContain(`kind\t1 status FAILED → PARSED\n`)
    expect(plain).toContain(`change\t${id} reason: object_missing → -\n`)
    const people = (await desk.run('replay --tenant acme --dry-run')).stdout
    expect(people).toContain('1 message tenant=acme would be indexed again\n1 message compared: 1 would change\n')
    expect(people).toContain(`\n${id}  would change\n`)
    expect(people).toContain('\n  subject: Hello → ')
    expect(await desk.json('replay --tenant acme --dry-run')).toMatchObject({
      dryRun: true,
      count: 1,
      changed: 1,
      kinds: { 'status FAILED → PARSED': 1 },
      messages: [
        { messageId: id, changes: expect.arrayContaining([{ field: 'status', before: 'FAILED', after: 'PARSED' }]) },
      ],
    })
    expect(await desk.json('replay --tenant globex --yes')).toMatchObject({ dryRun: false, count: 0 })
  })

  test('a dry run shows so many as are asked for, and counts all', async () => {
    const desk = await openDesk()
    for (let at = 0; at < 3; at += 1) await indexed(desk)
    const found = await desk.json<{ compared: number; messages: unknown[] }>('replay --tenant acme --dry-run --show 1')
    expect({ compared: found.compared, shown: found.messages.length }).toEqual({ compared: 3, shown: 1 })
    expect((await desk.run('replay --tenant acme --dry-run --show 1')).stdout).toContain('\nand 2 more; --show')
    expect(await desk.json('replay --tenant acme --dry-run --limit 2')).toMatchObject({ matching: 3, compared: 2 })
    expect(await desk.json('replay --tenant acme --dry-run --limit all')).toMatchObject({ compared: 3 })
  })

  test('a dry run that is interrupted says what was compared, and ends with 130', async () => {
    const desk = await openDesk()
    for (let at = 0; at < 5; at += 1) await indexed(desk)
    const stop = new AbortController()
    const running = desk.run('replay --tenant acme --dry-run --rate 1 --json', { signal: stop.signal })
    await sleep(2500)
    stop.abort()
    const { status, stdout } = await running
    const { compared } = JSON.parse(stdout) as { compared: number }
    expect({ status, all: compared === 5 }).toEqual({ status: 130, all: false })
  })

  test('a dry run where an object is gone says what would become of the message', async () => {
    const desk = await openDesk()
    const { id } = await indexed(desk, { status: 'QUARANTINED', reason: 'mime_depth' })
    for await (const { key } of desk.blobs.list('')) await desk.blobs.delete(key)
    const { stdout } = await desk.run(`replay ${id} --dry-run`)
    expect(stdout).toContain('status QUARANTINED → FAILED')
    expect(stdout).toContain('reason: mime_depth → object_missing')
  })
})

describe('quarantine', () => {
  const reason = { status: 'QUARANTINED', reason: 'mime_depth', detail: { message: 'too deep', depth: 150 } } as const

  test('is listed with its reasons, shown, and re-driven by reason', async () => {
    const desk = await openDesk()
    const bad = await indexed(desk, reason)
    const good = await indexed(desk)
    const { stdout, stderr } = await desk.run('quarantine list')
    expect(stdout).toContain(bad.id)
    expect(stdout).not.toContain(good.id)
    expect(stderr).toContain('in all: 1 mime_depth')
    expect((await desk.run(`quarantine show ${bad.id}`)).stdout).toMatch(/detail depth: +150/)
    expect((await desk.run(`quarantine show ${good.id}`)).status).toBe(5)
    expect((await desk.run('quarantine redrive --reason mime_depth --dry-run')).stdout).toMatch(/^1 message /)
    expect((await desk.run('quarantine redrive --reason other --dry-run')).stdout).toMatch(/^0 messages /)
    expect((await desk.run('quarantine redrive --reason mime_depth --yes')).status).toBe(0)
    const events = await desk.json<Event[]>('events query')
    expect(events.slice(2).map(({ subject }) => subject)).toEqual([bad.id])
  })

  test('takes no ids beside a filter, which would be left out', async () => {
    const desk = await openDesk()
    const { id } = await indexed(desk, reason)
    expect((await desk.run(`quarantine redrive ${id} --reason other`)).status).toBe(2)
    expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 1 }])
  })

  test('takes no ids of other messages', async () => {
    const desk = await openDesk()
    const { id } = await indexed(desk)
    expect((await desk.run(`quarantine redrive ${id}`)).status).toBe(5)
    expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 1 }])
  })
})

describe('messages retry and process', () => {
  test('process takes duplicates only, and says so to the indexer', async () => {
    const desk = await openDesk()
    const first = await indexed(desk)
    const duplicate = await indexed(desk, { status: 'DUPLICATE', duplicateOf: first.id })
    expect((await desk.run(`messages process ${first.id}`)).status).toBe(5)
    expect((await desk.run(`messages process ${duplicate.id}`)).status).toBe(0)
    const [, , told] = await desk.log.query({ limit: 10 })
    expect(told?.event).toMatchObject({ subject: duplicate.id, replay: { force: 'duplicate' } })
    expect((await desk.run(`messages retry ${first.id}`)).status).toBe(0)
    const [, , , retried] = await desk.log.query({ limit: 10 })
    expect(retried?.event).toMatchObject({ subject: first.id, replay: { id: expect.any(String) } })
    expect(retried?.event.replay?.force).toBeUndefined()
  })
})

describe('status', () => {
  test('is 0 while all is well, and says what there is', async () => {
    const desk = await openDesk()
    await indexed(desk)
    const { status, stdout } = await desk.run('status --json')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'ok',
      messages: { value: { PARSED: 1 } },
      spool: { value: { entries: 0 } },
      last: { value: '2026-10-06T10:11:12.000Z' },
    })
  })

  test('is 1 when a message failed', async () => {
    const desk = await openDesk()
    await indexed(desk, { status: 'FAILED', reason: 'object_missing' })
    expect((await desk.run('status')).status).toBe(1)
  })

  test('counts what waits', async () => {
    const desk = await openDesk()
    await spooled(desk, ids.entryId(), Buffer.from('x\r\n'))
    expect(JSON.parse((await desk.run('status --json')).stdout)).toMatchObject({
      spool: { value: { entries: 1, bytes: 3 } },
    })
  })

  test.each([
    ['ok', 10_000, 0],
    ['warn', 61_000, 60_000],
    ['crit', 901_000, 900_000],
  ] as const)('tells lag in events and since when, by partition (%s)', async (level, ageMs, behindMs) => {
    const desk = await openDesk()
    const past = { ...clock, now: () => NOW - ageMs }
    const log = sqliteEventLog({ file: join(desk.dataDir, 'events.db'), clock: past, log: silent })
    for (let n = 0; n < 3; n++) await indexed({ ...desk, log })
    await log.close()
    const checkpoint = { group: 'indexer', topic: 'mail.ingest.v1', partition: 0, offset: 1, eventTime: null }
    await desk.store.transaction((tx) => saveCheckpoint(tx, { ...checkpoint, updatedAt: NOW }))
    expect(await desk.run('status --json').then(({ stdout }) => JSON.parse(stdout) as unknown)).toMatchObject({
      status: level,
      'lag indexer mail.ingest.v1': {
        level,
        value: { events: 2, behindMs, partitions: [{ partition: 0, checkpoint: 1, end: 3, events: 2 }] },
      },
    })
  })

  test('is 1 when the process that took mail is gone', async () => {
    const desk = await openDesk()
    const dir = join(desk.dataDir, 'spool')
    const writer = await openWriter({ fs: nodeFs(), dir, clock, random: randomBytes })
    const service = async () => (JSON.parse((await desk.run('status --json')).stdout) as { service: unknown }).service
    expect(await service()).toEqual({ level: 'ok', value: [process.pid] })
    await writer.close()
    expect(await service()).toEqual({ level: 'warn', value: [] })
    expect((await desk.run('status')).status).toBe(1)
  })

  test('is 2 when mail waits and no engine is there, and says how much waits', async () => {
    const desk = emptyDesk()
    await spooled(desk, ids.entryId(), Buffer.from('x\r\n'))
    const { status, stdout } = await desk.run('status --json')
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({
      spool: { value: { entries: 1 } },
      store: { level: 'crit' },
      'event log': { level: 'crit' },
      disk: { level: 'ok' },
    })
  })

  test('is 2 below the free space that mail needs', async () => {
    const desk = await openDesk()
    const environment = { SPOOL_FREE_MIN: '1099511627776', SPOOL_FREE_RESUME: '1099511627776' }
    expect((await desk.run('status', { environment })).status).toBe(2)
  })

  test('thresholds rise', () => {
    for (const { warn, crit } of Object.values(THRESHOLDS)) expect(crit).toBeGreaterThan(warn)
  })

  test('health is 1 where nothing answers', async () => {
    const environment = { METRICS_LISTEN: '127.0.0.1:1' }
    expect((await (await openDesk()).run('health', { environment })).status).toBe(1)
  })
})

describe('quantities', () => {
  test.each([
    ['20M', 20 * 2 ** 20],
    ['512k', 524_288],
    ['1GiB', 2 ** 30],
    ['0', 0],
  ])('%s is %i bytes', (text, bytes) => expect(sizeBytes(text)).toBe(bytes))

  test.each(['', '-1', '1.5M', 'M', '10MBit', '1e9'])('%j is no size', (text) =>
    expect(() => sizeBytes(text)).toThrow('not a size'),
  )

  test.each([
    ['1h', '2026-10-06T09:11:12.000Z'],
    ['2d', '2026-10-04T10:11:12.000Z'],
    ['2026-02-28', '2026-02-28T00:00:00.000Z'],
    ['2026-02-28T12:00', '2026-02-28T12:00:00.000Z'],
    ['2026-02-28T12:00:00+02:00', '2026-02-28T10:00:00.000Z'],
  ])('%s is %s', (text, iso) => expect(instant(text, NOW)).toBe(iso))

  test.each(['', 'now', '2026', '2026-13-01', '1 h', '06/10/2026'])('%j is no time', (text) =>
    expect(() => instant(text, NOW)).toThrow('not a time'),
  )

  test('durations have one unit', () => {
    expect([5, 1234, 90_000, 7_200_000, 200_000_000].map(durationText)).toEqual([
      '5 ms',
      '1.2 s',
      '2 min',
      '2 h',
      '2 d',
    ])
  })

  test('progress has count, rate, time left and failures', () => {
    expect(progressText({ done: 98, failed: 2, total: 1200 }, 2000)).toBe(
      '100 of 1,200 messages, 50/s, 22.0 s left, 2 failed',
    )
  })

  test('lock holders are read by inode', () => {
    const table =
      '1: POSIX  ADVISORY  WRITE 42 08:01:131 0 EOF\n2: POSIX  ADVISORY  READ 43 08:01:131 0 EOF\n3: FLOCK  ADVISORY  WRITE 44 08:01:1131 0 EOF\n'
    expect(holdersIn(table, 131)).toEqual([42])
  })
})
