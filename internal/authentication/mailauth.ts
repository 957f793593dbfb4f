// The checks by the package mailauth, each by its RFC to the letter (`strict`), on what the intake gate lets through. SPF and the
// client's name are asked for while the mail comes in, signatures are hashed as it passes, and the rest waits for its end.

import { isIP } from 'node:net'
import { PassThrough } from 'node:stream'
import type { Registry } from '@prometheus-io/client'
import * as mailauth from 'mailauth'
import { ARC_RESULTS, DKIM_RESULTS, DMARC_RESULTS, SPF_RESULTS, type Authentication } from '../envelope/envelope.ts'
import type { Clock, Log } from '../ports/ports.ts'
import type { Authenticator, Bringer, Evaluation, Findings } from './authentication.ts'
import { clientName } from './client-name.ts'
import { IntakeGate } from './intake-gate.ts'
import { isPassing, type Lookup, type Lookups } from './lookups.ts'
import { senderDomain } from './sender-domain.ts'
import { authenticationMetrics, type AuthenticationMetrics } from './metrics.ts'

export interface AuthenticatorOptions {
  /** Our name: the authserv-id of the header (RFC 8601 2.5). */
  hostname: string
  lookups: Lookups
  /** From the last octet of a mail on; what is not known by then is temperror. */
  timeoutMs: number
  /** Whether clients on this machine are asked about as well. */
  loopback: boolean
  clock: Pick<Clock, 'now' | 'sleep'>
  log: Pick<Log, 'error'>
  registry: Registry
}

/** Authors of one message whose domains are asked about; one is the rule. */
const AUTHORS_MAX = 5
const LOOPBACK = /^(127\.|::1$)/

export function mailAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { registry, ...rest } = options
  const metrics = authenticationMetrics(registry)
  return {
    begin(bringer) {
      const { address } = bringer
      if (isIP(address) === 0 || (LOOPBACK.test(address) && !options.loopback)) return undefined
      return new MailEvaluation({ ...rest, metrics }, bringer)
    },
  }
}

type Options = Omit<AuthenticatorOptions, 'registry'> & { metrics: AuthenticationMetrics }

/** What one check came to, and its line of the header without the method's neighbours. */
interface Found<T> {
  result: T
  info: string
}

class MailEvaluation implements Evaluation {
  readonly #options: Options
  readonly #over = new AbortController()
  readonly #lookup: Lookup
  readonly #gate = new IntakeGate()
  readonly #content = new PassThrough()
  readonly #spf: Promise<Found<Authentication['spf']>>
  readonly #iprev: Promise<Authentication['iprev']>
  readonly #senderDomain: Promise<Authentication['senderDomain']>
  readonly #signatures: Promise<mailauth.DKIMVerifyResult | undefined>
  /** The DNS did not tell a key. */
  #keyUntold = false

