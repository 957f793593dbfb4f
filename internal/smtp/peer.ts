// Whose connection it is: the socket's peer, or the client that a balancer speaks for.

import type { Socket } from 'node:net'
import type { Peer } from './house.ts'
import { proxyHeader, type Proxied } from './proxy.ts'

/** How long a PROXY header may take, milliseconds. */
export const PROXY_MS = 5000

export const peerOf = (socket: Socket, listener: Peer['listener']): Peer => ({
  address: plainAddress(socket.remoteAddress),
  port: socket.remotePort ?? 0,
  localAddress: plainAddress(socket.localAddress),
  listener,
})

/** An IPv4 address that came in by an IPv6 socket is an IPv4 address (RFC 4291 2.5.5.2). */
const plainAddress = (address = ''): string => address.replace(/^::ffff:(?=[\d.]+$)/i, '')

/**
 * Reads PROXY's header off a socket that nobody else reads; what follows it stays there. Undefined: the connection is the balancer's own.
 * Rejects where there is no such header, and when the peer goes; how long it may take is the caller's matter.
 */
export function clientBehind(socket: Socket): Promise<Proxied | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Proxied | undefined>()
  let octets: Buffer = Buffer.alloc(0)
  const look = () => {
    const chunk: unknown = socket.read()
    if (!Buffer.isBuffer(chunk)) return
    octets = Buffer.concat([octets, chunk])
    const header = proxyHeader(octets)
    if (header === 'more') return look()
    if (header === 'malformed') return reject(new Error('that is no PROXY header'))
    socket.off('readable', look)
    if (header.taken < octets.length) socket.unshift(octets.subarray(header.taken))
    resolve(header.client && { ...header.client, address: plainAddress(header.client.address) })
  }
  const gone = () => reject(new Error('it went away before its PROXY header was complete'))
  socket.on('readable', look).once('end', gone).once('close', gone)
  look()
  return promise
}
