// For tests: a front door on a free port with a real directory snapshot, and a client that shows every byte.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { openDirectory, writeSnapshot } from '../directory/snapshot.ts'
import type { Directory } from '../directory/directory.ts'
import type { Envelope } from '../envelope/envelope.ts'
import type { Clock, Ids } from '../ports/ports.ts'
import { StandInSpool } from './spool-stand-in.ts'
import { smtpServer, type Limits, type SmtpDoor, type Spool } from './smtp.ts'

export interface Kept {
  id: string
  envelope: Envelope
  bytes: Buffer
}

export interface BedOptions {
  limits?: Partial<Limits>
  /** Wraps or replaces the spool that the door gets. */
  spool?: (real: Spool) => Spool
  directory?: (real: Directory) => Directory
  capacityBytes?: number
}

export interface Bed {
  door: SmtpDoor
  port: number
  registry: Registry
  /** Fields of every log line, with its message as `msg`. */
  log: Record<string, unknown>[]
  /** Every entry in the spool, oldest first. */
  kept(): Promise<Kept[]>
  reservedBytes(): number
  close(): Promise<void>
}

export const LIMITS: Limits = { messageBytesMax: 2000, recipientsMax: 5, sessionsMax: 300, idleTimeoutMs: 30_000 }

const clock: Clock = {
  now: () => Date.UTC(2026, 9, 6, 10, 11, 12),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, { ...(signal && { signal }), ref: false })
  },
}

const TENANTS = [
  { slug: 'acme', sizeMax: null, enabled: true },
  { slug: 'beta', sizeMax: null, enabled: true },
  { slug: 'tiny', sizeMax: 1000, enabled: true },
  { slug: 'closed', sizeMax: null, enabled: false },
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
  const spool = new StandInSpool(options.capacityBytes ?? 1_000_000_000)
  const registry = new Registry()
  const door = smtpServer({
    hostname: 'mx.example',
    limits: { ...LIMITS, ...options.limits },
    directory: options.directory?.(directory) ?? directory,
    spool: options.spool?.(spool) ?? spool,
    clock,
    ids: countedIds(),
    log: lines,
    registry,
  })
  const { port } = await door.listen('127.0.0.1', 0)
  const close = async () => {
    await door.close(1000)
    directory.close()
    rmSync(dir, { recursive: true })
  }
  return { door, port, registry, log, kept: async () => spool.kept, reservedBytes: () => spool.reservedBytes, close }
}

async function openTestDirectory(path: string, log: Parameters<typeof openDirectory>[0]['log']) {
  await writeSnapshot(path, {
    tenants: TENANTS,
    domains: [{ domain: 'acme.example', tenant: 'acme', state: 'active' }],
    mailboxes: [
      { address: 'postmaster@mail.example', tenant: 'acme', enabled: true },
      { address: 'ann@acme.example', tenant: 'acme', enabled: true },
      { address: 'off@acme.example', tenant: 'acme', enabled: false },
    ],
  })
  return openDirectory({
    path,
    clock,
    log,
    hostedDomain: 'mail.example',
    plusPrefix: 'orders',
    postmaster: { local: 'postmaster', domain: 'mail.example', text: 'postmaster@mail.example' },
  })
}

/** A raw client: what it sends is what goes out, and replies come back one by one. */
export class Client {
  readonly socket: Socket
  readonly closed: Promise<void>
  #text = ''
  #wake: () => void = () => undefined
  #ended = false

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.socket.on('data', (chunk) => {
      this.#text += chunk.toString('utf8')
      this.#wake()
    })
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#ended = true
        this.#wake()
        this.socket.end()
        resolve()
      }
      this.socket.on('end', end).on('close', end).on('error', end)
    })
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** The next reply, its lines joined by a newline; undefined when the server has closed. */
  async reply(): Promise<string | undefined> {
    for (;;) {
      const match = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(this.#text)
      if (match !== null) {
        this.#text = this.#text.slice(match[0].length)
        return match[0].trimEnd().replaceAll('\r\n', '\n')
      }
      if (this.#ended) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Sends one line and takes its reply. */
  async say(line: string): Promise<string | undefined> {
    this.send(`${line}\r\n`)
    return this.reply()
  }

  /** Greeting and EHLO. */
  async hello(): Promise<void> {
    await this.reply()
    await this.say('EHLO client.example')
  }

  /** One transaction from MAIL to the reply to the final dot; `content` ends with CRLF and is dot-stuffed here. */
  async mail(content: Buffer | string, to = ['orders+acme@mail.example']): Promise<string | undefined> {
    const rcpts = to.map((address) => `RCPT TO:<${address}>\r\n`).join('')
    this.send(`MAIL FROM:<ann@sender.example>\r\n${rcpts}DATA\r\n`)
    for (let replies = 0; replies < to.length + 2; replies += 1) await this.reply()
    const bytes = Buffer.from(content)
      .toString('latin1')
      .replaceAll(/(^|\r\n)\./g, '$1..')
    this.send(Buffer.from(`${bytes}.\r\n`, 'latin1'))
    return this.reply()
  }
}
