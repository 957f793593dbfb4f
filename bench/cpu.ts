// CPU time by program of all processes that this one started, and of itself (proc(5)).

import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

interface Process {
  pid: number
  parent: number
  program: string
  seconds: number
}

/** Seconds of CPU by program, so far, of the processes that live. */
export function cpuSeconds(): Map<string, number> {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processOf(Number(name)) ?? [])
  const parents = new Map(all.map(({ pid, parent }) => [pid, parent]))
  const isOurs = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at)) {
      if (at === process.pid) return true
    }
    return false
  }
  const sums = new Map<string, number>()
  for (const { pid, program, seconds } of all) {
    if (isOurs(pid)) sums.set(program, (sums.get(program) ?? 0) + seconds)
  }
  return sums
}

function processOf(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
    return { pid, parent: Number(fields[1]), program: programOf(pid), seconds }
  } catch {
    return undefined // it has ended meanwhile
  }
}

/** `indexerd` for a script of ours, `kafka` for the broker, or the name of the executable. */
function programOf(pid: number): string {
  const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  const script = command.find((word) => /\.(ts|mjs|js)$/.test(word))
  if (script !== undefined) return script.replace(/^.*\//, '').replace(/\.\w+$/, '')
  const name = (command[0] ?? '').split(' ')[0]?.replace(/^.*\//, '').replace(/:$/, '') ?? ''
  return name === 'java' ? 'kafka' : name
}
