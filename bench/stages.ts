// `make bench-stages`: what a mail costs in each stage when it catches up: thousands are taken in while the others are stopped,
// then uploaded, then indexed, one stage at a time on the real engines. Writes bench/stages.md.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { startCluster, type Stage } from '../test/cluster.ts'
import { startEngines } from '../test/engines/engines.ts'
import { drained, samples } from '../test/metrics.ts'
import { eventually, ingestctl, pause } from '../test/system.ts'
import { cpuSeconds } from './cpu.ts'
import { flatOut } from './load.ts'

const MAILS = Number(process.env['BENCH_MAILS'] ?? 3000)
/** Before anything is measured: young processes have not compiled what they run. */
const WARM_MAILS = Number(process.env['BENCH_WARM_MAILS'] ?? 2000)
const PHASE_MS_MAX = 300_000

/** As in `make bench-faults`: 2 to 20 KB, every tenth 60 KB, every hundredth 500 KB. */
const mixed = (nth: number): number =>
  nth % 100 === 99 ? 500_000 : nth % 10 === 9 ? 60_000 : 2000 + ((nth * 7919) % 18_000)

interface Phase {
  name: string
  seconds: number
  /** Milliseconds of a mail by program. */
  cpu: Map<string, number>
}

const folder = mkdtempSync(join(tmpdir(), 'mail-ingest-stages-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const engines = await startEngines()
try {
  const page = await measure()
  writeFileSync('bench/stages.md', page)
  process.stdout.write(page)
} finally {
  await engines.stop()
}
process.exit(0)

async function measure(): Promise<string> {
  const { settings, postgres } = engines
  await ingestctl(folder, ['db', 'migrate'], settings)
  const { nodes, indexers } = await startCluster(folder, engines, { nodes: 1, indexers: 1 })
  const [node] = nodes
  const [indexer] = indexers
  if (node === undefined || indexer === undefined) throw new TypeError('no cluster')
  await ingestctl(folder, ['tenants', 'add', 'acme'], settings)
  await pause(2500)
  const load = { ports: [node.smtpPort], to: 'orders+acme@mail.localhost', sizeOf: mixed }
  await flatOut(load, 10, WARM_MAILS)
  await drained(node, PHASE_MS_MAX, settings)

  const database = new Client({ connectionString: postgres.url })
  await database.connect()
  const rows = async () => Number((await database.query('select count(*) as n from messages')).rows[0]?.n)
  const whole = WARM_MAILS + MAILS
  for (const stage of [node.uploaderd, indexer]) stage.signal('SIGSTOP')
  const accept = await phase('accept', () => flatOut(load, 10, MAILS))
  node.uploaderd.signal('SIGCONT')
  const published = async () => ((await waitingOf(node.uploaderd)) === 0 ? true : undefined)
  const upload = await phase('upload', () => eventually(published, PHASE_MS_MAX, 'uploads'))
  indexer.signal('SIGCONT')
  // Counting costs the database something as well.
  const indexed = async () => {
    await pause(200)
    return (await rows()) >= whole ? true : undefined
  }
  const index = await phase('index', () => eventually(indexed, PHASE_MS_MAX, 'rows'))
  await database.end()
  return pageOf([accept, upload, index])
}

/** Messages in the spool that are not let go yet. */
async function waitingOf(stage: Stage): Promise<number> {
  const all = await samples(stage)
  return [...all]
    .filter(([series]) => series.startsWith('mail_ingest_spool_messages{') && !series.includes('aside'))
    .reduce((sum, [, value]) => sum + value, 0)
}

async function phase(name: string, work: () => Promise<unknown>): Promise<Phase> {
  const before = cpuSeconds()
  const began = performance.now()
  await work()
  const seconds = (performance.now() - began) / 1000
  const cpu = new Map(
    [...cpuSeconds()].map(([program, all]) => [program, ((all - (before.get(program) ?? 0)) * 1000) / MAILS]),
  )
  return { name, seconds, cpu }
}

function pageOf(phases: readonly Phase[]): string {
  const programs = [...new Set(phases.flatMap(({ cpu }) => [...cpu.keys()]))]
  const cost = (phase: Phase, program: string) => phase.cpu.get(program) ?? 0
  const rows = programs
    .filter((program) => phases.some((phase) => cost(phase, program) >= 0.05))
    .map((program) => `| ${program} | ${phases.map((phase) => cost(phase, program).toFixed(2)).join(' | ')} |`)
  const sums = phases.map(({ cpu }) => [...cpu.values()].reduce((sum, ms) => sum + ms, 0))
  return [
    '# What a mail costs',
    '',
    `Written by \`make bench-stages\` on ${new Date().toISOString().slice(0, 10)}: ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}. Load generator, product and engines share the machine.`,
    '',
    `${MAILS} mails, 2 to 500 KB, after ${WARM_MAILS} to warm up: taken in while uploaderd and indexerd are stopped, then uploaded, then indexed. Milliseconds of CPU of a mail by program, all its processes together.`,
    '',
    `| program | ${phases.map(({ name }) => name).join(' | ')} |`,
    `| --- |${' --- |'.repeat(phases.length)}`,
    ...rows,
    `| all | ${sums.map((sum) => sum.toFixed(2)).join(' | ')} |`,
    `| mails a second | ${phases.map(({ seconds }) => (MAILS / seconds).toFixed(0)).join(' | ')} |`,
    '',
    `All three together: ${sums.reduce((sum, each) => sum + each, 0).toFixed(1)} ms.`,
    '',
  ].join('\n')
}
