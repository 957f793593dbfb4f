// The parser's program with faults, for the tests of the pool: the first line of a message says what goes wrong with it.

import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Job } from './parse.ts'

const FAULTS: Record<string, (job: Job) => void> = {
  spin: () => {
    for (;;);
  },
  hog: () => {
    const held: Buffer[] = []
    for (;;) held.push(Buffer.alloc(1024 * 1024, 1))
  },
  heap: () => {
    const held: object[] = []
    for (;;) held.push({ held: held.length })
  },
  crash: () => {
    throw new Error('the parser has a bug')
  },
  /** Dies of its first try only. */
  stumble: (job) => {
    const mark = join(job.workDir, 'stumbled')
    if (existsSync(mark)) return
    mkdirSync(job.workDir, { recursive: true })
    appendFileSync(mark, '')
    process.kill(process.pid, 'SIGKILL')
  },
  /** Reads what lies beside the code, as the data of a first start does. */
  peek: () => {
    readFileSync(join(import.meta.dirname, '..', '..', 'README.md'))
  },
  /** Writes beside its work root. */
  escape: (job) => appendFileSync(join(dirname(dirname(job.workDir)), 'escaped'), 'x'),
}

process.on('message', (message) => {
  const job = message as Job
  const raw = 'path' in job.raw ? readFileSync(job.raw.path, 'latin1') : Buffer.from(job.raw.bytes).toString('latin1')
  const [, fault = ''] = /^X-Fault: (\w+)/.exec(raw) ?? []
  FAULTS[fault]?.(job)
})

await import('./child.ts')
