// The product under the eyes of Prometheus and Alertmanager: each stage a process of its own on embedded engines, its spool on a small file
// system of its own, clamd beside it, and a canary. What is broken here is mended again.

import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { createServer as createHttpServer } from 'node:http'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { onTestFinished } from 'vitest'
import { alertsYaml, rulesYaml } from '../alerts/alerts.ts'
import { startStage, type Stage } from './cluster.ts'
import { startClamd, type Clamd } from './engines/clamd.ts'
import { startPrometheus, type Prometheus } from './engines/prometheus.ts'
import { mailOf, Session } from './mail.ts'
import { eventually, ingestctl, pause, temporaryFolder } from './system.ts'

type Program = 'smtpd' | 'uploaderd' | 'indexerd' | 'probed'

const PROGRAMS: readonly Program[] = ['indexerd', 'uploaderd', 'smtpd', 'probed']
const GOOD_HOURS = 90 * 24
const SPOOL_BYTES = 64 * 1024 * 1024
const TO = 'orders+acme@mail.localhost'

/** What Alertmanager has told, by alert. */
export interface Told {
  firing: Set<string>
  /** Every alert that ever fired. */
  fired: Set<string>
}

export interface Watched {
  dataDir: string
  spoolDir: string
  smtpPort: number
  clamd: Clamd
  prometheus: Prometheus
  told: Told
  /** Kills a stage. */
  kill: (program: Program) => Promise<void>
  start: (program: Program) => Promise<void>
  /** Sends one mail; resolves with the last reply, or with the error of a front door that is not there. */
  send: () => Promise<string>
  certificate: (hours: number) => void
}

/** Something that is broken and mended, and the alerts that must follow. */
export interface Fault {
  name: string
  fires: readonly string[]
  /** What may come with it. */
  may?: readonly string[]
  make(watched: Watched): Promise<void> | void
  mend(watched: Watched): Promise<void> | void
}

/** Starts all of it, with rules whose durations are divided by `factor`. Everything ends with the test. */
export async function startWatched({ factor, everyMs }: { factor: number; everyMs: number }): Promise<Watched> {
  const dataDir = temporaryFolder()
  const spoolDir = mountSpool(dataDir)
  const clamd = await startClamd()
  onTestFinished(() => clamd.stop())
  const ports = await freePorts(PROGRAMS.length + 1)
  const [smtpPort = 0] = ports
  const portOf = (program: Program) => ports[PROGRAMS.indexOf(program) + 1] ?? 0
  const certificate = (hours: number) => makeCertificate(dataDir, hours)
  certificate(GOOD_HOURS)
  const settings: Record<string, string> = {
    SPOOL_DIR: spoolDir,
    SPOOL_FREE_MIN: '4194304',
    SPOOL_FREE_RESUME: '6291456',
    SMTP_PORT: String(smtpPort),
    SMTP_TLS_CERT: join(dataDir, 'cert.pem'),
    SMTP_TLS_KEY: join(dataDir, 'key.pem'),
    UPLOAD_RETRY_MAX_MS: '300',
    SCANNER_URL: clamd.url,
    SCANNER_DOWN: 'accept',
    PROBE_TARGETS: `127.0.0.1:${smtpPort}`,
    PROBE_RECIPIENT: TO,
    PROBE_EVERY_MS: '1000',
    PROBE_DEADLINE_MS: '5000',
  }
  const stages = new Map<Program, Stage>()
  const start = async (program: Program) => {
    const own = { ...settings, METRICS_LISTEN: `127.0.0.1:${portOf(program)}` }
    stages.set(program, await startStage(program, dataDir, own))
  }
  await start('indexerd')
  await ingestctl(dataDir, ['tenants', 'add', 'acme'], settings)
  for (const program of ['uploaderd', 'smtpd', 'probed'] as const) await start(program)

  const told: Told = { firing: new Set(), fired: new Set() }
  const webhook = await listenFor(told)
  const prometheus = await startPrometheus({
    targets: Object.fromEntries(
      PROGRAMS.map((program) => [`mail-ingest-${program}`, [`127.0.0.1:${portOf(program)}`]]),
    ),
    rules: [rulesYaml(factor), alertsYaml(factor)],
    everyMs,
    webhook,
  })
  onTestFinished(() => prometheus.stop())
  const kill = async (program: Program) => void (await stages.get(program)?.stop('SIGKILL'))
  return { dataDir, spoolDir, smtpPort, clamd, prometheus, told, kill, start, send: () => send(smtpPort), certificate }
}

