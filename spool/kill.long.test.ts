// Real processes on a real disk: a writer under load is killed at random moments, hundreds of times, while a reader in this process
// follows it and is restarted now and then. What the writer told before it died is compared with what was read.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inspect, nodeFs, openReader, openWriter, SpoolError, type SpoolEntry, type SpoolOptions } from './spool.ts'
import { bodyOf, numbers } from './testing/rig.ts'

const KILLS = 220
const SEED = Number(process.env['SPOOL_SEED'] ?? Date.now() % 1_000_000)
const LIFE_MS_MAX = 350
const PROGRAM = join(import.meta.dirname, 'testing/program.ts')

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => wait(ms, undefined, signal === undefined ? {} : { signal }),
}

let dir = ''
let children: ChildProcess[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'spool-kill-'))
})
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  rmSync(dir, { recursive: true })
})

const options = (): SpoolOptions => ({ fs: nodeFs(), dir: join(dir, 'spool'), clock, random: randomBytes })

function start(mode: string, told: (line: string) => void): ChildProcess {
  const child = spawn(process.execPath, [PROGRAM, options().dir, mode], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) told(line)
  })
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
  children = children.filter((each) => each !== child)
}

/** Follows the log for `ms`, and checks and finishes every entry. */
async function follow(ms: number, seen: Map<string, number>): Promise<void> {
  const reader = await openReader(options())
  const stop = new AbortController()
  const stopped = wait(ms).then(() => stop.abort())
  for await (const entry of reader.entries(stop.signal)) {
    if ('note' in entry) {
      await reader.done(entry.id)
      continue
    }
    await readWhole(entry)
    seen.set(entry.id, (seen.get(entry.id) ?? 0) + 1)
    await reader.done(entry.id)
  }
  await stopped
  await reader.close()
}

async function readWhole(entry: SpoolEntry): Promise<void> {
  const body = await bodyOf(entry)
  if (!body.equals(Buffer.alloc(body.length, entry.id)) || body.length !== entry.sizeBytes)
    throw new Error(`${entry.id} is damaged`)
}

test(`a writer killed ${KILLS} times under load loses nothing that it acknowledged (seed ${SEED})`, async () => {
  const next = numbers(SEED)
  const told = new Map<string, number>()
  const seen = new Map<string, number>()
  const enough = new AbortController()
  const reader = (async () => {
    while (!enough.signal.aborted) await follow(next() * 3000, seen)
  })()
  for (let kills = 0; kills < KILLS; kills++) {
    const child = start('load', (line) => {
      const [id = '', bytes = ''] = line.split(' ')
      if (id !== 'ready') told.set(id, Number(bytes))
    })
    await wait(next() * LIFE_MS_MAX)
    await kill(child)
  }
  enough.abort()
  await reader
  const writer = await openWriter(options())
  await follow(3000, seen)
  await writer.close()

  const lost = [...told.keys()].filter((id) => !seen.has(id))
  console.log(`seed ${SEED}: ${told.size} acknowledged, ${seen.size} read, ${KILLS} kills`)
  expect(lost).toEqual([])
  expect(told.size).toBeGreaterThan(KILLS)
  for await (const aside of inspect(options()).aside()) throw new Error(`${aside.id} was set aside: ${aside.reason}`)
  const bad: unknown[] = []
  for await (const finding of inspect(options()).verify({ bodies: true })) bad.push(finding)
  expect(bad).toEqual([])
  expect(readdirSync(join(options().dir, 'large'))).toEqual([])
}, 240_000)

test('the writer lock ends with its process, also by SIGKILL', async () => {
  let ready: () => void = () => undefined
  const isReady = new Promise<void>((resolve) => (ready = resolve))
  const child = start('hold', ready)
  await isReady
  await expect(openWriter(options())).rejects.toMatchObject({ fault: 'locked' })
  await kill(child)
  const writer = await openWriter(options())
  await expect(openWriter(options())).rejects.toThrow(SpoolError)
  await writer.close()
})
