// `make bench`: the limits that are promised, asserted, and the ratio to a peer in the same run. Writes bench/results.md.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Session } from '../test/mail.ts'
import { environmentOf, ingestctlJson, pause, startProgram, startSystem } from '../test/system.ts'
import { dotsCost } from './dots.ts'
import { flatOut, percentile, steady, type Sample } from './load.ts'
import { tracingCost } from './tracing.ts'

const RATE = 50
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 30)
const ACCEPT_P95_MS = 100
const VISIBLE_P95_MS = 1000
const DOTS_RATIO_MAX = 1.5
const ROUNDS = 3
const SESSIONS = 100
const FLAT_COUNT = 12_000
const POLL_MS = 10

const to = 'orders+acme@mail.localhost'
/** Mostly small, as mail is: 2 to 20 KB, every tenth 100 KB, every hundredth 1 MB. */
const mixed = (nth: number): number =>
  nth % 100 === 99 ? 1_000_000 : nth % 10 === 9 ? 100_000 : 2000 + ((nth * 7919) % 18_000)
const small = (): number => 4000

const folder = mkdtempSync(join(tmpdir(), 'mail-ingest-bench-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

/** Notes when each entry's row can first be read, as `messages list` reads it. */
function watchRows(file: string): { seenAt: Map<string, number>; stop(): void } {
  const store = new Database(file, { readonly: true })
  const query = store.prepare<[number], { seq: number; entry_id: string }>(
    'SELECT seq, entry_id FROM messages WHERE seq > ? ORDER BY seq',
  )
  const seenAt = new Map<string, number>()
  let last = 0
  const timer = setInterval(() => {
    for (const { seq, entry_id } of query.all(last)) {
      seenAt.set(entry_id, Date.now())
      last = seq
    }
  }, POLL_MS)
  return {
    seenAt,
    stop: () => {
      clearInterval(timer)
      store.close()
    },
  }
}

async function latency(): Promise<{ accept: number[]; visible: number[] }> {
  const system = await startSystem(join(folder, 'latency'))
  const rows = watchRows(join(system.dataDir, 'store.db'))
  const samples: Sample[] = await steady(
    { ports: [system.smtpPort], to, sizeOf: mixed },
    { perSecond: RATE, seconds: SECONDS },
  )
  for (let waited = 0; rows.seenAt.size < samples.length && waited < 20_000; waited += POLL_MS) await pause(POLL_MS)
  rows.stop()
  const listed = await ingestctlJson<unknown[]>(system.dataDir, ['messages', 'list', '--limit', '1000000'])
  if (listed.length !== samples.length) throw new Error(`${samples.length} accepted, ${listed.length} listed`)
  await system.stop()
  return {
    accept: samples.map((sample) => sample.acceptMs),
    visible: samples.map((sample) => (rows.seenAt.get(sample.entryId) ?? Number.POSITIVE_INFINITY) - sample.acceptedAt),
  }
}

interface Contestant {
  port: number
  pid: number
  stop(): Promise<unknown>
}

async function peer(round: number): Promise<Contestant> {
  const child = spawn(process.execPath, ['bench/peer.ts', join(folder, `peer-${round}`)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { port: Number(/listening (\d+)/.exec(line.toString())?.[1]), pid: child.pid ?? 0, stop: () => stopped(child) }
}

/** smtpd as a process of its own, as production runs it: its disk is its only companion. */
async function smtpd(round: number, dataDir: string): Promise<Contestant> {
  const port = 20_000 + (process.pid % 10_000) + round
  const settings = { SMTP_PORT: String(port), SPOOL_DIR: join(folder, `spool-${round}`), LOG_LEVEL: 'warn' }
  const { child } = startProgram('smtpd', environmentOf(dataDir, settings))
  running.add(child)
  for (let tries = 0; tries < 500; tries++) {
    const session = await Session.open(port).catch(() => pause(POLL_MS))
    if (session instanceof Session) {
      session.close()
      return { port, pid: child.pid ?? 0, stop: () => stopped(child) }
    }
  }
  throw new Error('smtpd did not start')
}

const running = new Set<ChildProcess>()
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')))

async function stopped(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
  running.delete(child)
}

/** Mails a second, in turn, so that all meet the same machine. */
async function throughput(dataDir: string): Promise<Record<'smtpd' | 'peer' | 'all', number[]>> {
  const rates: Record<'smtpd' | 'peer' | 'all', number[]> = { smtpd: [], peer: [], all: [] }
  const race = async (name: keyof typeof rates, contestant: Omit<Contestant, 'pid'>) => {
    rates[name].push(await flatOut({ ports: [contestant.port], to, sizeOf: small }, SESSIONS, FLAT_COUNT))
    await contestant.stop()
  }
  for (let round = 0; round < ROUNDS; round++) {
    await race('smtpd', await smtpd(round, dataDir))
    await race('peer', await peer(round))
    const system = await startSystem(join(folder, `all-${round}`))
    await race('all', { port: system.smtpPort, stop: () => system.stop('SIGKILL') })
  }
  return rates
}

const row = (name: string, values: readonly number[]): string =>
  `| ${name} | ${[0.5, 0.95, 0.99, 1].map((share) => percentile(values, share).toFixed(1)).join(' | ')} |`
const median = (values: readonly number[]): number => percentile(values, 0.5)

const { accept, visible } = await latency()
const rates = await throughput(join(folder, 'latency'))
const door = await smtpd(ROUNDS, join(folder, 'latency'))
const dots = await dotsCost(door, to)
await door.stop()
const spans = await tracingCost()
const ratio = (values: readonly number[]): string =>
  median(values.map((value, round) => value / (rates.peer[round] ?? Number.NaN))).toFixed(2)
const rateRow = (name: string, values: readonly number[]): string =>
  `| ${name} | ${median(values).toFixed(0)} | ${ratio(values)} |`
const page = [
  '# Measured',
  '',
  `Written by \`make bench\` on ${new Date().toISOString().slice(0, 10)}: ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}.`,
  'Load generator and product share the machine. Read ratios before absolute numbers.',
  '',
  `## ${RATE} mails a second for ${SECONDS} s, 2 KB to 1 MB, every stage in one process (milliseconds)`,
  '',
  '| | p50 | p95 | p99 | max |',
  '| --- | --- | --- | --- | --- |',
  row('final dot to `250`', accept),
  row('`250` to visible in `messages list`', visible),
  '',
  `Promised: p95 under ${ACCEPT_P95_MS} ms and under ${VISIBLE_P95_MS} ms.`,
  '',
  `## Flat out, ${SESSIONS} sessions, ${FLAT_COUNT} mails of 4 KB, ${ROUNDS} rounds in turn`,
  '',
  'The peer is the package smtp-server, which stores a file for each message: write, fsync, rename, directory fsync.',
  '',
  '| | mails a second (median) | ratio to the peer (median of rounds) |',
  '| --- | --- | --- |',
  rateRow('smtpd, a process of its own', rates.smtpd),
  rateRow('every stage in one process, uploading and indexing meanwhile', rates.all),
  rateRow('peer, store only', rates.peer),
  '',
  '## A mail of doubled dots, 25 MB on the wire, CPU time of smtpd (milliseconds)',
  '',
  '| lines | CPU |',
  '| --- | --- |',
  `| ordinary, 78 octets | ${dots.lines.toFixed(0)} |`,
  `| \`..CRLF\` | ${dots.dots.toFixed(0)} |`,
  '',
  `Promised: a ratio of at most ${DOTS_RATIO_MAX}. It is ${(dots.dots / dots.lines).toFixed(2)}.`,
  '',
  '## A step of a mail as a span (microseconds of CPU; a mail has about ten)',
  '',
  '| no span in the code | spans off, the default | spans sent by OTLP |',
  '| --- | --- | --- |',
  `| ${spans.none.toFixed(2)} | ${spans.off.toFixed(2)} | ${spans.on.toFixed(2)} |`,
  '',
].join('\n')
writeFileSync('bench/results.md', page)
process.stdout.write(page)

const slow = [
  ...(percentile(accept, 0.95) < ACCEPT_P95_MS ? [] : ['final dot to 250']),
  ...(percentile(visible, 0.95) < VISIBLE_P95_MS ? [] : ['250 to visible']),
  ...(dots.dots / dots.lines <= DOTS_RATIO_MAX ? [] : ['doubled dots']),
]
if (slow.length > 0) {
  process.stderr.write(`too slow: ${slow.join(', ')}\n`)
  process.exit(1)
}
process.exit(0)
