// An S3 store's bad days, one request at a time: a proxy on loopback that passes requests on and spoils what it is told to.

import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Transform } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** What is done to a request that matches. */
export type Spoil =
  /** An answer of the proxy's own, in S3's form. The request does not reach the store. */
  | { answer: number; code: string; headers?: Record<string, string> }
  /** The request is done; its answer waits, and then comes in pieces with pauses between them. */
  | { slowMs: number }
  /** The request is done; the connection breaks after so many bytes of the answer's body. */
  | { cutAfter: number }
  /** The request is done; nobody hears. */
  | { loseAnswer: true }
  /** The connection breaks after so many bytes of the request's body. */
  | { tearAfter: number }
  /** One bit of the request's body is another. */
  | { flipAt: number }
  /** A header of the answer is another. */
  | { header: string; value: string }

export interface FaultProxy {
  endpoint: string
  /** Requests that were seen, `PUT /bucket/key?query`, in order; `headers` beside them. */
  seen: { line: string; headers: IncomingMessage['headers'] }[]
  /** Spoils the next `times` requests whose line matches. */
  spoil(line: RegExp, how: Spoil, times?: number): void
  /** Does `first` before the next request that matches is passed on. */
  onSeen(line: RegExp, first: (line: string) => Promise<void>): void
  /** Forgets what was seen and what was told. */
  calm(): void
  /** The most connections that were open at a time since it was calm. */
  connections(): number
  close(): Promise<void>
}

/** Starts a proxy before `endpoint`. The Host header stays, so signatures hold. */
export async function faultProxy(endpoint: string): Promise<FaultProxy> {
  const rules: { line: RegExp; how?: Spoil; first?: (line: string) => Promise<void>; left: number }[] = []
  const seen: FaultProxy['seen'] = []
  let [open, most] = [0, 0]
  const server = createServer((asked, answer) => {
    const line = `${asked.method} ${asked.url}`
    seen.push({ line, headers: asked.headers })
    const rule = rules.find((each) => each.left > 0 && each.line.test(line))
    if (rule !== undefined) rule.left -= 1
    const onward = () => pass(new URL(endpoint), { asked, answer }, rule?.how)
    if (rule?.first === undefined) onward()
    else void rule.first(line).then(onward, () => answer.destroy())
  })
  server.on('connection', (socket) => {
    most = Math.max(most, (open += 1))
    socket.on('close', () => (open -= 1))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    spoil: (line, how, times = 1) => void rules.push({ line, how, left: times }),
    onSeen: (line, first) => void rules.push({ line, first, left: 1 }),
    calm() {
      rules.length = seen.length = 0
      server.closeAllConnections()
      most = 0
    },
    connections: () => most,
    close: () => new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  }
}

interface Exchange {
  asked: IncomingMessage
  answer: ServerResponse
}

function pass({ hostname, port }: URL, { asked, answer }: Exchange, how: Spoil | undefined): void {
  const broken = () => void answer.destroy()
  asked.on('error', broken)
  answer.on('error', broken)
  if (how !== undefined && 'answer' in how) {
    asked.resume().on('end', () => {
      answer.writeHead(how.answer, { 'content-type': 'application/xml', ...how.headers })
      answer.end(`<?xml version="1.0"?><Error><Code>${how.code}</Code><Message>said the proxy</Message></Error>`)
    })
    return
  }
  const onward = request({
    hostname,
    port,
    method: asked.method,
    path: asked.url,
    headers: asked.headers,
    agent: false,
  })
  onward.on('error', broken)
  answer.on('close', () => void onward.destroy())
  onward.on('response', (came) => void deliver(came, answer, how).catch(broken))
  const body = how !== undefined && ('tearAfter' in how || 'flipAt' in how) ? asked.pipe(spoiled(how, onward)) : asked
  body.on('error', () => (broken(), onward.destroy()))
  body.pipe(onward)
}

function spoiled(how: { tearAfter: number } | { flipAt: number }, onward: ReturnType<typeof request>): Transform {
  let at = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if ('tearAfter' in how && at + chunk.length > how.tearAfter) {
        onward.write(chunk.subarray(0, how.tearAfter - at))
        return void setTimeout(() => done(new Error('torn')), 50)
      }
      if ('flipAt' in how && how.flipAt >= at && how.flipAt < at + chunk.length) {
        chunk = Buffer.from(chunk)
        chunk[how.flipAt - at] = (chunk[how.flipAt - at] ?? 0) ^ 1
      }
      at += chunk.length
      done(null, chunk)
    },
  })
}

async function deliver(came: IncomingMessage, answer: ServerResponse, how: Spoil | undefined): Promise<void> {
  const headers = { ...came.headers, ...(how !== undefined && 'header' in how && { [how.header]: how.value }) }
  if (how !== undefined && 'loseAnswer' in how) return void answer.destroy()
  if (how !== undefined && 'slowMs' in how) await sleep(how.slowMs)
  answer.writeHead(came.statusCode ?? 500, headers)
  if (how !== undefined && 'cutAfter' in how) answer.flushHeaders()
  let sent = 0
  for await (const chunk of came as AsyncIterable<Buffer>) {
    if (how !== undefined && 'cutAfter' in how && sent + chunk.length > how.cutAfter) {
      answer.write(chunk.subarray(0, how.cutAfter - sent))
      await sleep(20)
      return void answer.destroy()
    }
    if (how !== undefined && 'slowMs' in how) await sleep(how.slowMs)
    if (!answer.write(chunk)) await new Promise((resolve) => answer.once('drain', resolve))
    sent += chunk.length
  }
  answer.end()
}
