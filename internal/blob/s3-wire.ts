// PUT, GET and HEAD of one object without the SDK's layers: each message is two PUTs and two GETs, and most of what they cost is
// middleware, schemas and endpoint rules (docs/object-store.md has the numbers). Where the bucket is, the credentials and the
// region are the SDK's; what fails here looks like an error of the SDK, so s3-fault.ts tells what it means.

import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import * as http from 'node:http'
import * as https from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '../ports/ports.ts'
import type { Hold } from './patience.ts'
import { NOTHING_SHA256, pathOf, signed } from './s3-sign.ts'

export interface WireRequest {
  method: 'PUT' | 'GET' | 'HEAD'
  /** Key of the object in the bucket. */
  key: string
  /** Sorted and escaped. */
  query?: string
  /** Of the request; names in lower case. */
  headers?: Record<string, string>
  body?: WireBody
}

/** What a request sends. */
export interface WireBody {
  sizeBytes: number
  /** Hex. */
  sha256: string
  /** In pieces of which each moves in one step; a Buffer is one. */
  bytes: Buffer | Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

/** Sends; resolves with an answer of success, whose body is the caller's to read to its end or to destroy. */
export type Wire = (request: WireRequest, hold: Hold) => Promise<http.IncomingMessage>

/** The connections, by protocol. */
export interface Agents {
  http: http.Agent
  https: https.Agent
}

export interface WireOptions {
  client: S3Client
  bucket: string
  clock: Pick<Clock, 'now' | 'sleep'>
  agents: Agents
  /** Milliseconds to connect. */
  connectMs: number
}

/** What an error says of itself in XML is short. */
const FAILURE_BYTES_MAX = 64 * 1024

/** Requests to one bucket. Nothing is sent yet. */
export function openWire({ client, bucket, clock, agents, connectMs }: WireOptions): Wire {
  let known: Promise<Place> | undefined
  const placeOf = async () => {
    try {
      return await (known ??= askPlace(client, bucket))
    } catch (error) {
      known = undefined
      throw error
    }
  }
  return async ({ method, key, query = '', headers, body }, hold) => {
    const { protocol, hostname, port, host, root, region } = await placeOf()
    const path = root + pathOf(key)
    const sent = signed({
      method,
      path,
      query,
      headers: { ...headers, host, ...(body && { 'content-length': String(body.sizeBytes) }) },
      sha256: body?.sha256 ?? NOTHING_SHA256,
      credentials: await client.config.credentials(),
      region,
      at: clock.now() + client.config.systemClockOffset,
    })
    const options = { hostname, port, method, path: query === '' ? path : `${path}?${query}`, headers: sent }
    const request =
      protocol === 'https:'
        ? https.request({ ...options, agent: agents.https })
        : http.request({ ...options, agent: agents.http })
    request.once('socket', (socket) => void hurry(socket, { clock, connectMs }))
    const answer = await exchange(request, body?.bytes, hold)
    const { statusCode = 0 } = answer
    if (statusCode >= 200 && statusCode < 300) return answer
    const failure = await failureOf(answer)
    // The rest of its body would come too late.
    if (!request.writableFinished) request.destroy()
    if (statusCode === 403) followClock(client, answer, clock)
    throw failure
  }
}

/** Where the bucket is. */
export interface Place {
  protocol: 'http:' | 'https:'
  hostname: string
  port: number | undefined
  /** The header. */
  host: string
  /** What stands before the key in each path. */
  root: string
  /** As it is signed. */
  region: string
}

/** Taken from a request that the SDK has signed and does not send: so its rules hold for endpoints, buckets and regions. */
export async function askPlace(client: S3Client, bucket: string): Promise<Place> {
  let asked: AskedRequest | undefined
  const command = new GetObjectCommand({ Bucket: bucket, Key: 'k' })
  command.middlewareStack.add(
    () => async (args) => {
      asked = args.request as AskedRequest
      throw new Error('not to be sent')
    },
    { step: 'deserialize', priority: 'low', name: 'askPlace' },
  )
  try {
    await client.send(command)
  } catch (error) {
    if (asked === undefined) throw error
  }
  const { protocol, hostname, port, path, headers } = asked as AskedRequest
  const [, region] =
    /^AWS4-HMAC-SHA256 Credential=[^,]*\/([^/,]+)\/s3\/aws4_request,/.exec(headers['authorization'] ?? '') ?? []
  if (region === undefined || (protocol !== 'http:' && protocol !== 'https:'))
    throw Object.assign(new Error(`no way to sign for ${bucket}`), { code: 'CredentialsProviderError' })
  // An address of IPv6 is in brackets in a URL, and nowhere else.
  return {
    protocol,
    hostname: hostname.replaceAll(/[[\]]/g, ''),
    port,
    host: headers['host'] ?? hostname,
    root: path.slice(0, -1),
    region,
  }
}

interface AskedRequest {
  protocol: string
  hostname: string
  port?: number
  path: string
  headers: Record<string, string>
}

/** Sends the request and resolves with what is answered, which may come before all is sent. */
function exchange(
  request: http.ClientRequest,
  bytes: WireBody['bytes'] | undefined,
  hold: Hold,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    hold.onCut(() => request.destroy())
    request.once('response', resolve)
    request.on('error', reject)
    if (bytes === undefined || Buffer.isBuffer(bytes)) request.end(bytes)
    else
      pour(request, bytes, hold).catch((error: Error) => {
        request.destroy()
        reject(error)
      })
  })
}

