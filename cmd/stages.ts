// Each stage wired from its parts: `smtpd.ts`, `uploaderd.ts` and `indexerd.ts` run one alone, `ingest.ts` runs all of them.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../internal/config/config.ts'
import { dnsLookups } from '../internal/authentication/lookups.ts'
import { mailAuthenticator } from '../internal/authentication/mailauth.ts'
import type { Authenticator } from '../internal/authentication/authentication.ts'
import { random, type Check, type Part } from '../internal/daemon/daemon.ts'
import { refreshDirectory, Refresher } from '../internal/directory/refresher.ts'
import { openNodeQuotas } from '../internal/directory/node-quotas.ts'
import { openDirectory } from '../internal/directory/snapshot.ts'
import { refreshUsage, UsageRefresher, type UsageSource } from '../internal/directory/usage-refresher.ts'
import { parsePath, type Mailbox } from '../internal/envelope/envelope.ts'
import { watchDeadLetters } from '../internal/eventlog/eventlog.ts'
import { indexer, keepEventsFor, type Indexed } from '../internal/indexer/indexer.ts'
import { parserPool } from '../internal/message/message.ts'
import type { Scanner } from '../internal/scanner/scanner.ts'
import { smtpServer, type SmtpOptions, type ThrottleLimits } from '../internal/smtp/smtp.ts'
import { certificatesOf, listenAll } from './front-door.ts'
import { probe, type Fate } from '../internal/probe/probe.ts'
import {
  directoryRows,
  directoryVersion,
  findMessages,
  limitedTenants,
  messagesThere,
  type MessageStatus,
  type Store,
} from '../internal/store/store.ts'
import { uploader } from '../internal/upload/upload.ts'
import { nodeFs, openReader, openWriter, SpoolError, type SpoolObserver, type SpoolOptions } from '../spool/spool.ts'
import type { Engines } from './engines.ts'
import { outboundParts } from './outbound.ts'
import { parserLimits } from './parsers.ts'
import { spoolMetrics, spoolReaderMetrics } from './spool-metrics.ts'
import { spoolSpace } from './spool-space.ts'
import { CannotStart, looping, plainly, type Stage, type Surroundings } from './main.ts'

const snapshotPath = ({ config }: Surroundings): string => join(config.dataDir, 'directory.db')
const usagePath = ({ config }: Surroundings): string => join(config.dataDir, 'usage.db')

function spoolOptions({ config, clock }: Surroundings, observe: Partial<SpoolObserver>): SpoolOptions {
  const limits = { freeMinBytes: config.spoolFreeMin, freeResumeBytes: config.spoolFreeResume }
  return { fs: nodeFs(), dir: config.spoolDir, clock, random, observe, limits }
}

/** A spool that another daemon holds, or whose disk is not the one it was, is a reason not to start. */
async function opened<T>(dir: string, open: Promise<T>): Promise<T> {
  try {
    return await open
  } catch (error) {
    if (error instanceof SpoolError) throw new CannotStart(error.message, { cause: error })
    throw plainly(error, `SPOOL_DIR ${dir}`)
  }
}

export interface SmtpdOptions {
  /** Told of each durable entry, so that a reader in this process need not wait for its next look. */
  onCommit?: () => void
  /** Whether a disk error of the spool ends the process, after its replies; the all-in-one stays up, not ready. */
  endWhenPoisoned?: boolean
  /** Asked before the final reply where SCANNER_INLINE is on. */
  scanner?: Scanner | undefined
}

