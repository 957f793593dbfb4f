// The DNS records that a domain needs to get its mail here, as they stand in a zone file (RFC 1035 5.1). Pure.

import { isIPv6 } from 'node:net'

export interface DnsRecord {
  /** With its final dot, like every name in a value. */
  name: string
  /** Seconds. */
  ttl: number
  type: 'MX' | 'A' | 'AAAA' | 'PTR' | 'TXT'
  /** Of an MX record. */
  priority?: number
  value: string
  /** Without what is required no mail comes, or strict relays distrust the host. */
  need: 'required' | 'advised'
  why: string
}

export interface RecordFacts {
  domain: string
  /** SMTP_HOSTNAME. */
  hostname: string
  /** The addresses that relays reach it at. */
  addresses: readonly string[]
  /** Whether STARTTLS is offered. */
  tls: boolean
}

const TTL = 3600

/** In the order in which they are set up: the host, then the domain's mail to it. */
export function recordsFor({ domain, hostname, addresses, tls }: RecordFacts): DnsRecord[] {
  const host = `${hostname}.`
  const required = { ttl: TTL, need: 'required' } as const
  const advised = { ttl: TTL, need: 'advised' } as const
  const hosts = addresses.flatMap((address): DnsRecord[] => [
    { ...required, name: host, type: isIPv6(address) ? 'AAAA' : 'A', value: address, why: 'where the host is' },
    { ...advised, name: reverseName(address), type: 'PTR', value: host, why: 'the network says the same name' },
  ])
  return [
    ...hosts,
    { ...required, name: `${domain}.`, type: 'MX', priority: 10, value: host, why: 'who takes its mail' },
    { ...advised, name: host, type: 'TXT', value: 'v=spf1 a -all', why: 'nobody else is this host (RFC 7208 2.3)' },
    ...(tls ? [tlsReports(domain)] : []),
  ]
}

/** Relays report there what TLS they got (RFC 8460 3). */
const tlsReports = (domain: string): DnsRecord => ({
  name: `_smtp._tls.${domain}.`,
  ttl: TTL,
  type: 'TXT',
  value: `v=TLSRPTv1; rua=mailto:postmaster@${domain}`,
  need: 'advised',
  why: 'relays report where TLS fails (RFC 8460 3)',
})

/** RFC 1035 3.5, RFC 3596 2.5. */
function reverseName(address: string): string {
  if (!isIPv6(address)) return `${address.split('.').toReversed().join('.')}.in-addr.arpa.`
  return `${expanded(address).split('').toReversed().join('.')}.ip6.arpa.`
}

/** The 32 hex digits (RFC 4291 2.2). */
function expanded(address: string): string {
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const zeros = tail === undefined ? [] : Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join('')
}

/** One line of the zone file. */
export function recordLine({ name, ttl, type, priority, value }: DnsRecord): string {
  const text = type === 'TXT' ? `"${value}"` : value
  return `${name} ${ttl} IN ${type} ${priority === undefined ? '' : `${priority} `}${text}`
}
