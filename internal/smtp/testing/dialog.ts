// Dialogs in text files. Each line is one step:
//   # text            why
//   ! name value      the door's options, before the first step (see OPTIONS)
//   C: line           sends the line and CRLF; lines that follow each other go out in one write
//   C+ text           sends the text with \r \n \0 \xHH and nothing added
//   C* octets         sends so many octets of content in lines that end with CRLF
//   C~ ms             waits, so that what follows is a packet of its own
//   C!                drops the connection; C.  closes the sending side; C@  connects anew
//   C^                starts TLS
//   S: start          the next reply begins so (its lines are joined by " | "); `S: /pattern/` is tried on the whole of it
//   S. closed         the server has closed the connection
//   = name value      what holds afterwards (see FACTS)

import { readFileSync } from 'node:fs'
import { SETTINGS } from '../../config/config.ts'
import { NO_POLICY } from '../../envelope/envelope.ts'
import { authenticatorThatFinds } from './found.ts'
import { ScannerError, type Scanner } from '../../scanner/scanner.ts'
import type { InlineScan } from '../smtp.ts'
import { openBed, type Bed, type BedOptions, type Limited } from './bed.ts'
import { Client } from './client.ts'

export type Check = (what: string, got: unknown, want: unknown) => void

const spoolFault = (name: 'reserve' | 'check' | 'write' | 'commit', fault: string): BedOptions => ({
  spool: (real) => {
    const fail = async () => Promise.reject(Object.assign(new Error('secret path'), fault === '' ? {} : { fault }))
    if (name === 'reserve' || name === 'check') {
      return { ...bound(real), [name]: fail }
    }
    return { ...bound(real), begin: (id) => ({ ...real.begin(id), [name]: fail }) }
  },
})

/** A scanner that reads all and always says the same. A real one is asked in inline-scan.engine.test.ts. */
const saying = (says: string): Scanner => ({
  version: async () => says,
  async scan(body) {
    for await (const _ of body);
    if (says === 'clean' || says === 'too_large') return { verdict: says }
    if (says === 'infected') return { verdict: says, signature: 'Test.Signature' }
    throw new ScannerError('timeout', 'secret address')
  },
})

function limitedOf(text: string): Limited {
  const [tenant = '', ...counts] = text.split(' ')
  const count = (name: string) => counts.find((each) => each.startsWith(`${name}=`))?.split(/[=/]/) ?? []
  const used = (name: string) => Number(count(name)[1] ?? 0)
  const most = (name: string) => (count(name)[2] === undefined ? null : Number(count(name)[2]))
  return {
    tenant,
    usage: { messages: used('messages'), bytes: used('bytes'), storedBytes: used('stored') },
    quotas: { messagesPerDay: most('messages'), bytesPerDay: most('bytes'), storedBytes: most('stored') },
  }
}

const bound = (real: Parameters<NonNullable<BedOptions['spool']>>[0]) => ({
  reserve: (bytes: number) => real.reserve(bytes),
  check: (bytes: number) => real.check(bytes),
  begin: (id: string) => real.begin(id),
})