/** The front door. */
export async function startSmtpd(around: Surroundings, options: SmtpdOptions): Promise<Stage & { port: number }> {
  const { config, clock, ids, log, registry, tracer } = around
  const path = snapshotPath(around)
  const metrics = spoolMetrics(registry)
  const broken = Promise.withResolvers<void>()
  broken.promise.catch((error: unknown) => log.error({ err: error }, 'the process ends and has to be started again'))
  const poisoned = (error: Error): void => {
    log.error({ err: error }, 'the spool met a disk error and takes no more mail')
    if (options.endWhenPoisoned) broken.reject(error)
  }
  const damaged = (what: string): void => log.error({ what }, 'the spool is damaged')
  const observe = { ...metrics.observe, poisoned, damaged, ...(options.onCommit && { committed: options.onCommit }) }
  const spool = await opened(config.spoolDir, openWriter(spoolOptions(around, observe)))
  metrics.watch(spool)
  const space = spoolSpace(spool, clock)
  const directory = openDirectory({
    path,
    clock,
    log,
    hostedDomain: config.smtpDomain,
    plusPrefix: config.smtpPlusPrefix,
    postmaster: postmasterOf(config.postmasterMailbox),
  })
  const quotas = openNodeQuotas({ path: usagePath(around), clock, log })
  const certificates = await certificatesOf(around)
  const door = smtpServer({
    hostname: config.smtpHostname,
    limits: {
      messageBytesMax: config.smtpMaxMessageSize,
      ...throttleLimits(config),
      headerBytesMax: config.smtpMaxHeaderSize,
      refusalRate: config.smtpRefusalRate,
      recipientsMax: config.smtpMaxRecipients,
      sessionsMax: config.smtpMaxSessions,
      greetingTimeoutMs: config.smtpGreetingTimeoutMs,
      greetingDelayMs: config.smtpGreetingDelayMs,
      idleTimeoutMs: config.smtpIdleTimeoutMs,
      dataTimeoutMs: config.smtpDataTimeoutMs,
      sessionTimeoutMs: config.smtpSessionTimeoutMs,
      dataRateMin: config.smtpMinDataRate,
    },
    directory,
    quotas,
    spool,
    notes: spool,
    ...authenticatorOf(around),
    ...inlineScanOf(config, options.scanner),
    clock,
    ids,
    log,
    registry,
    tracer,
    ...(certificates && { certificates }),
    requireTls: config.smtpRequireTls,
    proxies: config.smtpProxyFrom,
  })
  const port = await listenAll(around, door)
  const checks: Check[] = [
    { name: 'spool', problem: () => space.problem() },
    {
      name: 'directory',
      problem: () => {
        const { loaded, empty } = directory.stats()
        if (!loaded) return `no directory snapshot at ${path} yet`
        return empty ? `no tenant in ${path}; mail is deferred` : undefined
      },
    },
    { name: 'smtp', problem: () => (door.facts().draining ? 'shutting down' : undefined) },
  ]
  const parts: Part[] = [
    { name: 'spool', running: broken.promise, stop: () => spool.close() },
    looping(log, 'spool space', (signal) => space.run(signal)),
    { name: 'directory', stop: async () => directory.close() },
    { name: 'quotas', stop: async () => quotas.close() },
    ...(certificates === undefined ? [] : [looping(log, 'certificates', (signal) => certificates.follow(signal))]),
    { name: 'smtp', stop: () => door.close(config.smtpDrainTimeoutMs), drains: true },
  ]
  return { parts, checks, port }
}

const throttleLimits = (config: Config): ThrottleLimits => ({
  trusted: config.smtpTrusted,
  addressSessionsMax: config.smtpAddressSessions,
  networkSessionsMax: config.smtpNetworkSessions,
  sessionRate: config.smtpSessionRate,
  commandRate: config.smtpCommandRate,
  errorRate: config.smtpErrorRate,
  messageRate: config.smtpMessageRate,
  recipientRate: config.smtpRecipientRate,
  byteRate: config.smtpByteRate,
  tenantMessageRate: config.smtpTenantMessageRate,
  tenantByteRate: config.smtpTenantByteRate,
  domainMessageRate: config.smtpDomainMessageRate,
  domainByteRate: config.smtpDomainByteRate,
})

function authenticatorOf({ config, clock, log, registry }: Surroundings): { authenticator?: Authenticator } {
  const { smtpAuthentication, smtpAuthenticationTimeoutMs, smtpDnsServers, smtpHostname } = config
  if (smtpAuthentication === 'off') return {}
  const lookups = dnsLookups({ servers: smtpDnsServers, clock })
  return {
    authenticator: mailAuthenticator({
      hostname: smtpHostname,
      lookups,
      timeoutMs: smtpAuthenticationTimeoutMs,
      loopback: smtpAuthentication === 'all',
      clock,
      log,
      registry,
    }),
  }
}

function inlineScanOf(config: Config, scanner: Scanner | undefined): Pick<SmtpOptions, 'inlineScan'> {
  const { scannerInline, scannerDown: down, scannerInfected: infected } = config
  return scanner === undefined || scannerInline === 'off' ? {} : { inlineScan: { scanner, down, infected } }
}

function postmasterOf(address: string): Mailbox {
  const mailbox = parsePath(address)
  if (mailbox === undefined || mailbox === null)
    throw new CannotStart(`POSTMASTER_MAILBOX: ${address} is not an address`)
  return mailbox
}

