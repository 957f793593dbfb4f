// Whether mail could be sent back to the sender: what the DNS says of the domain in MAIL FROM (RFC 5321 5.1, RFC 7505 3).

import { parsePath, type Authentication } from '../envelope/envelope.ts'
import { isPassing, type Lookup } from './lookups.ts'

type SenderDomain = NonNullable<Authentication['senderDomain']>

/** Undefined for the null sender, and for an address literal, which needs no DNS. Never rejects. */
export async function senderDomain(mailFrom: string, lookup: Lookup): Promise<SenderDomain | undefined> {
  const domain = parsePath(mailFrom)?.domain
  if (domain === undefined || domain === '' || domain.startsWith('[')) return undefined
  const hosts = await rowsOf(domain, 'MX', lookup)
  if (hosts === 'untold') return { result: 'temperror', domain }
  if (hosts.length > 0) return { result: hosts.every(isRoot) ? 'null_mx' : 'reachable', domain }
  // RFC 5321 5.1: without MX, a host of that name takes its mail.
  const addresses = await Promise.all([rowsOf(domain, 'A', lookup), rowsOf(domain, 'AAAA', lookup)])
  if (addresses.some((rows) => rows !== 'untold' && rows.length > 0)) return { result: 'reachable', domain }
  return { result: addresses.includes('untold') ? 'temperror' : 'unknown', domain }
}

async function rowsOf(domain: string, type: string, lookup: Lookup): Promise<unknown[] | 'untold'> {
  try {
    return await lookup(domain, type)
  } catch (error) {
    return isPassing(error) ? 'untold' : []
  }
}

/** RFC 7505 3: the exchange of a null MX is the root. */
const isRoot = (row: unknown): boolean =>
  typeof row === 'object' && row !== null && 'exchange' in row && (row.exchange === '' || row.exchange === '.')
