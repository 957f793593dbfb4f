// The product under the eyes of Prometheus and Alertmanager: each stage a process of its own, its spool on a small file system of its
// own, clamd beside it, a canary, and mail that keeps coming.

import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { createServer as createHttpServer } from 'node:http'
import { join } from 'node:path'
import { startStage, type Stage } from './cluster.ts'
import { diskShim } from './disk-shim.ts'
import { startClamd, type Clamd } from './engines/clamd.ts'
import { startPrometheus, type Prometheus, type PrometheusOptions } from './engines/prometheus.ts'
import { mailOf, Session } from './mail.ts'
import { ingestctl, pause } from './system.ts'

export type Program = 'smtpd' | 'uploaderd' | 'indexerd' | 'probed'
type Settings = Readonly<Record<string, string>>

const PROGRAMS: readonly Program[] = ['indexerd', 'uploaderd', 'smtpd', 'probed']
export const GOOD_HOURS = 90 * 24
const SPOOL_BYTES = 64 * 1024 * 1024
const TO = 'orders+acme@mail.localhost'

/** What Alertmanager has told, by alert. */
export interface Told {
  firing: Set<string>
  /** Every alert that began to fire. */
  fired: Set<string>
}

/** The mail that comes in; changed as it goes. */
export interface Flow {
  everyMs: number
  paused: boolean
  /** A line that each mail has in it. */
  line: string
}

export interface Watched {
  dataDir: string
  spoolDir: string
  smtpPort: number
  clamd: Clamd
  prometheus: Prometheus
  told: Told
  flow: Flow
  /** Kills a stage. */
  kill: (program: Program) => Promise<void>
  start: (program: Program) => Promise<void>
  signal: (program: Program, name: NodeJS.Signals) => void
  /** Sends one mail of so many bytes; resolves with the last reply, or with the error of a front door that is not there. */
  send: (sizeBytes?: number) => Promise<string>
  certificate: (hours: number) => void
  /** What the disk does under a stage that was started with `spoils`: microseconds that an fsync takes more, or an errno below zero. */
  spoil: (program: Program, order: number) => void
  /** Ends all of it. */
  stop: () => Promise<void>
}

export interface WatchedOptions extends Pick<PrometheusOptions, 'rules' | 'everyMs' | 'past'> {
  /** An empty folder. */
  dataDir: string
  /** Between two mails, milliseconds. */
  mailEveryMs: number
  settings?: Settings
  /** Settings of one stage. */
  own?: Partial<Record<Program, Settings>>
  /** Stages whose disk can be spoiled, and the part of the paths that tells which files, see disk-shim.ts. */
  spoils?: Partial<Record<Program, string>>
  /** What else is scraped: `host:port` by job. */
  targets?: PrometheusOptions['targets']
}

/** What is undone at the end, last first. */
type Ends = (() => unknown)[]