/** Spool to object store and event log; and the directory snapshot of this node. */
export async function startUploaderd(
  around: Surroundings,
  { blobs, log: events, store }: Engines,
): Promise<Stage & { wake(): void }> {
  const { config, clock, log, registry } = around
  const reader = await opened(config.spoolDir, openReader(spoolOptions(around, spoolReaderMetrics(registry, log))))
  const stage = uploader({
    reader,
    blobs,
    log: events,
    clock,
    logger: log,
    registry,
    tracer: around.tracer,
    concurrency: config.uploadConcurrency,
    retryMaxMs: config.uploadRetryMaxMs,
    source: `/ingest/${config.deployment}/uploaderd`,
  })
  const source = { version: () => directoryVersion(store), rows: () => directoryRows(store) }
  const refresher = new Refresher({
    path: snapshotPath(around),
    source,
    clock,
    log,
    registry,
    everyMs: config.directoryRefreshMs,
  })
  const usage = usageRefresher(around, store)
  // A first start has its snapshot before the front door opens.
  await refresher.look()
  await usage.look()
  const parts: Part[] = [
    { name: 'spool reader', stop: () => reader.close() },
    looping(log, 'uploader', (signal) => stage.run(signal)),
    looping(log, 'directory refresher', (signal) => refreshDirectory(refresher, signal), { onlyAsks: true }),
    looping(log, 'usage refresher', (signal) => refreshUsage(usage, signal), { onlyAsks: true }),
  ]
  const checks: Check[] = [
    { name: 'upload', problem: () => stage.problem() },
    { name: 'directory refresh', problem: () => refresher.problem() },
  ]
  return { parts, checks, wake: () => reader.wake() }
}

/** Where the quotas of this node's front door come from. */
function usageRefresher(around: Surroundings, store: Store): UsageRefresher {
  const { config, clock, log, registry } = around
  const source: UsageSource = {
    limited: (day) => limitedTenants(store, day),
    counted: (messageIds) => messagesThere(store, messageIds),
  }
  return new UsageRefresher({
    path: usagePath(around),
    source,
    clock,
    log,
    registry,
    everyMs: config.directoryRefreshMs,
  })
}

/** Event log to store. `onIndexed` is told of each message once its rows can be read. */
export async function startIndexerd(
  around: Surroundings,
  { scanner, ...engines }: Engines & { scanner: Scanner | undefined },
  onIndexed?: (message: Indexed) => void,
): Promise<Stage> {
  const { config, clock, log, registry } = around
  const workDir = join(config.dataDir, 'work')
  mkdirSync(workDir, { recursive: true })
  const parsers = parserPool({
    ...parserLimits(config),
    processes: config.parserProcesses,
    workRoot: workDir,
    clock,
    log,
    registry,
  })
  void parsers.startAhead().catch((error: unknown) => log.warn({ err: error }, 'no parser could be started ahead'))
  const stage = indexer({
    log: engines.log,
    blobs: engines.blobs,
    store: engines.store,
    parsers,
    ...(scanner && { scanning: { scanner, down: config.scannerDown } }),
    clock,
    logger: log,
    registry,
    tracer: around.tracer,
    workDir,
    concurrency: config.indexConcurrency,
    retries: config.indexRetries,
    answers: config.outboundUrl !== undefined,
    source: `/ingest/${config.deployment}/indexerd`,
    ...(onIndexed && { onIndexed }),
  })
  const upkeep = { store: engines.store, clock, logger: log, registry, days: config.eventsRetentionDays }
  const parts: Part[] = [
    { name: 'parsers', stop: () => parsers.close() },
    looping(log, 'indexer', (signal) => stage.run(signal)),
    looping(log, 'dead letters', (signal) =>
      watchDeadLetters(engines.log.deadLetters, { registry, clock, log, signal }),
    ),
    looping(log, 'old events', (signal) => keepEventsFor(upkeep, signal)),
    ...outboundParts(around, engines.store),
  ]
  return { parts, checks: [] }
}

const FATES = {
  STORED: 'waiting',
  PARSED: 'visible',
  QUARANTINED: 'spoiled',
  FAILED: 'spoiled',
  DUPLICATE: 'spoiled',
} as const satisfies Record<MessageStatus, Fate>

/** The canary, to each of PROBE_TARGETS. */
export function startProbe({ config, clock, ids, log, registry }: Surroundings, store: Store): Stage {
  const fateOf = async (entryId: string): Promise<Fate> => {
    const [message] = await findMessages(store, { entryId })
    return message === undefined ? 'waiting' : FATES[message.status]
  }
  const options = {
    targets: config.probeTargets,
    recipient: config.probeRecipient,
    hostname: config.smtpHostname,
    fateOf,
    everyMs: config.probeEveryMs,
    deadlineMs: config.probeDeadlineMs,
    clock,
    ids,
    log,
    registry,
  }
  return { parts: [looping(log, 'probe', (signal) => probe(options, signal))], checks: [] }
}
