// Names that are no host names, such as `bounce+ann=b.example.a.example`: SPF's macros make them of local parts (RFC 7208 7), and the
// DNS takes any octet (RFC 2181 11), but c-ares, by which node:dns asks, refuses them as EBADNAME. They are asked about here.
//
// Always over TCP, which every server has to speak (RFC 7766 5): nothing is cut short, and no id has to be beyond guessing.

import { connect, isIPv6 } from 'node:net'
import { decode, streamEncode, type Answer, type RecordType } from 'dns-packet'

/** Whether c-ares would refuse the name. */
export const isOdd = (name: string): boolean => /[^A-Za-z0-9._/*-]/.test(name)

export interface OddAnswer {
  /** As `node:dns` gives them. */
  rows: string[] | string[][]
  ttlSeconds: number
}

export interface Asking {
  /** As `getServers` of `node:dns` tells them. */
  servers: readonly string[]
  /** For one server. */
  timeoutMs: number
}

const TYPES = ['A', 'AAAA', 'MX', 'PTR', 'TXT'] as const satisfies RecordType[]
const RCODES: Record<string, string> = {
  FORMERR: 'EFORMERR',
  SERVFAIL: 'ESERVFAIL',
  NXDOMAIN: 'ENOTFOUND',
  NOTIMP: 'ENOTIMP',
  REFUSED: 'EREFUSED',
}

/** Asks one server after the other. Rejects with the error codes of `node:dns`. */
export async function askOddName(name: string, type: string, { servers, timeoutMs }: Asking): Promise<OddAnswer> {
  const known = TYPES.find((each) => each === type)
  if (known === undefined) throw failure('ENOTIMP')
  if (!fits(name)) throw failure('EBADNAME')
  const query = streamEncode({ type: 'query', id: 1, flags: RECURSION_DESIRED, questions: [{ name, type: known }] })
  let trouble = failure('ECONNREFUSED')
  for (const server of servers) {
    try {
      return answerOf(await exchange(server, query, timeoutMs), known)
    } catch (error) {
      trouble = error instanceof Error ? error : trouble
      if ('code' in trouble && (trouble.code === 'ENOTFOUND' || trouble.code === 'ENODATA')) break
    }
  }
  throw trouble
}

const RECURSION_DESIRED = 0x01_00

/** RFC 1035 2.3.4. */
const fits = (name: string): boolean =>
  Buffer.byteLength(name) <= 253 && name.split('.').every((label) => label !== '' && Buffer.byteLength(label) <= 63)

/** An error as those of `node:dns`. */
export const failure = (code: string): Error => Object.assign(new Error(`DNS: ${code}`), { code })

/** The answer's octets, without their length (RFC 1035 4.2.2). */
async function exchange(server: string, query: Buffer, timeoutMs: number): Promise<Buffer> {
  const { host, port } = endpoint(server)
  const socket = connect({ host, port, timeout: timeoutMs })
  socket.on('timeout', () => socket.destroy(failure('ETIMEOUT')))
  try {
    socket.write(query)
    let octets = Buffer.alloc(0)
    for await (const chunk of socket) {
      octets = Buffer.concat([octets, chunk as Buffer])
      if (octets.length >= 2 && octets.length >= 2 + octets.readUInt16BE(0)) {
        return octets.subarray(2, 2 + octets.readUInt16BE(0))
      }
    }
    throw failure('EBADRESP')
  } finally {
    socket.destroy()
  }
}

function endpoint(server: string): { host: string; port: number } {
  if (isIPv6(server)) return { host: server, port: 53 }
  const { hostname, port } = new URL(`dns://${server}`)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 53 : Number(port) }
}

function answerOf(octets: Buffer, type: (typeof TYPES)[number]): OddAnswer {
  const { rcode, answers = [] } = decoded(octets)
  if (rcode !== 'NOERROR') throw failure(RCODES[rcode] ?? 'EBADRESP')
  // Names on the way to them (CNAME) come along.
  const found = answers.filter((answer) => answer.type === type)
  if (found.length === 0) throw failure('ENODATA')
  const ttlSeconds = Math.min(...found.map((answer) => ('ttl' in answer ? (answer.ttl ?? 0) : 0)))
  return { rows: found.map(rowOf) as string[] | string[][], ttlSeconds }
}

function decoded(octets: Buffer): { rcode: string; answers?: Answer[] } {
  try {
    const packet = decode(octets)
    return { rcode: 'rcode' in packet ? String(packet.rcode) : '', ...(packet.answers && { answers: packet.answers }) }
  } catch {
    throw failure('EBADRESP')
  }
}

function rowOf(answer: Answer): unknown {
  switch (answer.type) {
    case 'TXT':
      return [answer.data].flat().map(String)
    case 'MX':
      return { exchange: answer.data.exchange, priority: answer.data.preference ?? 0 }
    case 'A':
    case 'AAAA':
    case 'PTR':
      return answer.data
    default:
      return undefined
  }
}
