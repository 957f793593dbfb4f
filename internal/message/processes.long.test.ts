// The parser processes: what one message does to its process never reaches another message, and no process is left behind.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Clock, Log } from '../ports/ports.ts'
import { attachment, LIMITS_IN_TESTS, mail, mixed } from './fixtures.ts'
import { parserPool, type OwnedPool, type ParseOutcome, type PoolOptions } from './message.ts'
import { RAW_BYTES_MAX } from './raw.ts'

const FAULTY = join(import.meta.dirname, 'faulty.fixture.ts')
const MIB = 1024 * 1024

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { ...(signal && { signal }), ref: false }),
}
const silent = (): void => {}
const log: Log = { debug: silent, info: silent, warn: silent, error: silent }

let workRoot: string
let registry: Registry
let pool: OwnedPool
let messages = 0

function poolOf(options: Partial<PoolOptions> = {}): OwnedPool {
  const limits = LIMITS_IN_TESTS
  registry = new Registry()
  return parserPool({
    processes: 1,
    deadlineMs: 10_000,
    memoryMaxBytes: 256 * MIB,
    limits,
    workRoot,
    clock,
    log,
    registry,
    ...options,
  })
}

beforeEach(async () => {
  workRoot = join(await mkdtemp(join(tmpdir(), 'pool-')), 'work')
  await mkdir(workRoot)
  pool = poolOf({ program: FAULTY })
})

afterEach(async () => {
  await pool.close()
  expect(await children()).toEqual([])
  await rm(join(workRoot, '..'), { recursive: true })
})

async function parse(
  raw: string,
  more: { sizeBytes?: number; open?(): Readable | Buffer } = {},
): Promise<ParseOutcome> {
  const workDir = join(workRoot, `m${(messages += 1)}`)
  const bytes = Buffer.from(raw, 'latin1')
  return pool.parse({ workDir, sizeBytes: bytes.length, open: () => Readable.from([bytes]), ...more })
}

/** Process ids of parser processes that this test started. */
async function children(): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const mine = pids.map(async (pid) => {
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
    return line.includes(workRoot) ? [pid] : []
  })
  return (await Promise.all(mine)).flat()
}

const failures = async (kind: string): Promise<number | undefined> => {
  const metric = await registry.getSingleMetric('mail_ingest_parse_failures_total')?.get()
  return metric?.values.find((value) => value.labels['kind'] === kind)?.value
}

const faulty = (fault: string): string => `X-Fault: ${fault}\r\n${mail('', 'x')}`
const good = mixed(attachment('filename=a.txt', 'hello'))

test('a message and its attachments', async () => {
  const outcome = await parse(good)
  if (!outcome.ok) throw new Error(outcome.detail)
  const [file] = outcome.message.attachments
  expect(outcome.message).toMatchObject({ subject: 's', flags: [] })
  expect(await readFile(file?.path ?? '', 'utf8')).toBe('hello')
})

test('bytes that are all there are as good as a stream, be they few or many', async () => {
  for (const raw of [good, mail('', 'line\r\n'.repeat(RAW_BYTES_MAX / 4))]) {
    const open = (): Buffer => Buffer.from(raw, 'latin1')
    const [fromBytes, fromStream] = [await parse(raw, { open }), await parse(raw)]
    if (!fromBytes.ok || !fromStream.ok) throw new Error('not parsed')
    for (const { message } of [fromBytes, fromStream]) for (const file of message.attachments) file.path = ''
    expect(fromBytes).toEqual(fromStream)
    expect(await parse(raw, { open, sizeBytes: raw.length - 1 })).toMatchObject({ trouble: 'source' })
    expect(await parse(raw, { open, sizeBytes: raw.length + 1 })).toMatchObject({ trouble: 'source' })
  }
})

test('a limit quarantines', async () => {
  const parts = mixed(...Array.from({ length: 1001 }, () => 'x'))
  expect(await parse(parts)).toEqual({ ok: false, reason: 'mime_parts', detail: 'more than 1000 MIME parts' })
  expect(await failures('limit')).toBe(1)
})

test('a process serves many messages', async () => {
  await parse(good)
  const [pid] = await children()
  for (let at = 0; at < 5; at += 1) expect(await parse(good)).toMatchObject({ ok: true })
  expect(await children()).toEqual([pid])
})

test('a message that never ends is killed at its deadline, and others go on meanwhile and afterwards', async () => {
  pool = poolOf({ program: FAULTY, processes: 2, deadlineMs: 500 })
  const stuck = parse(faulty('spin'))
  for (let at = 0; at < 5; at += 1) expect(await parse(good)).toMatchObject({ ok: true })
  // 0.5 s and one second for the first MiB.
  expect(await stuck).toEqual({ ok: false, reason: 'parse_timeout', detail: 'not parsed within 1500 ms' })
  expect(await failures('timeout')).toBe(1)
  expect(await parse(good)).toMatchObject({ ok: true })
})

