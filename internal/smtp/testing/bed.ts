// A front door on a free port, with a real spool and a real directory snapshot.

import { scryptSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { BlockList } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import type { Authenticator } from '../../authentication/authentication.ts'
import { openNodeQuotas } from '../../directory/node-quotas.ts'
import { openDirectory, writeSnapshot } from '../../directory/snapshot.ts'
import { UsageRefresher, type UsageSource } from '../../directory/usage-refresher.ts'
import type { Directory, DirectoryRow, DomainRow } from '../../directory/directory.ts'
import type { Refusal } from '../../envelope/envelope.ts'
import type { Clock, Ids } from '../../ports/ports.ts'
import { makePair } from './certificates.ts'
import { openDiskSpool, type Kept } from './disk.ts'
import {
  openCertificates,
  smtpServer,
  type Certificates,
  type InlineScan,
  type KeyPair,
  type Limits,
  type ListenerName,
  type SmtpDoor,
  type SmtpOptions,
  type Spool,
} from '../smtp.ts'

/** A tenant with quotas, as the store tells of it. */
export type Limited = ReturnType<UsageSource['limited']> extends AsyncIterable<infer Tenant> ? Tenant : never

export interface BedOptions {
  limits?: Partial<Limits>
  /** Wraps or replaces the spool that the door gets. */
  spool?: (real: Spool) => Spool
  /** Takes refusals instead of the spool. */
  notes?: SmtpOptions['notes']
  directory?: (real: Directory) => Directory
  /** What tenants may have, and have. */
  limited?: Limited[]
  authenticator?: Authenticator
  inlineScan?: InlineScan
  capacityBytes?: number
  /** The wall clock of the door. */
  now?: () => number
  /** The clock of its deadlines. */
  monotonic?: () => number
  port?: number
  /** The one that is opened; all but `smtp` come with TLS. */
  listener?: ListenerName
  /** `true`: a certificate of its own making. */
  tls?: true | KeyPair[]
  requireTls?: boolean
  /** Addresses. */
  proxies?: string[]
  checkSecret?: SmtpOptions['checkSecret']
}

export interface Bed {
  door: SmtpDoor
  port: number
  registry: Registry
  /** What the door shows; undefined without TLS. */
  certificates: Certificates | undefined
  /** Fields of every log line, with its message as `msg`. */
  log: Record<string, unknown>[]
  /** Every entry in the spool, oldest first. */
  kept(): Promise<Kept[]>
  /** Closes the door; then every refusal that it noted, oldest first. */
  refusals(): Promise<Refusal[]>
  reservedBytes(): number
  close(): Promise<void>
}

export const LIMITS: Limits = {
  messageBytesMax: 2000,
  recipientsMax: 5,
  sessionsMax: 300,
  refusalRate: 60,
  greetingDelayMs: 0,
  idleTimeoutMs: 30_000,
  dataTimeoutMs: 30_000,
  sessionTimeoutMs: 30_000,
  dataRateMin: 0,
  greetingTimeoutMs: 30_000,
  headerBytesMax: 0,
  trusted: new BlockList(),
  addressSessionsMax: 0,
  networkSessionsMax: 0,
  sessionRate: 0,
  commandRate: 0,
  errorRate: 0,
  messageRate: 0,
  recipientRate: 0,
  byteRate: 0,
  tenantMessageRate: 0,
  tenantByteRate: 0,
  domainMessageRate: 0,
  domainByteRate: 0,
}

const clock: Clock = {
  now: () => Date.UTC(2026, 9, 6, 10, 11, 12),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, { ...(signal && { signal }), ref: false })
  },
}

const domain = (name: string, more: Partial<DomainRow> = {}): DirectoryRow => {
  const options = { catchAll: null, antiEnumeration: false }
  return { kind: 'domain', domain: name, tenant: 'acme', state: 'active', ...options, ...more }
}

function blockList(addresses: readonly string[]): BlockList {
  const list = new BlockList()
  for (const address of addresses) list.addAddress(address)
  return list
}

/** As cheap as it can be. */
function hashed(secret: string): string {
  const salt = Buffer.alloc(16)
  const hash = scryptSync(secret, salt, 32, { N: 2, r: 1, p: 1 })
  return `scrypt:2:1:1:${salt.toString('base64url')}:${hash.toString('base64url')}`
}