const OPTIONS: Record<string, (value: string) => BedOptions> = {
  limit: (value) => ({ limits: { messageBytesMax: Number(value) } }),
  recipients: (value) => ({ limits: { recipientsMax: Number(value) } }),
  'limit-of': (value) => {
    const [name = '', most] = value.split(' ')
    return { limits: { [name]: Number(most) } }
  },
  trusted: (value) => ({ limits: { trusted: SETTINGS.smtpTrusted.parse(value) } }),
  sessions: (value) => ({ limits: { sessionsMax: Number(value) } }),
  'greeting-delay': (value) => ({ limits: { greetingDelayMs: Number(value) } }),
  'data-timeout': (value) => ({ limits: { dataTimeoutMs: Number(value) } }),
  'session-timeout': (value) => ({ limits: { sessionTimeoutMs: Number(value) } }),
  'data-rate': (value) => ({ limits: { dataRateMin: Number(value) } }),
  tls: () => ({ tls: true }),
  'require-tls': () => ({ tls: true, requireTls: true }),
  listener: (value) => ({ listener: value as 'smtps' | 'submission' }),
  proxies: (value) => ({ proxies: value.split(' ') }),
  idle: (value) => ({ limits: { idleTimeoutMs: Number(value) } }),
  capacity: (value) => ({ capacityBytes: Number(value) }),
  found: (value) => ({ authenticator: authenticatorThatFinds(value) }),
  // As the scanner's verdict or fault, then what is done while it is down, then what an infected mail gets.
  scan: (value) => {
    const [says = '', down = 'defer', infected = 'reject'] = value.split(' ')
    return { inlineScan: { scanner: saying(says), down, infected } as InlineScan }
  },
  // `acme messages=9/10 bytes=0/5000 stored=0/5000`: what the store counted of what each tenant may have, tenants by commas.
  quota: (value) => ({ limited: value.split(', ').map(limitedOf) }),
  'check-fails': (value) => spoolFault('check', value),
  'reserve-fails': (value) => spoolFault('reserve', value),
  'write-fails': (value) => spoolFault('write', value),
  'commit-fails': (value) => spoolFault('commit', value),
  directory: (value) => ({
    directory: (real) => ({
      ...real,
      route: () => {
        if (value === 'throws') throw new Error('secret path')
        return { kind: 'unavailable' }
      },
      policy: () => NO_POLICY,
      listing: () => undefined,
    }),
  }),
}

const FACTS: Record<string, (bed: Bed) => Promise<string>> = {
  entries: async (bed) => String((await bed.kept()).length),
  sizes: async (bed) => (await bed.kept()).map((each) => each.bytes.length).join(' '),
  content: async (bed) => JSON.stringify((await bed.kept()).map((each) => each.bytes.toString('latin1')).join('')),
  recipients: async (bed) =>
    (await bed.kept())
      .flatMap((each) => each.envelope.recipients.map((to) => `${to.address}>${to.tenant}>${to.mailbox}`))
      .join(' '),
  discarded: async (bed) =>
    (await bed.kept())
      .flatMap((each) => (each.envelope.discarded ?? []).map((to) => `${to.address}>${to.tenant ?? ''}`))
      .join(' '),
  refusals: async (bed) =>
    (await bed.refusals())
      .map(({ tenant, reason, code, status, stage, senderDomain, recipients }) =>
        [tenant, reason, code, status, stage, `${senderDomain}>${recipients.join('+')}`].join(' '),
      )
      .join(', '),
  client: async (bed) =>
    (await bed.kept()).map(({ envelope: { client } }) => `${client.address} ${client.port}`).join(' '),
  scans: async (bed) => (await bed.kept()).map((each) => JSON.stringify(each.envelope.scan ?? null)).join(' '),
  'mail-from': async (bed) => (await bed.kept()).map((each) => each.envelope.mailFrom).join(' '),
  envelope: async (bed) =>
    (await bed.kept()).map(({ envelope }) => `${envelope.body} ${envelope.smtpUtf8 ? 'utf8' : 'ascii'}`).join(' '),
  received: async (bed) =>
    (await bed.kept()).map((each) => each.envelope.traceHeaders.received.replaceAll(/\r\n\t?/g, ' ').trim()).join(' '),
  policy: async (bed) =>
    (await bed.kept())
      .flatMap((each) => each.envelope.recipients)
      .map(({ tenant, policy }) => (policy === undefined ? tenant : `${tenant}:${policy.rule}:${policy.action}`))
      .join(' '),
  authentication: async (bed) =>
    (await bed.kept()).map(({ envelope }) => envelope.traceHeaders.authenticationResults?.trim() ?? '').join(' '),
  fates: async (bed) =>
    bed.log
      .filter((line) => 'traceId' in line)
      .map((line) => `${String(line['msg'])}/${String(line['reason'])}`)
      .join(', '),
}

const unescaped = (text: string): Buffer =>
  Buffer.from(
    Buffer.from(text)
      .toString('latin1')
      .replaceAll(/\\(?:x([0-9a-f]{2})|([rn0\\]))/gi, (_all, hex: string | undefined, name: string | undefined) =>
        hex === undefined
          ? ({ r: '\r', n: '\n', 0: '\0' }[name ?? ''] ?? '\\')
          : String.fromCharCode(parseInt(hex, 16)),
      ),
    'latin1',
  )

