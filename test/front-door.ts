// The whole product behind every kind of listener, for relays and clients that others wrote: what they hand in, and what came of it.

import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makePair } from '../internal/smtp/testing/certificates.ts'
import { Session } from './mail.ts'
import { samples } from './metrics.ts'
import { eventually, ingestctl, ingestctlJson, startSystem, type System } from './system.ts'

export const TO = 'orders+acme@mail.localhost'
/** Has an address of its own to log in for. */
export const CREDENTIAL = 'shop'
/** The mailbox that is entered last. */
const NEWEST = 'rosé@mail.localhost'

interface Row {
  id: string
  entryId: string
  subject: string
  sha256: string
  mailFrom: string
  recipients: string[]
}

export interface FrontDoor {
  system: System
  folder: string
  /** Of STARTTLS, TLS from the first octet, and submission. */
  ports: { smtp: number; smtps: number; submission: number }
  /** PEM file of the certificate, for `localhost`: its own authority. */
  authority: string
  /** What `CREDENTIAL` logs in with. */
  secret: string
  cli(...args: string[]): Promise<Buffer>
  /** Every message, once there are so many. */
  messages(count: number): Promise<Row[]>
  /** The message that a 250 in `text` tells of, by `ingestctl trace`, and its bytes by `messages raw`. */
  follow(text: string): Promise<{ row: Row; raw: Buffer }>
  /** A metric's series by its full name. */
  metric(series: string): Promise<number>
  close(): Promise<void>
}

/** Opens it with a tenant `acme`, an address of its own in every script, and a credential. */
export async function openFrontDoor(settings: Record<string, string> = {}): Promise<FrontDoor> {
  const folder = mkdtempSync(join(tmpdir(), 'front-door-'))
  // Relays that are not root read the certificate.
  chmodSync(folder, 0o755)
  const { cert, key } = makePair(folder, 'door', ['localhost', 'mail.localhost'])
  const dataDir = join(folder, 'data')
  const all = {
    SMTP_TLS_CERT: cert,
    SMTP_TLS_KEY: key,
    SMTP_TLS_PORT: '0',
    SMTP_SUBMISSION_PORT: '0',
    ...settings,
  }
  const system = await startSystem(dataDir, all)
  const cli = async (...args: string[]): Promise<Buffer> => {
    const { status, stdout, stderr } = await ingestctl(dataDir, args, all)
    if (status !== 0) throw new Error(`ingestctl ${args.join(' ')} ended with ${status}: ${stderr}`)
    return stdout
  }
  const json = <T>(...args: string[]) => ingestctlJson<T>(dataDir, args, all)
  const { secret } = await json<{ secret: string }>('credentials', 'add', CREDENTIAL, '--tenant', 'acme')
  await cli('mailboxes', 'add', NEWEST, '--tenant', 'acme')
  const ports = portsIn(join(dataDir, 'ingest.log'))
  // One that waits for a balancer's PROXY says nothing to us.
  if (!('SMTP_PROXY_FROM' in settings))
    await eventually(() => isKnown(ports.smtp, NEWEST), 60_000, 'a front door that knows all of it')
  return {
    system,
    folder,
    ports,
    authority: cert,
    secret,
    cli,
    messages: (count) =>
      eventually(
        async () => {
          const rows = await json<Row[]>('messages', 'list')
          return rows.length >= count ? rows : undefined
        },
        60_000,
        `message ${count}`,
      ),
    async follow(text) {
      const entryId = /accepted id=([0-9a-f-]{36})/.exec(text)?.[1] ?? ''
      const { row } = await eventually(async () => {
        const { messages } = await json<{ messages: Row[] }>('trace', entryId).catch(() => ({ messages: [] }))
        return messages[0] && { row: messages[0] }
      })
      return { row, raw: await cli('messages', 'raw', row.id) }
    },
    metric: async (series) => (await samples(system)).get(series) ?? Number.NaN,
    async close() {
      await system.stop()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Whether the front door takes mail to a mailbox, and so has what was entered before it. */
async function isKnown(port: number, address: string): Promise<true | undefined> {
  const session = await Session.open(port)
  await session.command('MAIL FROM:<> SMTPUTF8')
  const reply = await session.command(`RCPT TO:<${address}>`)
  session.close()
  return reply.startsWith('250') ? true : undefined
}

function portsIn(logFile: string): FrontDoor['ports'] {
  const ports = { smtp: 0, smtps: 0, submission: 0 }
  for (const line of readFileSync(logFile, 'utf8').split('\n')) {
    const [, listener = ''] = /"listener":"(\w+)"/.exec(line) ?? []
    const port = Number(/"port":(\d+),"msg":"listening for SMTP"/.exec(line)?.[1])
    if (listener in ports && port > 0) Object.assign(ports, { [listener]: port })
  }
  return ports
}

export const sha256 = (octets: Buffer): string => createHash('sha256').update(octets).digest('hex')

/** What a relay handed on, without the trace header that it put on top (RFC 5321 4.4). */
export const belowReceived = (raw: Buffer): Buffer =>
  Buffer.from(raw.toString('latin1').replace(/^Received:.*\r\n(?:[ \t].*\r\n)*/, ''), 'latin1')
