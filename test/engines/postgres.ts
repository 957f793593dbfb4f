// A private PostgreSQL: a cluster of its own on a free port of loopback, gone with the process.
//
//   node test/engines/postgres.ts     starts one, prints its URL, and stops it at SIGINT or SIGTERM

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, chown, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { installPostgres, programs, serverUser, type ServerUser } from './postgres-packages.ts'

export { installPostgres, postgresUnavailable } from './postgres-packages.ts'

/** Time for the server to be ready, or to be gone. */
const READY_MS_MAX = 30_000
const POLL_MS = 20

/**
 * Small and quick. `fsync` guards against the loss of the machine's memory, which no test here takes away; a killed server
 * loses no more than with it. `synchronous_commit` stays on: without it a killed server forgets what it acknowledged.
 */
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  max_connections: '60',
  max_wal_size: '256MB',
  autovacuum_naptime: '60s',
  log_min_messages: 'warning',
  timezone: 'Asia/Kathmandu',
}

export interface Postgres {
  /** `postgresql://…` of a superuser in an empty database. */
  url: string
  port: number
  /** What signed the server's certificate, which is for `localhost`; with `tls` only. */
  caFile: string | undefined
  /** Runs SQL with `psql` and resolves with the bare rows. */
  psql(statements: string, database?: string): Promise<string>
  /** Makes a database, empty or as a copy, and resolves with its URL. */
  createDatabase(template?: string): Promise<string>
  /** Dumps a database with `pg_dump`, restores it into a new one, and resolves with that one's URL. */
  copyByDump(url: string): Promise<string>
  /** A clean restart, or the start after `kill`, on the same port and data. */
  restart(): Promise<void>
  /** Kills every process of the server (SIGKILL). */
  kill(): Promise<void>
  /** Stops all processes in their tracks: connections stay, answers do not come. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Ends the server and removes the data. */
  stop(): Promise<void>
}

