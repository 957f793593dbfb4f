// Lines for logs that may not name people: addresses lose what tells one person from the next.

import { isIPv6 } from 'node:net'

/** Before an at sign, also inside the text of an error: a quoted string as JSON writes it, or up to 64 octets (RFC 5321 4.5.3.1.1). */
const LOCAL_PART = /(?:\\"(?:[^"\\]|\\\\.){0,128}\\"|[^\s"\\<>()[\],:;@]{1,64})@(?=[\p{L}\p{N}[])/gu
const CLIENT = /"(client|proxy)":"([0-9a-f.:]+)"/gi

/** `ann@example.org` is `…@example.org`; the client's address is its /24 or /64. */
export const masked = (line: string): string =>
  line
    .replaceAll(LOCAL_PART, '…@')
    .replaceAll(CLIENT, (_, name: string, address: string) => `"${name}":"${networkOf(address)}"`)

function networkOf(address: string): string {
  if (!isIPv6(address)) return address.replace(/\d+$/, '0/24')
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  const all = [...groups, ...Array.from({ length: missing }, () => '0'), ...(tail ? tail.split(':') : [])]
  return `${all.slice(0, 4).join(':')}::/64`
}
