// A private clamd: a configuration and signatures of its own, on a free port of loopback and on a Unix socket, gone with the process.
//
//   node test/engines/clamd.ts     starts one, prints its URL, and stops it at SIGINT or SIGTERM

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { appendFile, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { aptInstall } from './apt.ts'

const READY_MS_MAX = 30_000
const POLL_MS = 20

/** The test file that every scanner knows, in two parts, so that none finds it in this one. */
export const EICAR = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-', 'ANTIVIRUS-TEST-FILE!$H+H*'].join('')
/** What clamd calls it: its own name of a signature, marked as none of ClamAV's. */
export const EICAR_NAME = 'Test.Eicar.UNOFFICIAL'

export interface Clamd {
  /** `clamd://host:port` */
  url: string
  /** `clamd:///path` */
  socketUrl: string
  port: number
  path: string
  /** From now on data with this text in it is found. */
  know(name: string, text: string): Promise<void>
  /** Forgets what it was told to know. */
  forget(): Promise<void>
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>
  /** A start after `kill`, on the same port and socket. */
  start(): Promise<void>
  /** Stops it in its tracks: connections are taken, answers do not come. */
  freeze(): void
  thaw(): void
  /** Ends it and removes everything. */
  stop(): Promise<void>
}

const isThere = () => spawnSync('sh', ['-c', 'command -v clamd']).status === 0
const isRoot = () => process.getuid?.() === 0

/** Why there can be no clamd on this machine, or undefined. */
export function clamdUnavailable(): string | undefined {
  if (isThere()) return undefined
  if (spawnSync('sh', ['-c', 'command -v apt-get']).status !== 0) return 'no clamd, and no apt-get to install it'
  return isRoot() ? undefined : 'no clamd; as root: apt-get install clamav-daemon'
}

/** Installs it if need be. Throws with the reason why not. */
export async function installClamd(): Promise<void> {
  const reason = clamdUnavailable()
  if (reason !== undefined) throw new Error(reason)
  if (!isThere()) await aptInstall(['clamav-daemon'])
}

/** `streamMaxBytes`: most that it takes of one message. Rejects with clamd's log. */
export async function startClamd({ streamMaxBytes = 64 * 1024 * 1024 } = {}): Promise<Clamd> {
  await installClamd()
  const dir = await mkdtemp(join(tmpdir(), 'clamd-'))
  const port = await freePort()
  const path = join(dir, 'clamd.sock')
  const daemon: Daemon = { dir, port, child: undefined }
  const stop = async () => {
    await kill(daemon)
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await configure(daemon, streamMaxBytes)
    await start(daemon)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: `clamd://127.0.0.1:${port}`,
    socketUrl: `clamd://${path}`,
    port,
    path,
    know: async (name, signature) => {
      await appendFile(join(dir, 'db', 'more.ndb'), signatureLine(name, signature))
      await restart(daemon)
    },
    forget: async () => {
      await rm(join(dir, 'db', 'more.ndb'), { force: true })
      await restart(daemon)
    },
    kill: () => kill(daemon),
    start: () => start(daemon),
    freeze: () => void daemon.child?.kill('SIGSTOP'),
    thaw: () => void daemon.child?.kill('SIGCONT'),
    stop,
  }
}

interface Daemon {
  dir: string
  port: number
  child: ChildProcess | undefined
}

/** name:target type:offset:hex, found anywhere in the data. */
const signatureLine = (name: string, what: string) => `${name}:0:*:${Buffer.from(what).toString('hex')}\n`

async function configure({ dir, port }: Daemon, streamMaxBytes: number): Promise<void> {
  await mkdir(join(dir, 'db'))
  await writeFile(join(dir, 'db', 'test.ndb'), signatureLine('Test.Eicar', EICAR.slice(28, 62)))
  const settings = {
    DatabaseDirectory: join(dir, 'db'),
    TemporaryDirectory: dir,
    LocalSocket: join(dir, 'clamd.sock'),
    FixStaleSocket: 'yes',
    TCPSocket: port,
    TCPAddr: '127.0.0.1',
    LogFile: join(dir, 'clamd.log'),
    Foreground: 'yes',
    StreamMaxLength: streamMaxBytes,
    MaxScanSize: '128M',
    MaxFileSize: '128M',
    SelfCheck: 0,
    ...(isRoot() && { User: 'root' }),
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`)
  await writeFile(join(dir, 'clamd.conf'), lines.join(''))
}

async function start(daemon: Daemon): Promise<void> {
  const { dir } = daemon
  const output = join(dir, 'output')
  const log = await open(output, 'a')
  // Dies with this process, however it ends, and frozen or not.
  const command = ['--pdeathsig', 'KILL', 'clamd', '-c', join(dir, 'clamd.conf')]
  const child = spawn('setpriv', command, { stdio: ['ignore', log.fd, log.fd] })
  daemon.child = child
  await log.close()
  for (let waited = 0; (await asked(daemon, 'PING')) !== 'PONG'; waited += POLL_MS) {
    if (waited > READY_MS_MAX || hasEnded(child)) throw new Error(`no clamd: ${await readFile(output, 'utf8')}`)
    await sleep(POLL_MS)
  }
}

async function kill(daemon: Daemon): Promise<void> {
  const { child } = daemon
  daemon.child = undefined
  if (child?.pid === undefined || hasEnded(child)) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

/** With the signatures that are there now. A reload would wait for whatever is connected. */
async function restart(daemon: Daemon): Promise<void> {
  await kill(daemon)
  await start(daemon)
}

/** clamd's answer to a command; empty when there is none. */
async function asked({ port }: Daemon, command: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    socket.end(`n${command}\n`)
    return (await text(socket)).trim()
  } catch {
    return ''
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

if (import.meta.main) {
  const clamd = await startClamd()
  process.stdout.write(`${clamd.url}\n`)
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
  })
  await clamd.stop()
}
