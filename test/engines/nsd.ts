// A private DNS server: Debian's nsd on a free port of loopback with zones of the test's own, gone with the process.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { Resolver } from 'node:dns/promises'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { aptInstall } from './apt.ts'

const PROGRAM = '/usr/sbin/nsd'
const READY_MS_MAX = 10_000
const POLL_MS = 20

export interface Nsd {
  /** `address:port`, as a setting has it. */
  server: string
  stop(): Promise<void>
}

/** Why there can be no server on this machine, or undefined. */
export function nsdUnavailable(): string | undefined {
  if (existsSync(PROGRAM)) return undefined
  if (spawnSync('sh', ['-c', 'command -v apt-get']).status !== 0) return `no ${PROGRAM}, and no apt-get to install it`
  return process.getuid?.() === 0 ? undefined : `no ${PROGRAM}; as root: apt-get install nsd`
}

/** Installs what is missing; does nothing otherwise. Throws with the reason. */
export async function installNsd(): Promise<void> {
  const reason = nsdUnavailable()
  if (reason !== undefined) throw new Error(reason)
  if (!existsSync(PROGRAM)) await aptInstall(['nsd'])
}

/** One record: owner, type and data as a zone file has them (RFC 1035 5.1); names are absolute, without their last dot. */
export type DnsRecord = readonly [owner: string, type: string, data: string, ttl?: number]

export interface Zones {
  /** All in one zone, the root: what is not there is NXDOMAIN. */
  records: readonly DnsRecord[]
  /** Names whose zones cannot be loaded: they and all below them are SERVFAIL. */
  broken?: readonly string[]
}

/** A name in a zone file: every octet that could mean something else is escaped. */
export const zoneName = (name: string): string =>
  name === ''
    ? '.'
    : `${name
        .split('.')
        .map((label) => label.replaceAll(/[^A-Za-z0-9_-]/g, escaped))
        .join('.')}.`

/** Character-strings of at most 255 octets (RFC 1035 3.3). */
export const txtData = (...strings: readonly string[]): string =>
  strings
    .flatMap(
      (each) =>
        Buffer.from(each)
          .toString('latin1')
          .match(/[^]{1,255}/g) ?? [''],
    )
    .map((each) => `"${each.replaceAll(/[^A-Za-z0-9 ]/g, escaped)}"`)
    .join(' ')

const escaped = (char: string): string =>
  [...Buffer.from(char, 'latin1')].map((octet) => `\\${String(octet).padStart(3, '0')}`).join('')

const SOA = '. 300 IN SOA a. b. 1 3600 600 86400 60\n. 300 IN NS a.\n'

/** Installs the package if need be, and serves the zones. Rejects with the server's log. */
export async function startNsd({ records, broken = [] }: Zones): Promise<Nsd> {
  await installNsd()
  const dir = await mkdtemp(join(tmpdir(), 'nsd-'))
  const lines = records.map(([owner, type, data, ttl = 300]) => `${zoneName(owner)} ${ttl} IN ${type} ${data}\n`)
  await writeFile(join(dir, 'root.zone'), SOA + lines.join(''))
  const port = await freePort()
  await writeFile(join(dir, 'nsd.conf'), configuration(dir, port, broken))
  const out = await open(join(dir, 'log'), 'w')
  const child = spawn(PROGRAM, ['-d', '-c', join(dir, 'nsd.conf')], { stdio: ['ignore', out.fd, out.fd] })
  const stop = async () => {
    await end(child)
    await out.close()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await ready(child, port)
    return { server: `127.0.0.1:${port}`, stop }
  } catch (error) {
    const log = await readFile(join(dir, 'log'), 'utf8')
    await stop()
    throw new Error(`nsd did not start: ${log}`, { cause: error })
  }
}

function configuration(dir: string, port: number, broken: readonly string[]): string {
  const zone = (name: string, file: string) => `zone:\n  name: "${name}"\n  zonefile: "${join(dir, file)}"\n`
  return `server:
  ip-address: 127.0.0.1@${port}
  username: ""
  chroot: ""
  zonesdir: "${dir}"
  pidfile: ""
  xfrdfile: ""
  xfrdir: "${dir}"
  zonelistfile: "${dir}/zone.list"
  database: ""
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
${zone('.', 'root.zone')}${broken.map((name) => zone(name, 'missing.zone')).join('')}`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function ready(child: ChildProcess, port: number): Promise<void> {
  const resolver = new Resolver({ timeout: 500, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  for (const began = performance.now(); performance.now() - began < READY_MS_MAX; await sleep(POLL_MS)) {
    if (child.exitCode !== null) throw new Error(`exit status ${child.exitCode}`)
    const there = await resolver.resolveNs('.').then(
      () => true,
      () => false,
    )
    if (there) return
  }
  throw new Error(`not ready within ${READY_MS_MAX} ms`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}

/** A server that takes questions and never answers. */
export async function startSilentDns(): Promise<Nsd> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  return {
    server: `127.0.0.1:${port}`,
    stop: async () => {
      socket.close()
      await once(socket, 'close')
    },
  }
}