  constructor(options: Options, bringer: Bringer) {
    this.#options = options
    this.#lookup = this.#noting(options.lookups.until(this.#over.signal))
    // An abort destroys it, which its one reader, dkimVerify, hears of as well.
    this.#content.on('error', () => undefined)
    this.#spf = this.#askSpf(bringer)
    this.#iprev = clientName(bringer.address, this.#lookup)
    this.#senderDomain = senderDomain(bringer.mailFrom, this.#lookup)
    this.#signatures = this.#trouble(
      mailauth.dkimVerify(this.#content, {
        resolver: this.#lookup,
        strict: true,
        curTime: options.clock.now(),
      }),
    )
  }

  async write(chunk: Buffer): Promise<void> {
    for (const block of this.#gate.take(chunk)) await this.#push(block)
  }

  /** Resolves when the block was read, or nobody reads any more. */
  async #push(block: Buffer): Promise<void> {
    if (this.#content.writable) await new Promise<void>((resolve) => this.#content.write(block, () => resolve()))
  }

  async end(): Promise<Findings> {
    const { clock, timeoutMs, metrics } = this.#options
    const done = new AbortController()
    const timer = clock.sleep(timeoutMs, done.signal).then(
      () => this.#over.abort(),
      () => 'in time',
    )
    try {
      await this.#push(this.#gate.rest())
      this.#content.end()
      const findings = await this.#find()
      metrics.found(findings.results)
      return findings
    } finally {
      done.abort()
      await timer
      this.abort()
    }
  }

  abort(): void {
    this.#over.abort()
    if (!this.#content.readableEnded) this.#content.destroy(new Error('given up'))
  }

  async #find(): Promise<Findings> {
    const [spf, iprev, sender, signed] = await Promise.all([
      this.#spf,
      this.#iprev,
      this.#senderDomain,
      this.#signatures,
    ])
    const dkim = dkimFound(signed)
    const arcResult = await this.#trouble(this.#askArc(signed))
    const arc = arcFound(arcResult, this.#keyUntold)
    const dmarc = await this.#askDmarc(signed, spf, arcResult)
    const rows = [...dkim.map(({ info }) => info), spf.info, arc.info, dmarc.info, iprevInfo(iprev)]
    const results: Authentication = {
      spf: spf.result,
      dkim: dkim.map(({ result }) => result),
      arc: arc.result,
      dmarc: dmarc.result,
      iprev,
      ...(sender && { senderDomain: sender }),
    }
    return { results, header: headerOf(this.#options.hostname, rows) }
  }

  #noting(lookup: Lookup): Lookup {
    return async (name, type) => {
      try {
        return await lookup(name, type)
      } catch (error) {
        this.#keyUntold ||= isPassing(error) && name.includes('._domainkey.')
        throw error
      }
    }
  }

  /** What mailauth throws is a bug of its own or of ours: logged, and as if the DNS had not told. */
  async #trouble<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      if (!this.#over.signal.aborted) this.#options.log.error({ err: error }, 'a check of the sender failed')
      return undefined
    }
  }

  async #askSpf({ address, helo, mailFrom }: Bringer): Promise<Found<Authentication['spf']>> {
    const { hostname } = this.#options
    const identity = mailFrom === '' ? 'helo' : 'mailfrom'
    const asked = { resolver: this.#lookup, ip: address, helo, sender: mailFrom, mta: hostname, strict: true }
    const found = await this.#trouble(mailauth.spf(asked))
    const result = SPF_RESULTS.find((each) => each === found?.status.result) ?? 'temperror'
    const domain = found?.domain ?? ''
    return { result: { result, identity, domain }, info: found?.info ?? 'spf=temperror' }
  }

  async #askArc(signed: mailauth.DKIMVerifyResult | undefined): Promise<mailauth.ARCResult | undefined> {
    if (signed?.arc === undefined) return undefined
    // Its own type of a chain leaves out the `false` that it gives and takes.
    return mailauth.arc(signed.arc as mailauth.ARCData, { resolver: this.#lookup, strict: true })
  }

  /**
   * RFC 9989 5.3.1 leaves open what to do with several authors. Each domain is asked about by itself, and the worst is what counts, so
   * that a second From does not hide the first.
   */
  async #askDmarc(
    signed: mailauth.DKIMVerifyResult | undefined,
    spf: Found<Authentication['spf']>,
    arcResult: mailauth.ARCResult | undefined,
  ): Promise<Found<Authentication['dmarc']>> {
    if (signed === undefined) return dmarcTrouble('temperror')
    const authors = [...new Map(signed.headerFrom.map((address) => [domainOf(address), address])).values()]
    if (authors.length === 0) return dmarcTrouble('none')
    const passed = {
      spfDomains: spf.result.result === 'pass' ? [spf.result.domain] : [],
      dkimDomains: signed.results.flatMap(({ id = '', signingDomain, status }) =>
        status.result === 'pass' && !isPartial(status) && signingDomain !== undefined
          ? [{ id, domain: signingDomain }]
          : [],
      ),
      ...(arcResult && { arcResult }),
    }
    const found: Found<Authentication['dmarc']>[] = authors.length > AUTHORS_MAX ? [dmarcTrouble('permerror')] : []
    for (const headerFrom of authors.slice(0, AUTHORS_MAX)) {
      const asked = { headerFrom: [headerFrom], ...passed, resolver: this.#lookup, strict: true }
      found.push(dmarcFound(await this.#trouble(mailauth.dmarc(asked))))
    }
    return found.toSorted((a, b) => badness(b.result) - badness(a.result))[0] ?? dmarcTrouble('permerror')
  }
}

const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1).toLowerCase()

const BADNESS = { pass: 0, none: 1, permerror: 2, temperror: 4, fail: 3 } as const
const FAIL_BADNESS = { none: 3, quarantine: 5, reject: 6 } as const
const badness = ({ result, policy }: Authentication['dmarc']): number =>
  result === 'fail' ? FAIL_BADNESS[policy ?? 'none'] : BADNESS[result]

const dmarcTrouble = (result: 'none' | 'temperror' | 'permerror'): Found<Authentication['dmarc']> => ({
  result: { result, domain: '' },
  info: `dmarc=${result}`,
})

/** `false`: no domain of an author. */
function dmarcFound(found: mailauth.DMARCResult | false | undefined): Found<Authentication['dmarc']> {
  if (found === false) return dmarcTrouble('permerror')
  const result = DMARC_RESULTS.find((each) => each === found?.status.result)
  if (found === undefined || result === undefined) return dmarcTrouble('temperror')
  const policy = (['none', 'quarantine', 'reject'] as const).find((each) => each === found.policy)
  const domain = found.status.header?.from ?? found.domain
  return { result: { result, domain, ...(policy && { policy }) }, info: found.info ?? `dmarc=${result}` }
}

function dkimFound(signed: mailauth.DKIMVerifyResult | undefined): Found<Authentication['dkim'][number]>[] {
  if (signed === undefined) {
    return [{ result: { result: 'temperror', domain: '', selector: '' }, info: 'dkim=temperror' }]
  }
  return signed.results.map(({ status, signingDomain = '', selector = '', info }) => {
    const told = DKIM_RESULTS.find((each) => each === status.result) ?? 'neutral'
    const result = told === 'pass' && isPartial(status) ? 'policy' : told
    const line = info?.replace(/^dkim=\w+/, `dkim=${result}`) ?? `dkim=${result}`
    return { result: { result, domain: signingDomain, selector }, info: line }
  })
}

/** Octets follow those that were signed (l=): anybody may have put them there, so they pass for nobody's (RFC 6376 8.2). */
const isPartial = ({ underSized = 0 }: { underSized?: number }): boolean => underSized > 0

/** mailauth has a chain fail whose keys were not told. Nobody knows about it, and another try may come to something else. */
function arcFound(found: mailauth.ARCResult | undefined, keyUntold: boolean): Found<Authentication['arc']> {
  const result = ARC_RESULTS.find((each) => each === found?.status.result) ?? 'none'
  if (result === 'fail' && keyUntold) return { result: { result: 'temperror' }, info: 'arc=temperror' }
  return { result: { result }, info: found?.info ?? `arc=${result}` }
}

const iprevInfo = ({ result, name }: Authentication['iprev']): string =>
  name === undefined ? `iprev=${result}` : `iprev=${result} policy.iprev=${name}`

/** Nothing that a stranger wrote ends a line (RFC 5322 2.2). */
const headerOf = (hostname: string, rows: readonly string[]): string =>
  [`Authentication-Results: ${hostname}`, ...rows.map((row) => row.replaceAll(/[\0-\x1f\x7f]+/g, ' '))].join(
    ';\r\n\t',
  ) + '\r\n'
