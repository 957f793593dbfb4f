// A private Ceph RGW: an S3 endpoint of the real kind on a free port of loopback, its data in memory, gone with the process.
//
//   node test/engines/rgw.ts     starts one, prints how to reach it, and stops it at SIGINT or SIGTERM

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { makeCertificates } from './certificates.ts'
import { rgwConf } from './rgw-conf.ts'
import { installRgw } from './rgw-packages.ts'

export { installRgw, rgwUnavailable } from './rgw-packages.ts'

/** Time for one daemon to be ready, or for one administration command. */
const READY_MS_MAX = 60_000
const POLL_MS = 25
/** What Ceph is meant to run with; Debian's packages bring it and do not link it. Without it the OSD takes a quarter more CPU. */
const ALLOCATOR = 'libtcmalloc_minimal.so.4'

export interface Rgw {
  endpoint: string
  /** The same over TLS, and the file of the CA that signed its certificate. */
  tls: { endpoint: string; caFile: string }
  accessKeyId: string
  secretAccessKey: string
  /** Runs `radosgw-admin` and resolves with its standard output. */
  admin(...args: string[]): Promise<string>
  /** Stops the gateway in its tracks: connections stay, answers do not come. */
  freeze(): void
  thaw(): void
  /** Kills the gateway (SIGKILL); the objects stay with the OSD. */
  kill(): Promise<void>
  /** Starts the killed gateway again, on the same port. */
  restart(): Promise<void>
  /** Ends all daemons and removes the data. */
  stop(): Promise<void>
}

/** Installs the packages if need be, and starts a fresh cluster. Rejects with the daemon's log. */
export async function startRgw(): Promise<Rgw> {
  await installRgw()
  const dir = await mkdtemp(join(tmpdir(), 'rgw-'))
  const cluster = { dir, conf: join(dir, 'ceph.conf'), running: [] as Daemon[] }
  const stop = async () => {
    for (const daemon of cluster.running.toReversed()) await daemon.kill()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    return { ...(await startCluster(cluster)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Cluster {
  dir: string
  conf: string
  running: Daemon[]
}

async function startCluster(cluster: Cluster): Promise<Omit<Rgw, 'stop'>> {
  const { dir, conf } = cluster
  const [monPort = 0, s3Port = 0, tlsPort = 0] = await freePorts(3)
  const fsid = randomUUID()
  for (const name of ['mon', 'osd', 'rgw', 'log', 'run']) await mkdir(join(dir, name))
  await writeFile(conf, rgwConf({ dir, fsid, monPort, s3Port, tlsPort }))
  await makeCertificates(dir)

  const map = join(dir, 'monmap')
  await run('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${monPort}]`, map])
  await run('ceph-mon', ['--mkfs', '-i', 'a', '-c', conf, '--monmap', map])
  await start(cluster, ['ceph-mon', '-f', '-i', 'a', '-c', conf], () => listens(monPort))

  const osdId = randomUUID()
  const ceph = (...args: string[]) => run('ceph', ['-c', conf, '--connect-timeout', '20', ...args])
  await Promise.all([
    ceph('osd', 'new', osdId),
    run('ceph-osd', ['--mkfs', '-i', '0', '-c', conf, '--osd-uuid', osdId, '--no-mon-config']),
  ])
  const isUp = async () => (await ceph('osd', 'stat', '-f', 'json')).includes('"num_up_osds":1')
  await start(cluster, ['ceph-osd', '-f', '-i', '0', '-c', conf], isUp)

  const startGateway = () => start(cluster, ['radosgw', '-f', '-n', 'client.rgw', '-c', conf], () => listens(s3Port))
  let gateway = await startGateway()
  const admin = (...args: string[]) => run('radosgw-admin', ['-c', conf, '-n', 'client.rgw', ...args])
  const { accessKeyId, secretAccessKey } = { accessKeyId: 'testaccess', secretAccessKey: 'testsecrettestsecret' }
  const keys = [`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`]
  await admin('user', 'create', '--uid=test', '--display-name=test', ...keys)
  return {
    endpoint: `http://127.0.0.1:${s3Port}`,
    tls: { endpoint: `https://127.0.0.1:${tlsPort}`, caFile: join(dir, 'ca.pem') },
    accessKeyId,
    secretAccessKey,
    admin,
    freeze: () => gateway.signal('SIGSTOP'),
    thaw: () => gateway.signal('SIGCONT'),
    kill: () => gateway.kill(),
    async restart() {
      gateway = await startGateway()
    },
  }
}

interface Daemon {
  signal(name: NodeJS.Signals): void
  /** SIGKILL; resolves when it is gone. Frozen or gone already is fine. */
  kill(): Promise<void>
}

/** Starts a daemon that dies with this process, however it ends; resolves once `isReady`. */
async function start(cluster: Cluster, command: string[], isReady: () => Promise<boolean>): Promise<Daemon> {
  const name = command[0] ?? ''
  const path = join(cluster.dir, 'log', `${name}.out`)
  const log = await open(path, 'a')
  const env = { ...process.env, LD_PRELOAD: ALLOCATOR }
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { env, stdio: ['ignore', log.fd, log.fd] })
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  await log.close()
  const signal = (name: NodeJS.Signals) => void child.kill(name)
  const daemon = { signal, kill: () => (signal('SIGKILL'), gone) }
  cluster.running.push(daemon)
  for (let waited = 0; !(await isReady()); waited += POLL_MS) {
    if (waited > READY_MS_MAX || hasEnded(child))
      throw new Error(`${name} is not ready: ${await readFile(path, 'utf8')}`)
    await sleep(POLL_MS)
  }
  return daemon
}

const hasEnded = ({ pid, exitCode, signalCode }: ChildProcess) =>
  pid === undefined || exitCode !== null || signalCode !== null

async function run(command: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { timeout: READY_MS_MAX, maxBuffer: 16 * 1024 ** 2 })
  return stdout
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

/** Ports nobody has now. Held all at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  return Promise.all(
    servers.map(async (server) => {
      if (!server.listening) await new Promise((resolve) => server.once('listening', resolve))
      const { port } = server.address() as AddressInfo
      await new Promise((resolve) => server.close(resolve))
      return port
    }),
  )
}

if (import.meta.main) {
  const rgw = await startRgw()
  process.stdout.write(
    `AWS_ACCESS_KEY_ID=${rgw.accessKeyId}\nAWS_SECRET_ACCESS_KEY=${rgw.secretAccessKey}\nendpoint ${rgw.endpoint}\n`,
  )
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
  })
  await rgw.stop()
}
