// `make bench-flood`: two thousand idle sessions, two thousand that send an octet a second, and a hundred thousand NOOPs against one
// smtpd, and a legitimate sender meanwhile. Asserts what is promised and writes bench/flood.md.

import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { findLine, startStage, type Stage } from '../test/cluster.ts'
import { entryIdOf, mailOf, Session } from '../test/mail.ts'
import { pause, startSystem } from '../test/system.ts'
import type { Flood, Told } from './flooders.ts'
import { percentile } from './load.ts'

const NOOPS = Number(process.env['BENCH_NOOPS'] ?? 100_000)
const IDLE = Number(process.env['BENCH_IDLE'] ?? 2000)
const SLOW = Number(process.env['BENCH_SLOW'] ?? 2000)
/** The sender goes on for so long at least, so that much comes from the slow ones. */
const SECONDS_MIN = Number(process.env['BENCH_SECONDS'] ?? 30)
const SPARE_SESSIONS = 100
const MAIL_EVERY_MS = 10
const MAIL_BYTES = 4000
const P99_MS = 500
const MEMORY_MB = 400
const TO = 'orders+acme@mail.localhost'

interface Mail {
  /** From the connection to the 250. */
  ms: number
  /** While NOOPs came. */
  flooded: boolean
}

const folder = mkdtempSync(join(tmpdir(), 'mail-ingest-flood-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

/** smtpd as a process of its own, as production runs it: its disk is its only companion. */
async function smtpd(): Promise<Stage> {
  // Brings the directory snapshot.
  await (await startSystem(folder)).stop()
  return startStage('smtpd', folder, { SMTP_MAX_SESSIONS: String(IDLE + SLOW + SPARE_SESSIONS) })
}

/** Largest resident memory of a process so far, megabytes (proc(5)). */
const memoryMb = (pid: number): number =>
  (Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024) / 1e6

async function mail(port: number, nth: number): Promise<number> {
  const began = performance.now()
  const session = await Session.open(port)
  const reply = await session.send('ann@sender.example', [TO], mailOf(`flood-${nth}`, MAIL_BYTES))
  if (entryIdOf(reply) === undefined) throw new Error(`not accepted: ${reply}`)
  session.close()
  return performance.now() - began
}

async function measure(port: number): Promise<{ mails: Mail[]; over: Extract<Told, { what: 'over' }> }> {
  const flood: Flood = { port, to: TO, idle: IDLE, slow: SLOW, noops: NOOPS }
  const worker = new Worker(new URL('./flooders.ts', import.meta.url), { workerData: flood })
  await once(worker, 'message')
  const state: { over?: Extract<Told, { what: 'over' }> } = {}
  worker.on('message', (told: Told) => {
    if (told.what === 'over') state.over = told
  })
  const mails: Mail[] = []
  const began = performance.now()
  while (state.over === undefined || performance.now() - began < SECONDS_MIN * 1000) {
    const flooded = state.over === undefined
    mails.push({ ms: await mail(port, mails.length), flooded })
    await pause(MAIL_EVERY_MS)
  }
  await worker.terminate()
  return { mails, over: state.over }
}

const row = (name: string, mails: readonly Mail[]): string => {
  const times = mails.map(({ ms }) => ms)
  return `| ${name} | ${mails.length} | ${[0.5, 0.95, 0.99, 1].map((share) => percentile(times, share).toFixed(0)).join(' | ')} |`
}

const door = await smtpd()
const before = memoryMb(door.pid)
const { mails, over } = await measure(Number(findLine(door.lines, 'listening for SMTP')?.['port']))
const peak = memoryMb(door.pid)
await door.stop('SIGKILL')
const page = [
  '# A flood',
  '',
  `Written by \`make bench-flood\` on ${new Date().toISOString().slice(0, 10)}: ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores (load ${loadavg()[0]?.toFixed(0)}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}.`,
  'Those who flood and the legitimate sender share the machine with smtpd.',
  '',
  `${IDLE} idle sessions, ${SLOW} sessions that send content an octet a second, and ${NOOPS} NOOPs in ${over.noopSeconds.toFixed(0)} s from twenty sessions at a time.`,
  `Meanwhile one sender: a connection for each mail of 4 KB, time from connecting to the \`250\` (milliseconds).`,
  '',
  '| | mails | p50 | p95 | p99 | max |',
  '| --- | --- | --- | --- | --- | --- |',
  row(
    'while NOOPs come',
    mails.filter(({ flooded }) => flooded),
  ),
  row('whole run', mails),
  '',
  `Memory of smtpd: ${before.toFixed(0)} MB before, ${peak.toFixed(0)} MB at most. Sessions of the flood that ended before it did: ${over.lost}.`,
  '',
  `Promised: p99 under ${P99_MS} ms, memory under ${MEMORY_MB} MB.`,
  '',
].join('\n')
writeFileSync('bench/flood.md', page)
process.stdout.write(page)

const p99 = Math.max(
  percentile(
    mails.map(({ ms }) => ms),
    0.99,
  ),
  percentile(
    mails.filter(({ flooded }) => flooded).map(({ ms }) => ms),
    0.99,
  ),
)
const problems = [
  ...(p99 < P99_MS ? [] : [`p99 ${p99.toFixed(0)} ms`]),
  ...(peak < MEMORY_MB ? [] : [`memory ${peak.toFixed(0)} MB`]),
  ...(over.lost === 0 ? [] : [`${over.lost} sessions of the flood were gone`]),
]
if (problems.length > 0) process.stderr.write(`not as promised: ${problems.join(', ')}\n`)
process.exit(problems.length > 0 ? 1 : 0)