/** A file system of 64 MiB in a file. */
function mountSpool(dataDir: string): string {
  const image = join(dataDir, 'spool.img')
  const mount = join(dataDir, 'disk')
  mkdirSync(mount)
  writeFileSync(image, '')
  truncateSync(image, SPOOL_BYTES)
  execFileSync('mkfs.ext4', ['-q', image])
  execFileSync('mount', ['-o', 'loop', image, mount])
  // Before the folder goes: hooks of a test run in reverse order, and this one comes after it.
  onTestFinished(() => void execFileSync('umount', ['-l', mount]))
  return join(mount, 'spool')
}

/** A certificate that ends in so many hours; `openssl req` knows days only. */
function makeCertificate(dir: string, hours: number): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' })
  const stamp = (atMs: number) => new Date(atMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  const [from, until] = [stamp(Date.now() - 60_000), stamp(Date.now() + hours * 3_600_000)]
  writeFileSync(join(dir, 'ca.index'), '')
  writeFileSync(
    join(dir, 'ca.conf'),
    '[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=ca.index\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n',
  )
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-new', ...key, '-subj', '/CN=a', '-keyout', 'key.new', '-out', 'csr.new')
  const dates = ['-startdate', from, '-enddate', until]
  openssl(
    'ca',
    '-batch',
    '-selfsign',
    '-config',
    'ca.conf',
    '-keyfile',
    'key.new',
    '-in',
    'csr.new',
    '-out',
    'cert.new',
    ...dates,
  )
  for (const name of ['key', 'cert']) renameSync(join(dir, `${name}.new`), join(dir, `${name}.pem`))
}

async function send(port: number): Promise<string> {
  try {
    const session = await Session.open(port)
    const reply = await session.send('ann@sender.example', [TO], mailOf(`${port}-${performance.now()}`, 1000))
    session.close()
    return reply
  } catch (error) {
    return String(error)
  }
}

