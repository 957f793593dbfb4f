// A wire to a port of loopback that remembers what each side said, piece by piece in the order in which it came.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface Said {
  by: 'client' | 'server'
  octets: Buffer
}

export interface Wiretap {
  /** Where clients connect. */
  port: number
  /** Each connection, oldest first. */
  sessions: Said[][]
  close(): Promise<void>
}

export async function wiretap(to: number): Promise<Wiretap> {
  const sessions: Said[][] = []
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const session: Said[] = []
    sessions.push(session)
    const door = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const pass = (by: Said['by'], from: Socket, on: Socket) => {
      sockets.add(from)
      from.on('data', (octets: Buffer) => {
        session.push({ by, octets })
        on.write(octets)
      })
      from.on('end', () => on.end())
      from.on('error', () => on.destroy())
      from.on('close', () => sockets.delete(from))
    }
    pass('client', client, door)
    pass('server', door, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sessions,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The content of a session's first DATA, without the dots that only the wire has (RFC 5321 4.5.2). */
export function contentSaid(session: readonly Said[]): Buffer {
  const [, content = ''] = /DATA\r\n([^]*?\r\n)\.\r\n/.exec(saidBy('client', session)) ?? []
  return Buffer.from(content.replaceAll(/^\./gm, ''), 'latin1')
}

/** All that one side said in a session, octet by octet as latin1. */
export const saidBy = (by: Said['by'], session: readonly Said[]): string =>
  Buffer.concat(session.filter((said) => said.by === by).map(({ octets }) => octets)).toString('latin1')