const ROWS: DirectoryRow[] = [
  { kind: 'tenant', slug: 'acme', sizeMax: null, enabled: true },
  { kind: 'tenant', slug: 'beta', sizeMax: null, enabled: true },
  { kind: 'tenant', slug: 'tiny', sizeMax: 1000, enabled: true },
  { kind: 'tenant', slug: 'closed', sizeMax: null, enabled: false },
  domain('acme.example'),
  domain('lost.example', { state: 'mx_lost' }),
  domain('suspended.example', { state: 'suspended' }),
  domain('xn--bcher-kva.example'),
  domain('catch.example', { catchAll: 'ann@acme.example' }),
  domain('quiet.example', { antiEnumeration: true }),
  { kind: 'mailbox', address: 'ann@quiet.example', tenant: 'acme', enabled: true },
  { kind: 'mailbox', address: 'off@quiet.example', tenant: 'acme', enabled: false },
  { kind: 'mailbox', address: 'jos\u00e9@acme.example', tenant: 'acme', enabled: true },
  { kind: 'mailbox', address: 'ann@xn--bcher-kva.example', tenant: 'acme', enabled: true },
  { kind: 'mailbox', address: 'postmaster@mail.example', tenant: 'acme', enabled: true },
  { kind: 'mailbox', address: 'ann@acme.example', tenant: 'acme', enabled: true },
  { kind: 'mailbox', address: 'off@acme.example', tenant: 'acme', enabled: false },
  { kind: 'policy', tenant: 'acme', rule: 'unreachable', action: 'reject' },
  { kind: 'policy', tenant: 'acme', rule: 'spf_fail', action: 'reject' },
  { kind: 'policy', tenant: 'acme', rule: 'dmarc_reject', action: 'reject' },
  { kind: 'policy', tenant: 'acme', rule: 'unauthenticated', action: 'reject' },
  { kind: 'policy', tenant: 'beta', rule: 'spf_fail', action: 'tag' },
  { kind: 'sender', tenant: 'acme', sender: 'spam.example', listing: 'block' },
  { kind: 'sender', tenant: 'acme', sender: 'ann@spam.example', listing: 'allow' },
  { kind: 'sender', tenant: 'acme', sender: 'noise@mixed.example', listing: 'block' },
  { kind: 'sender', tenant: 'acme', sender: 'friend.example', listing: 'allow' },
  { kind: 'mailbox', address: 'bob@mail.example', tenant: 'beta', enabled: true },
  { kind: 'credential', name: 'app', tenant: 'acme', secretHash: hashed('open sesame'), sendAs: [] },
  { kind: 'credential', name: 'ann', tenant: 'acme', secretHash: hashed('open sesame'), sendAs: ['ann@acme.example'] },
  { kind: 'credential', name: 'closed', tenant: 'closed', secretHash: hashed('open sesame'), sendAs: [] },
  { kind: 'credential', name: 'broken', tenant: 'acme', secretHash: 'md5:x', sendAs: [] },
]

function countedIds(): Ids {
  let count = 0
  const hex = (width: number) => String((count += 1)).padStart(width, '0')
  return {
    entryId: () => `00000000-0000-7000-8000-${hex(12)}`,
    traceparent: () => `00-${hex(32)}-00000000000000ff-01`,
  }
}

export async function openBed(options: BedOptions = {}): Promise<Bed> {
  const dir = mkdtempSync(join(tmpdir(), 'smtp-'))
  const log: Bed['log'] = []
  const note = (fields: Record<string, unknown>, msg: string) => void log.push({ ...fields, msg })
  const lines = { debug: note, info: note, warn: note, error: note }
  const directory = await openTestDirectory(join(dir, 'directory.db'), lines)
  const quotas = await openTestQuotas(join(dir, 'usage.db'), lines, options)
  const disk = await openDiskSpool(options.capacityBytes ?? 10_000_000_000, clock)
  const registry = new Registry()
  const { listener = 'smtp', tls = listener === 'smtp' ? undefined : true } = options
  const pairs = tls === true ? [makePair(dir, 'own', ['mx.example'])] : tls
  const certificates =
    pairs &&
    (await openCertificates({
      pairs,
      registry,
      clock: { ...clock, ...(options.now && { now: options.now }) },
      log: lines,
    }))
  const door = smtpServer({
    hostname: 'mx.example',
    limits: { ...LIMITS, ...options.limits },
    directory: options.directory?.(directory) ?? directory,
    quotas,
    ...(options.inlineScan && { inlineScan: options.inlineScan }),
    spool: options.spool?.(disk.writer) ?? disk.writer,
    notes: options.notes ?? disk.writer,
    ...(options.authenticator && { authenticator: options.authenticator }),
    clock: {
      ...clock,
      ...(options.now && { now: options.now }),
      ...(options.monotonic && { monotonic: options.monotonic }),
    },
    ids: countedIds(),
    log: lines,
    registry,
    ...(certificates && { certificates }),
    ...(options.requireTls === true && { requireTls: true }),
    ...(options.proxies && { proxies: blockList(options.proxies) }),
    ...(options.checkSecret && { checkSecret: options.checkSecret }),
  })
  const close = async () => {
    await door.close(1000)
    await disk.close()
    directory.close()
    quotas.close()
    rmSync(dir, { recursive: true })
  }
  const { port } = await door.listen('127.0.0.1', options.port ?? 0, listener).catch(async (error: unknown) => {
    await close()
    throw error
  })
  return {
    door,
    port,
    registry,
    certificates,
    log,
    kept: () => disk.kept(),
    refusals: async () => {
      await door.close(1000)
      return disk.notes()
    },
    reservedBytes: () => disk.writer.stats().reservedBytes,
    close,
  }
}

async function openTestDirectory(path: string, log: Parameters<typeof openDirectory>[0]['log']) {
  await writeSnapshot(path, ROWS)
  return openDirectory({
    path,
    clock,
    log,
    hostedDomain: 'mail.example',
    plusPrefix: 'orders',
    postmaster: { local: 'postmaster', domain: 'mail.example', text: 'postmaster@mail.example' },
  })
}

/** The real file, as uploaderd's first look leaves it. */
async function openTestQuotas(
  path: string,
  log: Parameters<typeof openNodeQuotas>[0]['log'],
  { limited = [] }: BedOptions,
) {
  const source: UsageSource = {
    async *limited() {
      yield* limited
    },
    counted: async () => [],
  }
  const refresher = new UsageRefresher({ path, source, clock, log, registry: new Registry(), everyMs: 1 })
  await refresher.look()
  refresher.close()
  return openNodeQuotas({ path, clock, log })
}
