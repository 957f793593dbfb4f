// What a mail of nothing but doubled dots costs the front door, in CPU time, beside one of ordinary lines of the same length on the wire.

import { readFileSync } from 'node:fs'
import { Session } from '../test/mail.ts'

const WIRE_BYTES = 25_000_000
/** A header block as large as the mail would be too large. */
const HEADER = 'Subject: dots\r\n\r\n'
const MAILS = 5
/** Of /proc/<pid>/stat, which counts in USER_HZ. */
const TICK_MS = 10

/** User and system time of a process so far, milliseconds (proc_pid_stat(5), fields 14 and 15). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

async function cost({ port, pid }: Door, to: string, line: string): Promise<number> {
  const session = await Session.open(port)
  const before = cpuMs(pid)
  for (let mails = 0; mails < MAILS; mails++) {
    await session.expect(250, 'MAIL FROM:<ann@sender.example>')
    await session.expect(250, `RCPT TO:<${to}>`)
    await session.expect(354, 'DATA')
    await session.write(Buffer.from(HEADER + line.repeat(Math.floor(WIRE_BYTES / line.length))))
    await session.expect(250, '.')
  }
  session.close()
  return (cpuMs(pid) - before) / MAILS
}

export interface Door {
  port: number
  pid: number
}

/** Milliseconds of CPU for each 25 MB; the better of two, in turn, after one to warm up. */
export async function dotsCost(door: Door, to: string): Promise<{ dots: number; lines: number }> {
  const costs = { dots: [] as number[], lines: [] as number[] }
  const ordinary = `${'x'.repeat(76)}\r\n`
  await cost(door, to, ordinary)
  for (let round = 0; round < 2; round++) {
    costs.dots.push(await cost(door, to, '..\r\n'))
    costs.lines.push(await cost(door, to, ordinary))
  }
  return { dots: Math.min(...costs.dots), lines: Math.min(...costs.lines) }
}