/** Content of exactly `octets`, at least 2, in lines of at most 78. */
export function filler(octets: number): Buffer {
  const content = Buffer.alloc(octets, 'x')
  for (let end = 78; end < octets - 2; end += 78) content.write('\r\n', end - 2)
  content.write('\r\n', octets - 2)
  return content
}

/** Plays one file against a fresh door. Afterwards no space may be held and no session open. */
export async function playDialog(path: string, check: Check): Promise<void> {
  const steps = readFileSync(path, 'utf8')
    .split('\n')
    .map((line, index) => ({ line, where: `${path}:${index + 1}` }))
    .filter(({ line }) => line.trim() !== '' && !line.startsWith('#'))
  const bed = await openBed(optionsOf(steps.map(({ line }) => line)))
  const talk = new Talk(bed.port, check)
  try {
    for (const step of steps.filter(({ line }) => /^[CS]/.test(line))) await talk.step(step)
    await talk.end()
    await settled(bed)
    for (const { line, where } of steps.filter((step) => step.line.startsWith('='))) {
      const [, name = '', want = ''] = /^= (\S+) ?(.*)$/.exec(line) ?? []
      check(`${where} ${name}`, await FACTS[name]?.(bed), want)
    }
    check(`${path} space held`, bed.reservedBytes(), 0)
  } finally {
    talk.client.socket.destroy()
    await bed.close()
  }
}

function optionsOf(lines: string[]): BedOptions {
  return lines
    .filter((line) => line.startsWith('!'))
    .map((line) => {
      const [, name = '', value = ''] = /^! (\S+) ?(.*)$/.exec(line) ?? []
      return OPTIONS[name]?.(value) ?? {}
    })
    .reduce((all, some) => ({ ...all, ...some, limits: { ...all.limits, ...some.limits } }), {})
}

interface Step {
  line: string
  where: string
}

/** The client's side of one file. */
class Talk {
  client: Client
  readonly #port: number
  readonly #check: Check
  /** Lines that go out in one write. */
  #pending: Buffer[] = []

  constructor(port: number, check: Check) {
    this.#port = port
    this.#check = check
    this.client = new Client(port)
  }

  async step({ line, where }: Step): Promise<void> {
    const [what, rest] = [line.slice(0, 2), line.slice(3)]
    if (what === 'C:') this.#pending.push(Buffer.from(`${rest}\r\n`))
    else if (what === 'C+') this.#pending.push(unescaped(rest))
    else if (what === 'C*') this.#pending.push(filler(Number(rest)))
    else {
      this.#flush()
      if (what === 'C~') await new Promise((resolve) => setTimeout(resolve, Number(rest)))
      else if (what === 'C!') this.client.socket.resetAndDestroy()
      else if (what === 'C.') this.client.socket.end()
      else if (what === 'C@') await this.#connect()
      else if (what === 'C^') await this.client.secure()
      else if (what === 'S.') this.#check(where, await this.client.reply(), undefined)
      else if (what === 'S:') {
        const reply = (await this.client.reply())?.replaceAll('\n', ' | ')
        expectReply(reply, rest, (got, want) => this.#check(where, got, want))
      } else this.#check(where, what, 'a step')
    }
  }

  async end(): Promise<void> {
    this.#flush()
    this.client.socket.end()
    await this.client.closed
  }

  async #connect(): Promise<void> {
    await this.end()
    this.client = new Client(this.#port)
  }

  #flush(): void {
    if (this.#pending.length > 0) this.client.send(Buffer.concat(this.#pending))
    this.#pending = []
  }
}

function expectReply(got: string | undefined, want: string, check: (got: unknown, want: unknown) => void): void {
  const pattern = /^\/(.*)\/$/.exec(want)?.[1]
  if (pattern === undefined) check(got?.slice(0, want.length), want)
  else if (got === undefined || !new RegExp(pattern).test(got)) check(got, want)
}

async function settled(bed: Bed): Promise<void> {
  for (let turns = 0; bed.door.sessions() > 0 && turns < 200; turns += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
