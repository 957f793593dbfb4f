// Every stage in one process, on engines that need no installation: what `make run` starts.

import { relative } from 'node:path'
import { type Config } from '../internal/config/config.ts'
import type { Indexed } from '../internal/indexer/indexer.ts'
import { seedFirstStart, type Store } from '../internal/store/store.ts'
import { openEngines } from './engines.ts'
import { main, type Stage, type Surroundings } from './main.ts'
import { openScanner } from './scanning.ts'
import { VERSION } from './version.ts'
import { startIndexerd, startProbe, startSmtpd, startUploaderd } from './stages.ts'

const say = (line: string): void => void process.stdout.write(`${line}\n`)

// Whoever read these lines may go away (`make run | head`); mail must not stop for that, and the log has it all.
process.stdout.on('error', () => undefined)

let smtpPort = 0

async function start(around: Surroundings): Promise<Stage> {
  const { engines, parts, checks } = await openEngines(around)
  await seed(around, engines.store)
  const { scanner, parts: scanning } = await openScanner(around)
  const indexing = await startIndexerd(around, { ...engines, scanner }, (message) =>
    say(lineOf(message, around.clock.now())),
  )
  const uploading = await startUploaderd(around, engines)
  const receiving = await startSmtpd(around, { onCommit: () => uploading.wake(), scanner })
  smtpPort = receiving.port
  // The front door is the last to start and the first to stop, so that what it took flows on meanwhile.
  const stages: Stage[] = [indexing, uploading, receiving]
  if (around.config.probeTargets.length > 0) stages.push(startProbe(around, engines.store))
  return {
    parts: [...parts, ...scanning, ...stages.flatMap((stage) => stage.parts)],
    checks: [...checks, ...stages.flatMap((stage) => stage.checks)],
  }
}

/** A first start makes the tenant of the banner. A store that is locked has had its first start. */
async function seed({ config, clock, log }: Surroundings, store: Store): Promise<void> {
  try {
    await seedFirstStart(store, { domain: config.smtpDomain, now: clock.now() })
  } catch (error) {
    log.warn({ err: error }, 'the store takes no writes at the moment; going on with what it has')
  }
}

/** What a newcomer sees of each message. */
function lineOf(message: Indexed, now: number): string {
  const time = new Date(now).toTimeString().slice(0, 8)
  const took = `${now - message.receivedAt} ms`
  const fate = message.status === 'PARSED' ? 'indexed' : message.status.toLowerCase()
  const sender = message.mailFrom === '' ? '<>' : message.mailFrom
  return `${time} received  ${message.entryId}  ${sizeOf(message.sizeBytes)} from ${plain(sender)} → ${plain(message.mailbox)}   ${fate} in ${took}`
}

/** Addresses come from strangers: nothing of theirs may steer a terminal. */
const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?')

function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`
}

/** Settings of the environment that the command line needs to find this instance. */
function commandPrefix(config: Config): string {
  const given = ['DATA_DIR', 'SMTP_PORT', 'METRICS_LISTEN'].filter((name) => process.env[name])
  const shown = {
    DATA_DIR: config.dataDir,
    SMTP_PORT: String(smtpPort),
    METRICS_LISTEN: process.env['METRICS_LISTEN'] ?? '',
  }
  return given.map((name) => `${name}=${shown[name as keyof typeof shown]} `).join('')
}

function started({ config }: Surroundings, metricsUrl: string): void {
  const dataDir = relative(process.cwd(), config.dataDir).startsWith('..')
    ? config.dataDir
    : `./${relative(process.cwd(), config.dataDir)}`
  const command = `${commandPrefix(config)}bin/ingestctl`
  say(`mail-ingest ${VERSION}  every stage in one process  (data: ${dataDir}; delete it to start over)

  Send mail to    smtp://${config.smtpHost}:${smtpPort}   ${config.smtpPlusPrefix}+acme@${config.smtpDomain}
  Read it         ${command} messages list
  Follow one      ${command} trace ID         (the id of its 250 reply)
  Events          ${command} events tail
  Metrics         ${metricsUrl}/metrics   (this machine only)
  Log             ${config.logFile}

  Try             ${command} send --demo

  engines: event log ${config.eventLogUrl.split(':')[0]} · objects ${config.objectStoreUrl.split(':')[0]} · store ${config.databaseUrl.split(':')[0]} · scanner ${config.scannerUrl === undefined ? 'none' : 'clamd'}

ready; stop with Ctrl-C`)
}

const dataDir = process.env['DATA_DIR'] ?? ''
const defaults = { LOG_FILE: `${dataDir === '' ? './data' : dataDir}/ingest.log` }
await main({ stage: 'ingest', defaults, start, started }, process.env)
