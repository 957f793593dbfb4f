// TLS on a socket that is there already (RFC 3207 4), for implicit TLS (RFC 8314 3) as well.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Certificates } from './certificates.ts'
import type { Secured } from './house.ts'

/** How long one may take, milliseconds. */
export const HANDSHAKE_MS = 30_000

/**
 * Takes the socket over. Rejects when the handshake fails or the peer goes; the socket is of no use then. What had been read of the
 * socket's plain octets must have been refused before.
 */
export function handshake(plain: Socket, certificates: Certificates): Promise<TLSSocket> {
  const secureContext = certificates.contextFor()
  const socket = new TLSSocket(plain, {
    isServer: true,
    ...(secureContext && { secureContext }),
    SNICallback: (name, done) => done(null, certificates.contextFor(name)),
  })
  return new Promise((resolve, reject) => {
    socket.once('secure', () => {
      // One handshake for a session: a second one costs us more than the client.
      socket.disableRenegotiation()
      resolve(socket)
    })
    for (const failure of ['_tlsError', 'error']) socket.once(failure, reject)
    socket.once('close', () => reject(new Error('the client went away')))
  })
}

/** What was agreed; `cipher` is the registered name (RFC 8446 4.1.2). */
export const securedBy = (socket: TLSSocket): Secured => ({
  version: socket.getProtocol() ?? '',
  cipher: socket.getCipher().standardName,
})