/** Alertmanager's receiver; resolves with its URL. */
async function listenFor(told: Told): Promise<string> {
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { alerts } = JSON.parse(Buffer.concat(chunks).toString()) as {
        alerts: { status: string; labels: Record<string, string> }[]
      }
      for (const { status, labels } of alerts) {
        const series = JSON.stringify(labels)
        if (status === 'firing') told.firing.add(series)
        else told.firing.delete(series)
        told.fired.add(labels['alertname'] ?? '')
      }
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** Names of what fires now, as Alertmanager has told. */
export const firing = ({ firing: series }: Told): string[] =>
  [...new Set([...series].map((each) => (JSON.parse(each) as { alertname: string }).alertname))].sort()

async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Writes of a SQLite file wait until it is given back. */
function lockOf(file: string): Pick<Fault, 'make' | 'mend'> {
  let holder: Database.Database | undefined
  return {
    make({ dataDir }) {
      holder = new Database(join(dataDir, file), { timeout: 10_000 })
      holder.exec('BEGIN IMMEDIATE')
    },
    mend() {
      holder?.exec('ROLLBACK')
      holder?.close()
    },
  }
}

/** A fault that is only made when enough events wait. */
function withLag({ make, mend }: Pick<Fault, 'make' | 'mend'>): Pick<Fault, 'make' | 'mend'> {
  return {
    mend,
    async make(watched) {
      await make(watched)
      const enough = async () => {
        const [lag] = await watched.prometheus.query('max(mail_ingest_consumer_lag_messages{group="indexer"})')
        return (lag?.value ?? 0) > 120 ? true : undefined
      }
      await eventually(enough, 120_000, 'a lag of 120')
    },
  }
}

function changed(file: string, statement: string): (watched: Watched) => void {
  return ({ dataDir }) => {
    const database = new Database(join(dataDir, file), { timeout: 10_000 })
    database.exec(statement)
    database.close()
  }
}

const killed = (program: Program, fires: readonly string[], may: readonly string[] = []): Fault => ({
  name: `${program} is killed`,
  fires,
  may,
  make: ({ kill }) => kill(program),
  mend: ({ start }) => start(program),
})

/** Parts beside the flow. */
export const ASIDE: readonly Fault[] = [
  {
    name: 'clamd is killed',
    fires: ['MailIngestScannerDown'],
    make: ({ clamd }) => clamd.kill(),
    mend: ({ clamd }) => clamd.start(),
  },
  {
    name: 'the certificate ends in an hour',
    fires: ['MailIngestTlsCertExpiry'],
    make: ({ certificate }) => certificate(1),
    mend: ({ certificate }) => certificate(GOOD_HOURS),
  },
  {
    name: 'a record that nobody can read',
    fires: ['MailIngestDeadLetters'],
    make: changed(
      'events.db',
      `BEGIN IMMEDIATE;
       INSERT INTO events (topic, event_offset, id, type, subject, entry_id, trace_id, tenant, time, appended_at, headers, data)
       SELECT topic, next_offset, 'bad', type, subject, entry_id, trace_id, tenant, time, partitions.appended_at, headers, '{'
       FROM events JOIN partitions USING (topic) WHERE topic = 'mail.ingest.v1' LIMIT 1;
       UPDATE partitions SET next_offset = next_offset + 1 WHERE topic = 'mail.ingest.v1';
       COMMIT`,
    ),
    mend: () => undefined,
  },
  {
    name: 'an event that the log refuses',
    fires: ['MailIngestOutboxRefused'],
    make: changed(
      'store.db',
      `INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, created_at, refused)
       VALUES ('x', 'message', 'x', 'indexer.indexed', '{}', 0, 'too large')`,
    ),
    mend: changed('store.db', `DELETE FROM outbox WHERE id = 'x'`),
  },
]

/** The hand-offs. */
export const HANDOFFS: readonly Fault[] = [
  {
    name: 'the event log takes no writes',
    fires: ['MailIngestKafkaPublishErrors', 'MailIngestEventPublishFailing', 'MailIngestSpoolOldestMessageAge'],
    may: ['MailIngestProbeFailing', 'MailIngestConsumerStuck', 'MailIngestIndexBudgetBurnFast'],
    ...lockOf('events.db'),
  },
]

/** The database, and when enough waits for it, the object store. */
export const STORES: readonly Fault[] = [
  {
    name: 'the store takes no writes',
    fires: ['MailIngestConsumerLagGrowing', 'MailIngestConsumerStuck', 'MailIngestProbeFailing'],
    may: ['MailIngestIndexBudgetBurnFast'],
    ...withLag(lockOf('store.db')),
  },
  {
    name: 'the object store is gone',
    fires: ['MailIngestObjectStoreErrors', 'MailIngestSpoolOldestMessageAge'],
    may: ['MailIngestObjectStoreUnreachable'],
    make({ dataDir }) {
      renameSync(join(dataDir, 'objects'), join(dataDir, 'objects.away'))
      writeFileSync(join(dataDir, 'objects'), 'no directory')
    },
    mend({ dataDir }) {
      rmSync(join(dataDir, 'objects'))
      renameSync(join(dataDir, 'objects.away'), join(dataDir, 'objects'))
    },
  },
]

/** The disk of the spool. */
export const DISK: readonly Fault[] = [
  {
    name: 'the disk fills',
    fires: [
      'MailIngestSpoolDiskLow',
      'MailIngestSpoolDiskFillsSoon',
      'MailIngestAcceptBudgetBurnFast',
      'MailIngestProbeFailing',
    ],
    may: ['MailIngestAcceptBudgetBurnSlow'],
    make({ spoolDir }) {
      const { bavail, bsize } = statfsSync(spoolDir)
      execFileSync('fallocate', ['-l', String(bavail * bsize - 2 * 1024 * 1024), join(spoolDir, '..', 'ballast')])
    },
    mend: ({ spoolDir }) => rmSync(join(spoolDir, '..', 'ballast')),
  },
]

/** The processes. */
export const PROCESSES: readonly Fault[] = [
  killed('smtpd', ['MailIngestSmtpdDown', 'MailIngestInstanceDown', 'MailIngestProbeFailing']),
  killed('uploaderd', ['MailIngestUploaderdDown']),
  killed('indexerd', ['MailIngestIndexerdDown'], ['MailIngestConsumerStuck']),
]

/** Makes all faults, waits until their alerts have fired, mends them, and waits until nothing fires but what `lasts`. */
export async function course(watched: Watched, faults: readonly Fault[], lasts: readonly string[]): Promise<void> {
  const want = new Set(faults.flatMap(({ fires }) => fires))
  const seen = new Set<string>()
  for (const fault of faults) await fault.make(watched)
  await eventually(
    async () => {
      for (const name of firing(watched.told)) seen.add(name)
      return [...want].every((name) => seen.has(name)) ? true : undefined
    },
    180_000,
    `not all of ${[...want].join(', ')}`,
  ).catch((error: unknown) => {
    throw new Error(`never fired: ${[...want].filter((name) => !seen.has(name)).join(', ')}`, { cause: error })
  })
  for (const fault of faults.toReversed()) await fault.mend(watched)
  await eventually(
    async () => (firing(watched.told).every((name) => lasts.includes(name)) ? true : undefined),
    180_000,
    'silence',
  ).catch((error: unknown) => {
    throw new Error(`still firing: ${firing(watched.told).join(', ')}`, { cause: error })
  })
}

/** Sends mail at a pace until `signal` aborts. */
export async function flow(watched: Watched, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await watched.send()
    await pause(everyMs)
  }
}
