// What others know of authenticating mail: Python's dkimpy as a peer, and the published test suite of SPF. Fetched from PyPI once on each
// machine, into .cache; nothing of it is in the repository.

import { execFile, spawn, spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const CACHE = join(import.meta.dirname, '../../.cache')
const HOME = join(CACHE, 'mail-peers-1')
const PYTHON = join(HOME, 'venv/bin/python')

/** The suite that belongs to RFC 7208, release 2014.05, as JSON. */
export const SPF_SUITE = join(HOME, 'rfc7208-tests.json')

/** Why they cannot be here, or undefined. */
export function mailPeersUnavailable(): string | undefined {
  const there = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
  if (!there('flock')) return 'no flock (util-linux)'
  return there('python3') || there('apt-get') ? undefined : 'no python3, and no apt-get to install it'
}

/** Fetches what is missing; does nothing otherwise. Rejects with what the installer said. */
export async function installMailPeers(): Promise<void> {
  await mkdir(CACHE, { recursive: true })
  const script = join(import.meta.dirname, 'mail-peers-install.sh')
  await promisify(execFile)('flock', [join(CACHE, 'mail-peers.lock'), 'sh', script, HOME], { maxBuffer: 16 << 20 })
}

/** Runs a program of Python with dkimpy at hand: `input` goes in as JSON, what it prints is JSON. Rejects with its complaint. */
export async function askPython(program: string, input: unknown): Promise<unknown> {
  const child = spawn(PYTHON, ['-c', program], { stdio: ['pipe', 'pipe', 'pipe'] })
  const [out, err]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  child.stdin.end(JSON.stringify(input))
  const status = await ended
  if (status !== 0) throw new Error(`python ended with ${status}: ${Buffer.concat(err).toString()}`)
  return JSON.parse(Buffer.concat(out).toString()) as unknown
}
