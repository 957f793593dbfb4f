// A private Postfix that relays: Debian's package, unpacked and not installed, with a configuration, a queue and a log of its own, no
// listener, and no user that was not there before. It hands everything on to one port of loopback.

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unpacked } from './unpacked.ts'
import { eventually } from '../system.ts'

const POSTFIX = unpacked('postfix', ['postfix'], { rootRuns: true })
export const { unavailable: postfixUnavailable, install: installPostfix } = POSTFIX

const SBIN = join(POSTFIX.folder, 'usr/sbin')
const LIB = join(POSTFIX.folder, 'usr/lib/postfix')
/** Its libraries are where no system looks for them. */
const ENVIRONMENT = 'LD_LIBRARY_PATH MAIL_CONFIG'
const STOP_MS_MAX = 10_000
const READY_MS_MAX = 20_000
/** Of Debian's base system: nobody else owns a Postfix queue here. uid and gid. */
const OWNER = { name: 'daemon', id: 1 }
/** Stands in for `postdrop`. */
const DROP_GROUP = { name: 'games', id: 60 }
const OWN_FOLDERS = [
  'active',
  'bounce',
  'corrupt',
  'defer',
  'deferred',
  'flush',
  'hold',
  'incoming',
  'private',
  'saved',
  'trace',
]

/** One delivery, as the log has it. */
export interface Delivery {
  queueId: string
  to: string
  status: 'sent' | 'deferred' | 'bounced'
  /** What the other side said, or why nobody did. */
  answer: string
}

export interface Postfix {
  /** Gives it a mail as a program of this machine does; lines end with LF. Resolves when it is queued. */
  submit(from: string, to: readonly string[], mail: Buffer): Promise<void>
  /** Tries again whatever waits, now. */
  flush(): Promise<void>
  log(): Promise<string>
  deliveries(): Promise<Delivery[]>
  /** Ends it and removes everything. */
  stop(): Promise<void>
}

/** `settings` go to main.cf behind our own. Fetches the package if need be. Rejects with the log. */
export async function startPostfix(relayPort: number, settings: Record<string, string> = {}): Promise<Postfix> {
  await installPostfix()
  const dir = await mkdtemp(join(tmpdir(), 'postfix-'))
  const log = () => readFile(join(dir, 'log', 'maillog'), 'utf8').catch(() => '')
  const env = { PATH: process.env['PATH'], MAIL_CONFIG: join(dir, 'etc'), LD_LIBRARY_PATH: LIB }
  let master: ChildProcess | undefined
  const stop = async () => {
    if (master !== undefined) await end(master)
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await layOut(dir)
    await configure(dir, relayPort, settings)
    // Ends when this process does, however that ends.
    const command = ['--pdeathsig', 'TERM', join(LIB, 'sbin/master'), '-d', '-c', join(dir, 'etc')]
    master = spawn('setpriv', command, { env, stdio: 'ignore', detached: true })
    const ended = once(master, 'exit')
    const started = eventually(async () => /daemon started/.test(await log()) || undefined, READY_MS_MAX, 'Postfix')
    await Promise.race([started, ended.then(([code]) => Promise.reject(new Error(`ended with ${String(code)}`)))])
  } catch (error) {
    const said = await log()
    await stop()
    throw new Error(`Postfix did not start: ${said}`, { cause: error })
  }
  return {
    async submit(from, to, mail) {
      const sendmail = promisify(execFile)(join(SBIN, 'sendmail'), ['-i', '-f', from, '--', ...to], { env })
      sendmail.child.stdin?.end(mail)
      await sendmail
    },
    flush: async () => void (await promisify(execFile)(join(SBIN, 'postqueue'), ['-f'], { env })),
    log,
    deliveries: async () => deliveriesIn(await log()),
    stop,
  }
}

/** What `postfix set-permissions` would make. */
async function layOut(dir: string): Promise<void> {
  await chmod(dir, 0o755)
  for (const name of ['etc', 'queue', 'queue/pid']) await mkdir(join(dir, name))
  const owned = ['data', 'log', ...OWN_FOLDERS.map((name) => `queue/${name}`)]
  for (const name of owned) {
    await mkdir(join(dir, name), { mode: 0o700 })
    await chown(join(dir, name), OWNER.id, 0)
  }
  for (const [name, mode] of [
    ['maildrop', 0o730],
    ['public', 0o710],
  ] as const) {
    await mkdir(join(dir, 'queue', name))
    await chown(join(dir, 'queue', name), OWNER.id, DROP_GROUP.id)
    await chmod(join(dir, 'queue', name), mode)
  }
}

async function configure(dir: string, relayPort: number, settings: Record<string, string>): Promise<void> {
  const main = {
    compatibility_level: '3.6',
    queue_directory: join(dir, 'queue'),
    data_directory: join(dir, 'data'),
    daemon_directory: join(LIB, 'sbin'),
    command_directory: SBIN,
    shlib_directory: LIB,
    meta_directory: join(POSTFIX.folder, 'usr/share/postfix'),
    sendmail_path: join(SBIN, 'sendmail'),
    maillog_file: join(dir, 'log', 'maillog'),
    maillog_file_prefixes: dir,
    import_environment: ENVIRONMENT,
    export_environment: ENVIRONMENT,
    mail_owner: OWNER.name,
    setgid_group: DROP_GROUP.name,
    default_privs: 'nobody',
    myhostname: 'relay.sender.example',
    mydestination: '',
    alias_maps: '',
    inet_interfaces: '127.0.0.1',
    relayhost: `[127.0.0.1]:${relayPort}`,
    smtp_dns_support_level: 'disabled',
    smtputf8_enable: 'yes',
    // A minute is long for a test.
    queue_run_delay: '1s',
    minimal_backoff_time: '1s',
    maximal_backoff_time: '2s',
    ...settings,
  }
  const lines = Object.entries(main).map(([name, value]) => `${name} = ${value}\n`)
  await writeFile(join(dir, 'etc/main.cf'), lines.join(''))
  await writeFile(join(dir, 'etc/master.cf'), SERVICES)
}

/** master(5): what a host that only hands on needs. */
const SERVICES = `pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

const DELIVERY = /postfix\/(?:smtp|relay|error)\S*: (\w+): to=<([^>]*)>.* status=(sent|deferred|bounced) \((.*)\)$/

const deliveriesIn = (log: string): Delivery[] =>
  log.split('\n').flatMap((line) => {
    const [, queueId = '', to = '', status, answer = ''] = DELIVERY.exec(line) ?? []
    return status === 'sent' || status === 'deferred' || status === 'bounced' ? [{ queueId, to, status, answer }] : []
  })

/** The master takes its children with it; what stays behind is in its process group. */
async function end(master: ChildProcess): Promise<void> {
  if (master.exitCode !== null || master.signalCode !== null || master.pid === undefined) return
  const gone = once(master, 'exit')
  master.kill('SIGTERM')
  const timer = setTimeout(() => master.kill('SIGKILL'), STOP_MS_MAX)
  await gone
  clearTimeout(timer)
  try {
    process.kill(-master.pid, 'SIGKILL')
  } catch {
    // nobody is left
  }
}
