// The road to a DNS server, on which answers are lost, cut short or spoilt as a test says.

import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What happens to one question on its way. */
export type Fate =
  /** It is answered. */
  | 'pass'
  /** No answer comes. */
  | 'lose'
  /** The answer over UDP is empty and says that it was cut short (RFC 2181 9). */
  | 'truncate'
  /** The server answers SERVFAIL, REFUSED, NOTIMP or FORMERR (RFC 1035 4.1.1). */
  | 'servfail'
  | 'refuse'
  | 'notimp'
  | 'formerr'
  /** Lame (RFC 1912 2.8): no error, nothing in it, and not authoritative. */
  | 'lame'
  /** An answer that is none, of the right id. */
  | 'garbage'

export interface Question {
  /** In lower case. */
  name: string
  type: string
  over: 'udp' | 'tcp'
}

export interface Road {
  /** `address:port`. */
  server: string
  /** What came by, in order. */
  asked: Question[]
  stop(): Promise<void>
}

const RCODES: Partial<Record<Fate, number>> = { formerr: 1, servfail: 2, notimp: 4, refuse: 5, lame: 0 }
const TYPES: Record<number, string> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  28: 'AAAA',
  99: 'SPF',
}
const HEADER_BYTES = 12
const [QR, TC, RA] = [0x80, 0x02, 0x80]

/** Leads to `server`, UDP and TCP, from a free port of loopback. */
export async function startDnsRoad(server: string, fateOf: (question: Question) => Fate): Promise<Road> {
  const [host = '', port = ''] = server.split(':')
  const asked: Question[] = []
  const meet = (query: Buffer, over: Question['over']): Fate => {
    const question = { ...questionOf(query), over }
    asked.push(question)
    return fateOf(question)
  }
  const sockets = new Set<Socket>()
  const tcp = createServer((client) => {
    const beyond = connect(Number(port), host)
    for (const socket of [client, beyond]) {
      sockets.add(socket)
      socket.on('error', () => client.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        beyond.destroy()
        client.destroy()
      })
    }
    beyond.pipe(client)
    let rest = Buffer.alloc(0)
    client.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      for (let bytes = framed(rest); bytes !== undefined; bytes = framed(rest)) {
        const query = rest.subarray(2, bytes)
        const fate = meet(query, 'tcp')
        const spoilt = spoiltAnswer(query, fate)
        if (spoilt !== undefined) client.write(Buffer.concat([lengthOf(spoilt), spoilt]))
        else if (fate === 'pass' || fate === 'truncate') beyond.write(rest.subarray(0, bytes))
        rest = rest.subarray(bytes)
      }
    })
  })
  const udp = createSocket('udp4')
  const errands = new Set<ReturnType<typeof createSocket>>()
  udp.on('message', (query: Buffer, from: RemoteInfo) => {
    const fate = meet(query, 'udp')
    const spoilt = spoiltAnswer(query, fate)
    if (spoilt !== undefined) udp.send(spoilt, from.port, from.address)
    if (fate !== 'pass') return
    const errand = createSocket('udp4')
    errands.add(errand)
    errand.on('message', (answer: Buffer) => {
      errands.delete(errand)
      errand.close()
      udp.send(answer, from.port, from.address)
    })
    errand.send(query, Number(port), host)
  })
  // One number has to be free for both.
  await once(tcp.listen(0, '127.0.0.1'), 'listening')
  const { port: ours } = tcp.address() as AddressInfo
  await once(udp.bind(ours, '127.0.0.1'), 'listening')
  return {
    server: `127.0.0.1:${ours}`,
    asked,
    stop: async () => {
      for (const errand of errands) errand.close()
      for (const socket of sockets) socket.destroy()
      udp.close()
      tcp.close()
      await Promise.all([once(udp, 'close'), once(tcp, 'close')])
    },
  }
}

function framed(octets: Buffer): number | undefined {
  if (octets.length < 2) return undefined
  const bytes = 2 + octets.readUInt16BE(0)
  return octets.length < bytes ? undefined : bytes
}

function lengthOf(octets: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(octets.length)
  return length
}

/** RFC 1035 4.1.2; questions are not compressed. */
function questionOf(query: Buffer): { name: string; type: string } {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let bytes = query[at] ?? 0; bytes > 0; bytes = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + bytes))
    at += 1 + bytes
  }
  const type = query.readUInt16BE(at + 1)
  return { name: labels.join('.').toLowerCase(), type: TYPES[type] ?? String(type) }
}

/** What comes back in the place of an answer; undefined where nothing does, or the true one. */
function spoiltAnswer(query: Buffer, fate: Fate): Buffer | undefined {
  if (fate === 'garbage') return Buffer.concat([query.subarray(0, 2), Buffer.from([QR, 0, 0xff, 0xff, 0xff, 0xff])])
  const rcode = RCODES[fate]
  if (rcode === undefined && fate !== 'truncate') return undefined
  const end = query.indexOf(0, HEADER_BYTES) + 5
  const answer = Buffer.from(query.subarray(0, end))
  answer[2] = QR | ((query[2] ?? 0) & 0x01) | (fate === 'truncate' ? TC : 0)
  answer[3] = RA | (rcode ?? 0)
  // One question, and nothing else.
  answer.fill(0, 6, HEADER_BYTES)
  return answer
}