/** Starts all of it. Rejects with nothing left behind. */
export async function startWatched(options: WatchedOptions): Promise<Watched> {
  const ends: Ends = []
  const stop = async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  }
  try {
    return { ...(await startAll(options, ends)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startAll(options: WatchedOptions, ends: Ends): Promise<Omit<Watched, 'stop'>> {
  const { dataDir, mailEveryMs, rules, everyMs, past, spoils = {} } = options
  const spoolDir = mountSpool(dataDir, ends)
  const clamd = await startClamd()
  ends.push(() => clamd.stop())
  const ports = await freePorts(PROGRAMS.length + 1)
  const [smtpPort = 0] = ports
  const portOf = (program: Program) => ports[PROGRAMS.indexOf(program) + 1] ?? 0
  const certificate = (hours: number) => makeCertificate(dataDir, hours)
  certificate(GOOD_HOURS)
  const settings = { ...settingsOf({ dataDir, spoolDir, smtpPort, clamd }), ...options.settings }
  const shims = new Map(Object.entries(spoils).map(([name, part]) => [name, diskShim(dataDir, name, part)]))
  const stages = new Map<Program, Stage>()
  const start = async (program: Program) => {
    const listen = { METRICS_LISTEN: `127.0.0.1:${portOf(program)}` }
    const own = { ...settings, ...listen, ...options.own?.[program], ...shims.get(program)?.env }
    stages.set(program, await startStage(program, dataDir, own))
  }
  const kill = async (program: Program) => void (await stages.get(program)?.stop('SIGKILL'))
  ends.push(() => Promise.all(PROGRAMS.map(kill)))
  await start('indexerd')
  await ingestctl(dataDir, ['tenants', 'add', 'acme'], settings)
  for (const program of ['uploaderd', 'smtpd', 'probed'] as const) await start(program)

  const told: Told = { firing: new Set(), fired: new Set() }
  const webhook = await listenFor(told, ends)
  const own = PROGRAMS.map((program) => [`mail-ingest-${program}`, [`127.0.0.1:${portOf(program)}`]] as const)
  const targets = { ...Object.fromEntries(own), ...options.targets }
  const prometheus = await startPrometheus({ targets, rules, everyMs, webhook, ...(past !== undefined && { past }) })
  ends.push(() => prometheus.stop())
  const flow: Flow = { everyMs: mailEveryMs, paused: false, line: '' }
  const sending = (sizeBytes = 1000) => send(smtpPort, { sizeBytes, line: flow.line })
  keepSending(flow, sending, ends)
  const spoil = (program: Program, order: number) => shims.get(program)?.spoil(order)
  const signal = (program: Program, name: NodeJS.Signals) => stages.get(program)?.signal(name)
  const hands = { kill, start, signal, send: sending, certificate, spoil }
  return { dataDir, spoolDir, smtpPort, clamd, prometheus, told, flow, ...hands }
}

function settingsOf({
  dataDir,
  spoolDir,
  smtpPort,
  clamd,
}: Pick<Watched, 'dataDir' | 'spoolDir' | 'smtpPort' | 'clamd'>) {
  return {
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
}

/** A file system of 64 MiB in a file. */
function mountSpool(dataDir: string, ends: Ends): string {
  const image = join(dataDir, 'spool.img')
  const mount = join(dataDir, 'disk')
  mkdirSync(mount)
  writeFileSync(image, '')
  truncateSync(image, SPOOL_BYTES)
  execFileSync('mkfs.ext4', ['-q', image])
  execFileSync('mount', ['-o', 'loop', image, mount])
  ends.push(() => void execFileSync('umount', ['-l', mount]))
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
  const files = ['-config', 'ca.conf', '-keyfile', 'key.new', '-in', 'csr.new', '-out', 'cert.new']
  openssl('ca', '-batch', '-selfsign', ...files, '-startdate', from, '-enddate', until)
  for (const name of ['key', 'cert']) renameSync(join(dir, `${name}.new`), join(dir, `${name}.pem`))
}

async function send(port: number, { sizeBytes, line }: { sizeBytes: number; line: string }): Promise<string> {
  try {
    const session = await Session.open(port)
    const body = Buffer.concat([mailOf(`${port}-${performance.now()}`, sizeBytes), Buffer.from(`${line}\r\n`)])
    const reply = await session.send('ann@sender.example', [TO], body)
    session.close()
    return reply
  } catch (error) {
    return String(error)
  }
}

/** One mail after the other, until the end. */
function keepSending(flow: Flow, send: () => Promise<string>, ends: Ends): void {
  const state = { over: false }
  const sending = (async () => {
    while (!state.over) {
      if (!flow.paused) await send()
      await pause(flow.everyMs)
    }
  })()
  ends.push(() => {
    state.over = true
    return sending
  })
}

/** Alertmanager's receiver; resolves with its URL. */
async function listenFor(told: Told, ends: Ends): Promise<string> {
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { alerts } = JSON.parse(Buffer.concat(chunks).toString()) as {
        alerts: { status: string; labels: Record<string, string> }[]
      }
      for (const { status, labels } of alerts) {
        const series = JSON.stringify(labels)
        if (status !== 'firing') told.firing.delete(series)
        else {
          told.firing.add(series)
          told.fired.add(labels['alertname'] ?? '')
        }
      }
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ends.push(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** Names of what fires now, as Alertmanager has told. */
export const firing = ({ firing: series }: Told): string[] =>
  [...new Set([...series].map((each) => (JSON.parse(each) as { alertname: string }).alertname))].sort()

export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
