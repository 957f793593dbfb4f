// A process to be killed: fills the spool in argv[2] with mail of mixed sizes and tells of each acknowledged message in a line of its
// own, `<id> <bytes>`. A body is its id over and over, so that anyone can check it.
import { randomBytes, randomUUID } from 'node:crypto'
import { writeSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { nodeFs, openWriter } from '../spool.ts'

const SESSIONS = 16
const CHUNK = 64 * 1024
const [, , dir = '', mode = 'load'] = process.argv

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => wait(ms, undefined, signal === undefined ? {} : { signal }),
}

function sizeAtRandom(): number {
  const kind = Math.random()
  if (kind < 0.75) return Math.floor(Math.random() * 8_000)
  return kind < 0.95 ? Math.floor(Math.random() * 200_000) : 300_000 + Math.floor(Math.random() * 500_000)
}

const limits = { segmentBytes: 4 * 1024 * 1024, freeMinBytes: 0, freeResumeBytes: 0 }
const writer = await openWriter({ fs: nodeFs(), dir, clock, random: randomBytes, limits })
writeSync(1, 'ready\n')

async function session(): Promise<void> {
  for (;;) {
    const id = randomUUID()
    const body = Buffer.alloc(sizeAtRandom(), id)
    const draft = writer.begin(id)
    for (let at = 0; at < body.length; at += CHUNK) await draft.write(body.subarray(at, at + CHUNK))
    await draft.commit({ id })
    writeSync(1, `${id} ${body.length}\n`)
    writer.note(randomUUID(), { after: id })
  }
}

if (mode === 'load') await Promise.all(Array.from({ length: SESSIONS }, session))
else await wait(60_000)
