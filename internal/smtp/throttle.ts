// What one client, one network, one tenant and one domain may do. The only place that knows whom a client's doings are put down to.

import { isIPv6, type BlockList } from 'node:net'
import { Rates } from './rates.ts'
import type { ReplyName } from './replies.ts'

/** Each 0 for no such limit. */
export interface ThrottleLimits {
  /** Clients that no limit of a client or network holds for. */
  trusted: BlockList
  /** Sessions at one time of one address, and of one /24 or /64. */
  addressSessionsMax: number
  networkSessionsMax: number
  /** A minute and client. An IPv6 client is its /64: whoever has one address there has all of them (RFC 6177 2). */
  sessionRate: number
  commandRate: number
  errorRate: number
  messageRate: number
  recipientRate: number
  byteRate: number
  /** A minute and receiver. */
  tenantMessageRate: number
  tenantByteRate: number
  domainMessageRate: number
  domainByteRate: number
}

/** What a client does so often. */
export type Doing = 'session' | 'command' | 'error' | 'message' | 'recipient'

const REFUSALS = {
  session: 'too_many_new_sessions',
  command: 'too_many_commands',
  error: 'too_many_errors_a_minute',
  message: 'too_many_messages',
  recipient: 'too_many_recipients_a_minute',
} as const satisfies Record<Doing, ReplyName>

/** A session, from its address being known to its last reply. */
export interface Visit {
  /** Why there must be none. */
  refusal?: ReplyName
  end(): void
}

/** Receivers of one transaction: each counts once. */
export interface Receivers {
  tenants: Set<string>
  domains: Set<string>
}

/** Invariant: what is remembered is bounded by the sockets that are open and by the bound of Rates. Times are a monotonic clock's. */
export class Throttle {
  readonly #limits: ThrottleLimits
  readonly #addresses = new Map<string, number>()
  readonly #networks = new Map<string, number>()
  readonly #doings: Record<Doing, Rates>
  readonly #octets: Rates
  readonly #tenants: { messages: Rates; octets: Rates }
  readonly #domains: { messages: Rates; octets: Rates }

  constructor(limits: ThrottleLimits) {
    this.#limits = limits
    this.#doings = {
      session: new Rates(limits.sessionRate),
      command: new Rates(limits.commandRate),
      error: new Rates(limits.errorRate),
      message: new Rates(limits.messageRate),
      recipient: new Rates(limits.recipientRate),
    }
    this.#octets = new Rates(limits.byteRate)
    this.#tenants = { messages: new Rates(limits.tenantMessageRate), octets: new Rates(limits.tenantByteRate) }
    this.#domains = { messages: new Rates(limits.domainMessageRate), octets: new Rates(limits.domainByteRate) }
  }

  /** A session begins; `end` the visit once, also where it is refused. */
  enter(address: string, nowMs: number): Visit {
    if (this.#trusts(address)) return { end: () => undefined }
    const network = networkOf(address)
    add(this.#addresses, address, 1)
    add(this.#networks, network, 1)
    const end = () => {
      add(this.#addresses, address, -1)
      add(this.#networks, network, -1)
    }
    const refusal = this.#refusal(address, network, nowMs)
    return refusal === undefined ? { end } : { refusal, end }
  }

  #refusal(address: string, network: string, nowMs: number): ReplyName | undefined {
    const { addressSessionsMax, networkSessionsMax } = this.#limits
    if (over(this.#addresses.get(address), addressSessionsMax)) return 'too_many_sessions_of_address'
    if (over(this.#networks.get(network), networkSessionsMax)) return 'too_many_sessions_of_network'
    if (!this.#doings.error.has(clientOf(address), nowMs)) return REFUSALS.error
    return this.note('session', address, nowMs)
  }

  /** A client does it once more; the reply where that is too often. */
  note(doing: Doing, address: string, nowMs: number): ReplyName | undefined {
    if (this.#trusts(address) || this.#doings[doing].take(clientOf(address), nowMs)) return undefined
    return REFUSALS[doing]
  }

  /** One more message of a client. */
  noteMessage(address: string, nowMs: number): ReplyName | undefined {
    if (!this.#trusts(address) && !this.#octets.has(clientOf(address), nowMs)) return 'too_many_octets'
    return this.note('message', address, nowMs)
  }

  /** Octets of content came from a client. */
  noteOctets(address: string, octets: number, nowMs: number): void {
    if (!this.#trusts(address)) this.#octets.charge(clientOf(address), octets, nowMs)
  }

  /** A recipient of this tenant and domain joins a transaction that has `receivers`. Trusted clients send no tenant more than it may get. `tenant` null: nobody's. */
  join(receivers: Receivers, tenant: string | null, domain: string, nowMs: number): ReplyName | undefined {
    const newTenant = tenant !== null && !receivers.tenants.has(tenant)
    const newDomain = !receivers.domains.has(domain)
    if (newTenant && !hasRoom(this.#tenants, tenant, nowMs)) return 'tenant_over_rate'
    if (newDomain && !hasRoom(this.#domains, domain, nowMs)) return 'domain_over_rate'
    if (newTenant) {
      this.#tenants.messages.charge(tenant, 1, nowMs)
      receivers.tenants.add(tenant)
    }
    if (newDomain) {
      this.#domains.messages.charge(domain, 1, nowMs)
      receivers.domains.add(domain)
    }
    return undefined
  }

  /** They got a message of this size. */
  received({ tenants, domains }: Receivers, octets: number, nowMs: number): void {
    for (const tenant of tenants) this.#tenants.octets.charge(tenant, octets, nowMs)
    for (const domain of domains) this.#domains.octets.charge(domain, octets, nowMs)
  }

  #trusts(address: string): boolean {
    return this.#limits.trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
  }
}

const hasRoom = ({ messages, octets }: { messages: Rates; octets: Rates }, key: string, nowMs: number): boolean =>
  messages.has(key, nowMs) && octets.has(key, nowMs)

const over = (count = 0, max: number): boolean => max > 0 && count > max

function add(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + change
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}

/** Whom rates are kept for. */
export const clientOf = (address: string): string => (isIPv6(address) ? networkOf(address) : address)

/** The /24 of an IPv4 address, the /64 of an IPv6 address: `192.0.2.0/24`, `2001:db8:0:0::/64`. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return `${address.slice(0, address.lastIndexOf('.'))}.0/24`
  const [head = '', tail = ''] = address.split('%')[0]?.split('::') ?? []
  const [before, after] = [groupsOf(head), groupsOf(tail)]
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  return `${groups.slice(0, 4).join(':')}::/64`
}

/** Of a part without `::`; an IPv4 address at the end is two groups (RFC 4291 2.2), never among the first four. */
const groupsOf = (text: string): string[] =>
  text === ''
    ? []
    : text.split(':').flatMap((group) => (group.includes('.') ? ['0', '0'] : [parseInt(group, 16).toString(16)]))
