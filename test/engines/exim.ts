// A private Exim that relays: Debian's package, unpacked and not installed, with a configuration, a queue and a log of its own and no
// daemon: each mail is delivered by the process that takes it. It hands everything on to one port of loopback.

import { execFile, spawnSync } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unpacked } from './unpacked.ts'

const EXIM = unpacked('exim', ['exim4-daemon-light', 'exim4-base'], { rootRuns: true })
export const { unavailable: eximUnavailable } = EXIM

const PROGRAM = join(EXIM.folder, 'usr/sbin/exim4')
/** Debian's Exim does not start where nobody has this name. */
const OWNER = 'Debian-exim'
const DELIVERY_MS_MAX = 30_000
const run = promisify(execFile)

/** Fetches the package and makes its user, as that of the package does. Throws with the reason why not. */
export async function installExim(): Promise<void> {
  await EXIM.install()
  const user = ['--system', '--no-create-home', '--user-group', '--shell', '/usr/sbin/nologin', OWNER]
  if (spawnSync('id', [OWNER]).status !== 0) await run('useradd', user)
}

export interface Exim {
  /** Gives it a mail as a program of this machine does, and resolves when it has tried to deliver it. */
  submit(from: string, to: readonly string[], mail: Buffer): Promise<void>
  /** Says this to it over SMTP (RFC 5321), and resolves when it has tried to deliver what it took. Chunks stay as they are, octet by octet. */
  say(session: string): Promise<void>
  /** mainlog, with every selector on. */
  log(): Promise<string>
  /** Removes everything. */
  stop(): Promise<void>
}

/** `settings` are of the transport. Fetches the package if need be. */
export async function startExim(relayPort: number, settings: Record<string, string> = {}): Promise<Exim> {
  await installExim()
  const dir = await mkdtemp(join(tmpdir(), 'exim-'))
  const config = join(dir, 'exim.conf')
  await chmod(dir, 0o755)
  for (const name of ['spool', 'log']) {
    await mkdir(join(dir, name))
    await chown(join(dir, name), await idOf('-u'), await idOf('-g'))
  }
  await writeFile(config, configuration(dir, relayPort, settings))
  return {
    submit: (from, to, mail) => given(mail, ['-C', config, '-odf', '-i', '-f', from, '--', ...to]),
    say: (session) => given(session, ['-C', config, '-odf', '-bs']),
    log: () => readFile(join(dir, 'log/mainlog'), 'utf8'),
    stop: () => rm(dir, { recursive: true, force: true, maxRetries: 5 }),
  }
}

async function given(input: string | Buffer, args: readonly string[]): Promise<void> {
  const exim = run(PROGRAM, args, { timeout: DELIVERY_MS_MAX })
  exim.child.stdin?.end(input)
  await exim
}

const idOf = async (flag: string) => Number((await run('id', [flag, OWNER])).stdout)

const configuration = (dir: string, relayPort: number, settings: Record<string, string>) => `exim_path = ${PROGRAM}
spool_directory = ${join(dir, 'spool')}
log_file_path = ${join(dir, 'log/%slog')}
log_selector = +all
primary_hostname = relay.sender.example
keep_environment =
spool_wireformat = true
acl_smtp_rcpt = take
begin acl
take:
  accept
begin routers
onward:
  driver = manualroute
  route_list = * localhost byname
  self = send
  transport = onward
begin transports
onward:
  driver = smtp
  port = ${relayPort}
  allow_localhost
${Object.entries(settings)
  .map(([name, value]) => `  ${name} = ${value}\n`)
  .join('')}begin retry
* * F,1h,1s
`
