// PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt 2.1 and 2.2): a balancer says, before anything else, whose
// connection it passes on. Only those on the list are asked for it, and believed.

import { isIPv4, isIPv6 } from 'node:net'

/** The client that the balancer speaks for. */
export interface Proxied {
  address: string
  port: number
  localAddress: string
}

/** `more`: not all of it is here. `taken`: its octets; without `client` the connection is the balancer's own (a health check). */
export type ProxyHeader = 'more' | 'malformed' | { taken: number; client?: Proxied }

/** The longest that version 1 can be, with its line end (2.1). */
const V1_BYTES_MAX = 107
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V2_FIXED_BYTES = 16
/** Room for addresses and for what else a balancer tells of a connection (2.2). */
const V2_BYTES_MAX = 536

/** Reads the header at the start of `octets`. Pure. */
export function proxyHeader(octets: Buffer): ProxyHeader {
  if (startsLike(octets, V2_SIGNATURE)) return octets.length < V2_FIXED_BYTES ? 'more' : versionTwo(octets)
  return startsLike(octets, Buffer.from('PROXY ')) ? versionOne(octets) : 'malformed'
}

/** As far as both go. */
function startsLike(octets: Buffer, start: Buffer): boolean {
  const length = Math.min(octets.length, start.length)
  return octets.subarray(0, length).equals(start.subarray(0, length))
}

function versionOne(octets: Buffer): ProxyHeader {
  const end = octets.subarray(0, V1_BYTES_MAX).indexOf('\r\n')
  if (end === -1) return octets.length < V1_BYTES_MAX ? 'more' : 'malformed'
  const taken = end + 2
  const line = octets.toString('latin1', 0, end)
  if (/^PROXY UNKNOWN( |$)/.test(line)) return { taken }
  const [, family, from = '', to = '', fromPort = '', toPort = ''] =
    /^PROXY (TCP4|TCP6) ([\w.:]+) ([\w.:]+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? []
  const right = family === 'TCP4' ? isIPv4 : isIPv6
  if (family === undefined || !right(from) || !right(to)) return 'malformed'
  if (Number(fromPort) > 65_535 || Number(toPort) > 65_535) return 'malformed'
  return { taken, client: { address: from, port: Number(fromPort), localAddress: to } }
}

/** Octets of two addresses and two ports, by the family in the 14th octet (2.2); the rest says nothing of TCP. */
const FAMILIES: Record<number, { octets: number; read(octets: Buffer): string }> = {
  0x11: { octets: 4, read: (octets) => octets.join('.') },
  0x21: { octets: 16, read: ipv6Text },
}

function versionTwo(octets: Buffer): ProxyHeader {
  const taken = V2_FIXED_BYTES + octets.readUInt16BE(14)
  if (taken > V2_BYTES_MAX) return 'malformed'
  const command = octets[12]
  if (command !== 0x20 && command !== 0x21) return 'malformed'
  if (octets.length < taken) return 'more'
  const family = octets[13] ?? 0
  // LOCAL, and a family that the balancer does not know: the connection is what it looks like.
  if (command === 0x20 || family === 0) return { taken }
  const layout = FAMILIES[family]
  if (layout === undefined || taken < V2_FIXED_BYTES + 2 * layout.octets + 4) return 'malformed'
  const ports = V2_FIXED_BYTES + 2 * layout.octets
  const at = (index: number) =>
    layout.read(octets.subarray(V2_FIXED_BYTES + index * layout.octets, V2_FIXED_BYTES + (index + 1) * layout.octets))
  return { taken, client: { address: at(0), port: octets.readUInt16BE(ports), localAddress: at(1) } }
}

/** In the short form that everything else is in (RFC 5952 4). */
function ipv6Text(octets: Buffer): string {
  const groups = Array.from({ length: 8 }, (_unused, index) => octets.readUInt16BE(index * 2).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
