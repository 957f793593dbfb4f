// What takes seconds: a very large message in bounded memory, and what is left when the parent is killed.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LIMITS_IN_TESTS } from './fixtures.ts'
import { parserPool } from './message.ts'

const MIB = 1024 * 1024
const silent = (): void => {}
const log = { debug: silent, info: silent, warn: silent, error: silent }
const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, { ...(signal && { signal }), ref: false }),
}

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pool-'))
})
afterEach(() => rm(directory, { recursive: true }))

test('an attachment of 100 MB is parsed with less than 300 MB of memory', async () => {
  const line = Buffer.from(`${Buffer.alloc(57, 7).toString('base64')}\r\n`)
  const block = Buffer.concat(Array.from({ length: 1000 }, () => line))
  const head = Buffer.from(
    'Subject: big\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n',
  )
  const blocks = Math.ceil((100 * 1000 * 1000) / 57_000)
  const hash = createHash('sha256')
  for (let at = 0; at < blocks; at += 1) hash.update(Buffer.alloc(57_000, 7))

  const pool = parserPool({
    processes: 1,
    deadlineMs: 20_000,
    // The bound of the claim: beyond it the message would be quarantined.
    memoryMaxBytes: 300 * MIB,
    limits: LIMITS_IN_TESTS,
    workRoot: directory,
    clock,
    log,
    registry: new Registry(),
  })
  const workDir = join(directory, 'm')
  await mkdir(workDir)
  const outcome = await pool.parse({
    workDir,
    sizeBytes: head.length + blocks * block.length,
    open: () => Readable.from([head, ...Array.from({ length: blocks }, () => block)]),
  })
  await pool.close()
  const file = { filename: 'a.zip', sizeBytes: blocks * 57_000, sha256: hash.digest('hex') }
  expect(outcome).toMatchObject({ ok: true, message: { attachments: [file] } })
})

test('a parser process does not outlive a parent that was killed', async () => {
  const parent = `
    import { Readable } from 'node:stream'
    import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
    import { Registry } from '@prometheus-io/client'
    import { parserPool } from './internal/message/message.ts'
    const clock = { now: () => 0, monotonic: () => 0, sleep: (ms, signal) => new Promise((_, no) => signal.addEventListener('abort', no)) }
    const log = { warn() {} }
    const workRoot = process.argv[1]
    mkdirSync(workRoot + '/m')
    const pool = parserPool({ processes: 1, deadlineMs: 1000, memoryMaxBytes: 2 ** 29, limits: ${JSON.stringify(LIMITS_IN_TESTS)}, workRoot, clock, log, registry: new Registry() })
    await pool.parse({ workDir: workRoot + '/m', sizeBytes: 4, open: () => Readable.from([Buffer.from('a: b')]) })
    console.log(readFileSync('/proc/self/task/' + process.pid + '/children', 'latin1').trim())
    process.kill(process.pid, 'SIGKILL')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', parent, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const pid = Number(await text(child.stdout))
  expect(pid).toBeGreaterThan(1)
  for (let waitedMs = 0; waitedMs < 5_000 && existsSync(`/proc/${pid}`); waitedMs += 20) await sleep(20)
  expect(existsSync(`/proc/${pid}`)).toBe(false)
})