/** Installs the packages if need be, and starts an empty cluster. Rejects with the server's log. */
export async function startPostgres({ tls = false }: { tls?: boolean } = {}): Promise<Postgres> {
  await installPostgres()
  const user = serverUser()
  const dir = await mkdtemp(join(tmpdir(), 'postgres-'))
  await chmod(dir, 0o755)
  if (user !== undefined) await chown(dir, user.uid, user.gid)
  const cluster: Cluster = { dir, user, port: await freePort(), password: randomUUID(), tls, child: undefined }
  const stop = async () => {
    await end(cluster, 'SIGQUIT')
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await initialise(cluster)
    await start(cluster)
    return { ...(await controls(cluster)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Cluster {
  dir: string
  user: ServerUser | undefined
  port: number
  password: string
  tls: boolean
  child: ChildProcess | undefined
  /** Lets a frozen server go. */
  thaw?: () => void
}

async function controls(cluster: Cluster): Promise<Omit<Postgres, 'stop'>> {
  const { dir, port, password, tls } = cluster
  const psql = (statements: string, database = 'postgres') =>
    run(cluster, 'psql', ['-h', dir, '-p', `${port}`, '-U', 'postgres', '-XAtqd', database, '-c', statements])
  let made = 0
  const createDatabase = async (template = 'template0') => {
    const name = `test_${++made}`
    await psql(`create database ${name} template ${template}`)
    return `postgresql://postgres:${password}@127.0.0.1:${port}/${name}`
  }
  return {
    url: await createDatabase(),
    port,
    caFile: tls ? join(dir, 'server.crt') : undefined,
    psql,
    createDatabase,
    async copyByDump(from) {
      const copy = await createDatabase()
      const file = join(dir, `dump-${made}`)
      const local = (database: string) => [
        '-h',
        dir,
        '-p',
        `${port}`,
        '-U',
        'postgres',
        '-d',
        new URL(database).pathname.slice(1),
      ]
      await run(cluster, 'pg_dump', [...local(from), '-Fc', '-f', file])
      await run(cluster, 'pg_restore', [...local(copy), '--exit-on-error', file])
      return copy
    },
    kill: () => end(cluster, 'SIGKILL'),
    async restart() {
      await end(cluster, 'SIGINT')
      await start(cluster)
    },
    freeze: () => freeze(cluster),
    async thaw() {
      cluster.thaw?.()
      await signalAll(cluster, 'SIGCONT')
    },
  }
}

/** Text sorts by language in the cluster, as in most deployments, so that tests see where byte order is taken for granted. */
const LOCALE = ['--locale-provider=icu', '--icu-locale=en-US', '--locale=C.UTF-8', '--encoding=UTF8']

async function initialise(cluster: Cluster): Promise<void> {
  const { dir, password, tls, user } = cluster
  const secret = join(dir, 'password')
  await writeFile(secret, password)
  if (user !== undefined) await chown(secret, user.uid, user.gid)
  const access = ['-U', 'postgres', `--pwfile=${secret}`, '--auth-local=trust', '--auth-host=scram-sha-256']
  await run(cluster, 'initdb', ['-D', join(dir, 'data'), '--no-sync', '--no-instructions', ...access, ...LOCALE])
  if (!tls) return
  const files = ['-keyout', join(dir, 'server.key'), '-out', join(dir, 'server.crt')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const how = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await run(cluster, 'openssl', [...how, ...subject, ...files])
}

async function start(cluster: Cluster): Promise<void> {
  const { dir, port, tls, user } = cluster
  const certificate = tls ? { ssl: 'on', ssl_cert_file: `${dir}/server.crt`, ssl_key_file: `${dir}/server.key` } : {}
  const place = { listen_addresses: '127.0.0.1', port: `${port}`, unix_socket_directories: dir }
  const settings = Object.entries({ ...SETTINGS, ...place, ...certificate }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  const path = join(dir, 'log')
  const log = await open(path, 'a')
  // Dies with this process, however it ends; QUIT lets the server give its shared memory back.
  const command = [
    ...asUser(user, ['--pdeathsig', 'QUIT']),
    programs()['postgres'] ?? '',
    '-D',
    join(dir, 'data'),
    ...settings,
  ]
  const child = spawn('setpriv', command, { stdio: ['ignore', log.fd, log.fd] })
  cluster.child = child
  await log.close()
  const isReady = () =>
    run(cluster, 'pg_isready', ['-q', '-h', '127.0.0.1', '-p', `${port}`]).then(
      () => true,
      () => false,
    )
  for (let waited = 0; !(await isReady()); waited += POLL_MS) {
    if (waited > READY_MS_MAX || hasEnded(child)) throw new Error(`no PostgreSQL: ${await readFile(path, 'utf8')}`)
    await sleep(POLL_MS)
  }
}

/** Ends the server if it runs, frozen or not, and waits until none of its processes is left. */
async function end(cluster: Cluster, name: NodeJS.Signals): Promise<void> {
  const { child } = cluster
  cluster.child = undefined
  cluster.thaw?.()
  if (child?.pid === undefined || hasEnded(child)) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  const workers = await childrenOf(child.pid)
  // A postmaster that sees its children die would start recovery, so it goes first.
  child.kill(name)
  if (name === 'SIGKILL') for (const pid of workers) kill(pid, name)
  for (const pid of [child.pid, ...workers]) kill(pid, 'SIGCONT')
  const late = setTimeout(() => child.kill('SIGKILL'), READY_MS_MAX)
  await gone
  clearTimeout(late)
  while (workers.some((pid) => kill(pid, 0))) await sleep(POLL_MS)
}

/** A process that stands still cannot even be ended; should this one die meanwhile, a pipe that closes sets the others free. */
async function freeze(cluster: Cluster): Promise<void> {
  const pids = await signalAll(cluster, 'SIGSTOP')
  const guard = spawn('sh', ['-c', `read end; kill -CONT ${pids.join(' ')}`], { stdio: ['pipe', 'ignore', 'ignore'] })
  cluster.thaw = () => guard.stdin.end()
}

async function signalAll(cluster: Cluster, name: NodeJS.Signals): Promise<number[]> {
  const pid = cluster.child?.pid
  if (pid === undefined) throw new TypeError('the server does not run')
  // The postmaster first, so that it starts no child that is missed.
  kill(pid, name)
  const workers = await childrenOf(pid)
  for (const each of workers) kill(each, name)
  return [pid, ...workers]
}

/** Children have sessions of their own, so that a signal to the group does not reach them. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}

/** False when there is no such process. */
function kill(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null

/** Arguments of setpriv. PostgreSQL refuses to run as root. */
const asUser = (user: ServerUser | undefined, more: string[] = []): string[] =>
  user === undefined ? more : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', ...more]

async function run({ user, dir }: Cluster, program: string, args: string[]): Promise<string> {
  const command = [...asUser(user), programs()[program] ?? program, ...args]
  const { stdout } = await promisify(execFile)('setpriv', command, { cwd: dir, timeout: READY_MS_MAX })
  return stdout.trim()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

if (import.meta.main) {
  const postgres = await startPostgres()
  process.stdout.write(`${postgres.url}\n`)
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
  })
  await postgres.stop()
}