/** As each piece is accepted, the request has moved. */
async function pour(
  request: http.ClientRequest,
  bytes: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  hold: Hold,
): Promise<void> {
  for await (const chunk of bytes) {
    if (request.destroyed) return
    hold.moved()
    if (!request.write(chunk) && !request.destroyed) await drained(request)
  }
  request.end()
}

const drained = (request: http.ClientRequest): Promise<void> =>
  new Promise((resolve) => {
    const on = () => {
      request.off('drain', on).off('close', on)
      resolve()
    }
    request.on('drain', on).on('close', on)
  })

/** A connection that does not come about in time; what it takes to wait for a free one does not count. */
async function hurry(socket: Socket, { clock, connectMs }: Pick<WireOptions, 'clock' | 'connectMs'>): Promise<void> {
  if (!socket.connecting) return
  const over = new AbortController()
  for (const event of ['connect', 'close']) socket.once(event, () => over.abort())
  try {
    await clock.sleep(connectMs, over.signal)
    const message = `no connection in ${connectMs} ms`
    socket.destroy(Object.assign(new Error(message), { name: 'TimeoutError', code: 'ETIMEDOUT' }))
  } catch (error) {
    if (!over.signal.aborted) throw error
  }
}

/** All of an answer's body. Rejects when it breaks off, or is longer than `maxBytes`. */
export function wholeOf(answer: http.IncomingMessage, maxBytes: number, hold?: Hold): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    answer.on('data', (chunk: Buffer) => {
      hold?.moved()
      chunks.push(chunk)
      length += chunk.length
      if (length > maxBytes) answer.destroy(new Error(`more than ${maxBytes} bytes came`))
    })
    answer.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length)))
    answer.once('error', reject)
  })
}

/** An answer's error in the form of the SDK's. A HEAD has no body that would say more than its status. */
async function failureOf(answer: http.IncomingMessage): Promise<Error> {
  const { statusCode: httpStatusCode } = answer
  // A page of somebody between us and the store says nothing: the status is what counts.
  const text = await wholeOf(answer, FAILURE_BYTES_MAX).then(String, () => '')
  const fact = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]
  const name = fact('Code') ?? (httpStatusCode === 404 ? 'NotFound' : 'Error')
  return Object.assign(new Error(fact('Message')), { name, $metadata: { httpStatusCode } })
}

/** After an answer that may be for the sake of the time: the store's is the right one, for the SDK as well. */
function followClock({ config }: S3Client, { headers }: http.IncomingMessage, clock: Pick<Clock, 'now'>): void {
  const storeTime = Date.parse(headers.date ?? '')
  const offset = storeTime - clock.now()
  if (Math.abs(offset - config.systemClockOffset) >= SKEW_MS) config.systemClockOffset = offset
}

/** S3 refuses a time that is off by 15 minutes. */
const SKEW_MS = 240_000
