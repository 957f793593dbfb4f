// Who holds the locks of the spool. They are the kernel's, so the kernel is asked (/proc/locks, proc_locks(5)); taking a lock to
// find out could keep a daemon from starting.

import { readFile, stat } from 'node:fs/promises'
import type { Context } from './context.ts'

export interface LockFinding {
  name: string
  state: 'held' | 'free' | 'never' | 'unknown'
  text: string
  /** Process ids; several containers may see none of each other's. */
  holders: number[]
}

const LOCKS = { 'spool writer lock': 'writer.lock', 'spool reader lock': 'reader.lock' } as const

export async function lockFindings({ engines }: Context): Promise<LockFinding[]> {
  const table = await readFile('/proc/locks', 'utf8').catch(() => '')
  const found: LockFinding[] = []
  for (const [name, file] of Object.entries(LOCKS)) {
    const inode = await stat(`${engines.spool.dir}/${file}`).then(
      ({ ino }) => ino,
      () => undefined,
    )
    if (inode === undefined) found.push({ name, state: 'never', text: 'never taken', holders: [] })
    else if (table === '')
      found.push({ name, state: 'unknown', text: 'this system does not tell who holds it', holders: [] })
    else found.push(await described(name, holdersIn(table, inode)))
  }
  return found
}

async function described(name: string, holders: number[]): Promise<LockFinding> {
  const texts = await Promise.all(holders.map(async (pid) => `process ${pid} (${await programOf(pid)})`))
  return texts.length === 0
    ? { name, state: 'free', text: 'free', holders }
    : { name, state: 'held', text: `held by ${texts.join(', ')}`, holders }
}

/** `1: POSIX  ADVISORY  WRITE 4242 08:01:131 0 EOF`: the process, and the inode after the device. */
export function holdersIn(table: string, inode: number): number[] {
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/))
  const held = rows.filter((row) => row[1] === 'POSIX' && row[3] === 'WRITE' && row[5]?.endsWith(`:${inode}`))
  return [...new Set(held.map((row) => Number(row[4])))].filter((pid) => pid > 0)
}

async function programOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const words = line.split('\0').filter((word) => word !== '')
  return words.find((word) => word.endsWith('.ts')) ?? words[0] ?? 'gone or not ours to see'
}
