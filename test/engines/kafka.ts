// A private Apache Kafka for tests: one node, or three small ones, each broker and controller at once (KRaft), on loopback.
//
// `node test/engines/kafka.ts` starts one, prints its URL and stops it with Ctrl-C. Data lies in a temporary folder, jars in
// .cache; every node dies with the process that started it.

import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, openSync, closeSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { makeCertificates } from './certificates.ts'
import { brokerProperties, metaProperties, type Node } from './kafka-properties.ts'

export const KAFKA_VERSION = '4.3.1'

const CACHE = join(import.meta.dirname, '../../.cache')
const HOME = join(CACHE, `kafka-${KAFKA_VERSION}`)
const ARCHIVE = join(HOME, 'classes.jsa')
const START_MAX_MS = 60_000
const STOP_MAX_MS = 15_000

const run = promisify(execFile)

export interface Kafka {
  /** `kafka://host:port,…` */
  url: string
  /** `host:port` of each node. */
  brokers: string[]
  /** With `sasl`: who may connect to `url`, and the file of the CA that signed the brokers' certificates. */
  security?: { caFile: string; mechanism: 'scram-sha-512'; admin: Login; ingest: Login }
  /** The node stays, with its connections, and answers nothing. */
  freeze(node: number): void
  thaw(node: number): void
  /** SIGKILL; resolves when it is gone. */
  kill(node: number): Promise<void>
  /** Starts a killed node on its data; resolves when it takes connections. */
  restart(node: number): Promise<void>
  stop(): Promise<void>
}

interface Login {
  username: string
  password: string
}

export interface KafkaOptions {
  brokers?: 1 | 3
  /** SASL_SSL with SCRAM and PLAIN on the clients' listener, and an authorizer: `admin` may do all, `ingest` what it is granted. */
  sasl?: boolean
}

/** Starts Kafka, after fetching it if this is the first time. Rejects with the end of a node's log if one does not come up. */
export async function startKafka({ brokers: count = 1, sasl = false }: KafkaOptions = {}): Promise<Kafka> {
  await installKafka()
  const dir = await mkdtemp(join(tmpdir(), 'kafka-'))
  if (sasl) await makeCertificates(dir)
  const ports = await freePorts(count * 2)
  const voters = Array.from({ length: count }, (_, at) => `${at + 1}@127.0.0.1:${ports[count + at]}`).join(',')
  const nodes = Array.from({ length: count }, (_, at): Node => {
    const [port = 0, controllerPort = 0] = [ports[at], ports[count + at]]
    return {
      id: at + 1,
      dir: join(dir, `node-${at + 1}`),
      port,
      controllerPort,
      voters,
      count,
      certificates: sasl ? dir : undefined,
    }
  })
  for (const node of nodes) await prepare(node)
  const running = new Map<number, ChildProcess>()
  const start = async (at: number) => {
    const node = nodes[at]
    if (node === undefined) throw new TypeError(`no node ${at}`)
    running.set(at, await launch(node))
  }
  const of = (at: number): ChildProcess => {
    const child = running.get(at)
    if (child === undefined) throw new TypeError(`node ${at} does not run`)
    return child
  }
  const stop = async () => {
    await Promise.all([...running.values()].map((child, at) => end(child, at === 0 && archives(child))))
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await Promise.all(nodes.map((_, at) => start(at)))
    await Promise.all(nodes.map((node) => answers(node, of(node.id - 1))))
  } catch (error) {
    await stop()
    throw error
  }
  const brokers = nodes.map(({ port }) => `127.0.0.1:${port}`)
  const login = (username: string) => ({ username, password: `${username}-secret` })
  return {
    url: `kafka://${brokers.join(',')}`,
    brokers,
    ...(sasl && {
      security: {
        caFile: join(dir, 'ca.pem'),
        mechanism: 'scram-sha-512',
        admin: login('admin'),
        ingest: login('ingest'),
      },
    }),
    freeze: (at) => void of(at).kill('SIGSTOP'),
    thaw: (at) => void of(at).kill('SIGCONT'),
    kill: (at) => end(of(at), false),
    async restart(at) {
      await start(at)
      await answers(nodes[at] as Node, of(at))
    },
    stop,
  }
}

/** Why there can be no Kafka on this machine, or undefined. */
export function kafkaUnavailable(): string | undefined {
  if (existsSync(join(HOME, 'complete')) || process.getuid?.() === 0) return undefined
  const missing = ['java', 'mvn', 'openssl'].filter(
    (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0,
  )
  return missing.length === 0 ? undefined : `${missing.join(', ')} not found; as root they are installed`
}

/** Fetches Kafka if this is the first time. One process at a time installs; the others find it done. */
export async function installKafka(): Promise<void> {
  if (existsSync(join(HOME, 'complete'))) return
  await mkdir(CACHE, { recursive: true })
  const script = join(import.meta.dirname, 'kafka-install.sh')
  await run('flock', [join(CACHE, 'kafka.lock'), 'sh', script, KAFKA_VERSION, HOME], { maxBuffer: 16 << 20 })
}

/** What StorageTool would write, without a JVM for each node. */
async function prepare(node: Node): Promise<void> {
  const data = join(node.dir, 'data')
  await mkdir(data, { recursive: true })
  await writeFile(join(node.dir, 'server.properties'), brokerProperties(node))
  await writeFile(join(data, 'meta.properties'), metaProperties(node))
  const levels = node.certificates === undefined ? 'plain' : 'scram'
  await copyFile(join(HOME, `${levels}.checkpoint`), join(data, 'bootstrap.checkpoint'))
}

async function launch(node: Node): Promise<ChildProcess> {
  const archive = existsSync(ARCHIVE)
    ? [`-XX:SharedArchiveFile=${ARCHIVE}`]
    : node.id === 1
      ? [`-XX:ArchiveClassesAtExit=${archivePart()}`]
      : []
  const jvm = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', ...archive]
  const log = openSync(join(node.dir, 'log'), 'a')
  const properties = join(node.dir, 'server.properties')
  const java = ['java', ...jvm, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(HOME, 'libs/*')]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...java, 'kafka.Kafka', properties], {
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  return child
}

const archivePart = () => `${ARCHIVE}.${process.pid}`
const archives = (child: ChildProcess) => child.spawnargs.some((each) => each.includes('ArchiveClassesAtExit'))

/** Resolves when the node serves clients. */
async function answers(node: Node, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_MAX_MS
  while (!(await accepts(node.port))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      const log = await readFile(join(node.dir, 'log'), 'utf8')
      throw new Error(`Kafka node ${node.id} did not start:\n${log.slice(-4000)}`)
    }
    await sleep(50)
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/** Ends a node: gently if it must still write the archive, since its data is thrown away in any case. */
async function end(child: ChildProcess, gently: boolean): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGCONT')
  if (gently) {
    child.kill('SIGTERM')
    await Promise.race([gone, sleep(STOP_MAX_MS)])
    if (existsSync(archivePart())) await rename(archivePart(), ARCHIVE)
  }
  child.kill('SIGKILL')
  await gone
}

/** Ports that are free now, each held until all are known. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

if (import.meta.main) {
  const kafka = await startKafka()
  process.stdout.write(`${kafka.url}\n`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void kafka.stop().then(() => process.exit(0)))
}
