// The product as production runs it: each stage a process of its own, several of each, on the real engines.

import type { ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Engines } from './engines/engines.ts'
import { environmentOf, eventually, startProgram } from './system.ts'

/** One process of the product. */
export interface Stage {
  name: string
  pid: number
  metricsUrl: string
  /** Every line it has printed: JSON, one object each. */
  lines: string[]
  exited: Promise<number | string>
  /** Sends a signal and resolves with the exit status, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>
  signal(name: NodeJS.Signals): void
}

/** One machine that takes mail: smtpd and uploaderd with a spool between them. */
export interface Node {
  smtpPort: number
  dataDir: string
  smtpd: Stage
  uploaderd: Stage
}

type Settings = Record<string, string>

/** Starts one stage and resolves once it is ready; rejects with what it printed when it ends before. Killed when the test ends. */
export async function startStage(
  program: 'smtpd' | 'uploaderd' | 'indexerd' | 'probed',
  dataDir: string,
  settings: Settings,
): Promise<Stage> {
  mkdirSync(dataDir, { recursive: true })
  const env = environmentOf(dataDir, settings)
  const { child, lines, exited } = startProgram(program, env)
  let ended: number | string | undefined
  void exited.then((status) => (ended = status))
  const ready = await eventually(
    async () => {
      if (ended !== undefined) throw new Error(`${program} ended with ${ended}:\n${lines.join('\n')}`)
      return findLine(lines, 'ready')
    },
    60_000,
    `the start of ${program}`,
  )
  return stageOf(`${program} in ${dataDir}`, { child, lines, exited, metricsUrl: String(ready['metrics']) })
}

function stageOf(
  name: string,
  parts: { child: ChildProcess; lines: string[]; exited: Promise<number | string>; metricsUrl: string },
): Stage {
  const { child, lines, exited, metricsUrl } = parts
  return {
    name,
    pid: child.pid ?? 0,
    metricsUrl,
    lines,
    exited,
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return exited
    },
    signal: (each) => void child.kill(each),
  }
}

/** The first log line with this message. */
export function findLine(lines: readonly string[], message: string): Record<string, unknown> | undefined {
  const found = lines.find((line) => line.includes(`"msg":"${message}"`))
  return found === undefined ? undefined : (JSON.parse(found) as Record<string, unknown>)
}

/** Starts a node under `folder`. uploaderd comes first: it brings the directory snapshot that smtpd reads. */
export async function startNode(folder: string, name: string, settings: Settings): Promise<Node> {
  const dataDir = join(folder, name)
  const uploaderd = await startStage('uploaderd', dataDir, settings)
  const smtpd = await startStage('smtpd', dataDir, settings)
  const smtpPort = Number(findLine(smtpd.lines, 'listening for SMTP')?.['port'])
  return { smtpPort, dataDir, smtpd, uploaderd }
}

export const startIndexer = (folder: string, name: string, settings: Settings): Promise<Stage> =>
  startStage('indexerd', join(folder, name), settings)

/** Nodes and indexers on the engines. Indexers come first: one of them makes the tables. */
export async function startCluster(
  folder: string,
  engines: Pick<Engines, 'settings'>,
  { nodes, indexers, settings = {} }: { nodes: number; indexers: number; settings?: Settings },
): Promise<{ nodes: Node[]; indexers: Stage[] }> {
  const all = { ...engines.settings, ...settings }
  const names = (kind: string, count: number) => Array.from({ length: count }, (_, at) => `${kind}-${at + 1}`)
  const startedIndexers = await Promise.all(names('indexer', indexers).map((name) => startIndexer(folder, name, all)))
  const startedNodes = await Promise.all(names('node', nodes).map((name) => startNode(folder, name, all)))
  return { nodes: startedNodes, indexers: startedIndexers }
}
