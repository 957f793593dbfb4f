// The client's name by its address, believed only if the name leads back to the address (RFC 8601 3, iprev).

import { isIPv4, isIPv6 } from 'node:net'
import type { Authentication } from '../envelope/envelope.ts'
import { isPassing, type Lookup } from './lookups.ts'

/** Names of one address that are tried (RFC 7208 5.5 has the same bound). */
const NAMES_MAX = 10

/** Never rejects. */
export async function clientName(address: string, lookup: Lookup): Promise<Authentication['iprev']> {
  let names: string[]
  try {
    names = (await lookup(reverseName(address), 'PTR')).flat().slice(0, NAMES_MAX)
  } catch (error) {
    return { result: isPassing(error) ? 'temperror' : 'permerror' }
  }
  const type = isIPv4(address) ? 'A' : 'AAAA'
  const wanted = plain(address)
  let passing = false
  for (const name of names) {
    try {
      const addresses = (await lookup(name, type)).flat()
      if (addresses.some((each) => plain(each) === wanted)) return { result: 'pass', name: name.toLowerCase() }
    } catch (error) {
      passing ||= isPassing(error)
    }
  }
  return { result: passing ? 'temperror' : 'fail' }
}

/** RFC 1035 3.5 and RFC 3596 2.5. */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').toReversed().join('.')}.in-addr.arpa`
  return `${groups(address).join('').split('').toReversed().join('.')}.ip6.arpa`
}

/** Equal for two ways of writing one address. */
const plain = (address: string): string => (isIPv6(address) ? groups(address).join(':') : address)

/** The eight groups of an IPv6 address, four digits each. */
function groups(address: string): string[] {
  // The URL parser writes the shortest form (RFC 5952 4), without dots.
  const host = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1)
  const [left = '', right] = host.split('::')
  const words = (part: string) => (part === '' ? [] : part.split(':'))
  const zeros = Array.from(
    { length: right === undefined ? 0 : 8 - words(left).length - words(right).length },
    () => '0',
  )
  return [...words(left), ...zeros, ...words(right ?? '')].map((word) => word.padStart(4, '0'))
}