test('no process is left spinning once its message was given up', async () => {
  pool = poolOf({ program: FAULTY, deadlineMs: 100 })
  expect(await parse(faulty('spin'))).toMatchObject({ reason: 'parse_timeout' })
  expect(await children()).toEqual([])
})

test.each(['hog', 'heap'])('a message that takes all memory is killed (%s)', async (fault) => {
  const outcomes = await Promise.all([parse(faulty(fault)), parse(good)])
  expect(outcomes).toMatchObject([{ ok: false, reason: 'parse_memory' }, { ok: true }])
  expect(await failures('limit')).toBe(1)
})

test('a message that crashes its process twice is quarantined', async () => {
  const outcomes = await Promise.all([parse(faulty('crash')), parse(good)])
  expect(outcomes).toMatchObject([{ ok: false, reason: 'parse_crash' }, { ok: true }])
  expect(await failures('crash')).toBe(1)
})

test('a message whose process dies once is parsed by another', async () => {
  expect(await parse(faulty('stumble'))).toMatchObject({ ok: true })
  expect(await failures('crash')).toBe(0)
})

test('a process that was killed while it had nothing to do is replaced, without a try lost', async () => {
  await parse(good)
  for (const pid of await children()) process.kill(pid, 'SIGKILL')
  while ((await children()).length > 0) await sleep(10)
  await sleep(50)
  expect(await parse(faulty('stumble'))).toMatchObject({ ok: true })
})

test('a process cannot write outside the work root', async () => {
  expect(await parse(faulty('escape'))).toMatchObject({ reason: 'parse_crash' })
  expect(await readdir(join(workRoot, '..'))).toEqual(['work'])
})

test('a process cannot read what lies beside the code, where the data of a first start is', async () => {
  expect(await parse(faulty('peek'))).toMatchObject({ reason: 'parse_crash' })
})

test('processes are started ahead of the first message, and serve it', async () => {
  await pool.close()
  pool = poolOf({ processes: 2 })
  await pool.startAhead()
  const ahead = await children()
  expect(ahead).toHaveLength(2)
  expect(await parse(good)).toMatchObject({ ok: true })
  expect(await children()).toEqual(ahead)
})

test('trouble of ours is no fault of the message', async () => {
  const large = Buffer.alloc(RAW_BYTES_MAX + 1, 'x')
  await writeFile(join(workRoot, 'file'), '')
  const failing = (): Readable =>
    new Readable({
      read() {
        this.destroy(new Error('no object store'))
      },
    })
  expect(await parse(good, { open: failing })).toMatchObject({ trouble: 'source', cause: new Error('no object store') })
  expect(await parse(good, { sizeBytes: 3 })).toMatchObject({ trouble: 'source' })
  expect(await parse(good, { sizeBytes: 30_000 })).toMatchObject({ trouble: 'source' })
  expect(
    await pool.parse({
      workDir: join(workRoot, 'file', 'm'),
      sizeBytes: large.length,
      open: () => Readable.from([large]),
    }),
  ).toMatchObject({ trouble: 'disk' })
  expect(
    await pool.parse({ workDir: tmpdir(), sizeBytes: 1, open: () => Readable.from([Buffer.from('x')]) }),
  ).toMatchObject({ trouble: 'disk' })
  expect(await parse(good)).toMatchObject({ ok: true })
})

test('an attachment that cannot be written is no fault of the message', async () => {
  const workDir = join(workRoot, 'taken')
  await mkdir(join(workDir, 'attachment-1'), { recursive: true })
  const open = (): Readable => Readable.from([Buffer.from(good)])
  expect(await pool.parse({ workDir, sizeBytes: good.length, open })).toMatchObject({ trouble: 'disk' })
  expect(await failures('crash')).toBe(0)
})

test('a program that does not start is trouble of ours', async () => {
  pool = poolOf({ program: join(workRoot, 'none.ts') })
  expect(await parse(good)).toMatchObject({ ok: false, trouble: 'child' })
})

test('close while the first process starts leaves none either', async () => {
  const under = parse(good)
  while ((await children()).length === 0) await sleep(5)
  await pool.close()
  expect(await under).toMatchObject({ trouble: 'closed' })
})

test('close ends what is under way and what waits, and leaves no process', async () => {
  await parse(good)
  const stuck = parse(faulty('spin'))
  await sleep(200)
  const under = [stuck, parse(good)]
  await sleep(50)
  await pool.close()
  expect(await Promise.all(under)).toMatchObject([{ trouble: 'closed' }, { trouble: 'closed' }])
  expect(await children()).toEqual([])
  expect(await parse(good)).toMatchObject({ trouble: 'closed' })
  expect(await failures('crash')).toBe(0)
})
