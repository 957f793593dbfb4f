// send: makes test mail and delivers it by SMTP, prints each reply, and waits for what becomes of it if asked to.

import { readFile, stat } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import type { Context } from './context.ts'
import { CliError, type Exit } from './exit.ts'
import { findMessages } from './find.ts'
import type { Column } from './output.ts'
import { durationText, sizeBytes } from './quantity.ts'
import { DEMO, KINDS, makeSample, messageIdFor, type Sample, type SampleKind } from './samples.ts'
import { idsIn, SmtpClient, type Outcome, type Server } from './smtp.ts'
import { nearest, type Call } from './tree.ts'

export interface SendOptions {
  kind?: string[]
  demo?: boolean
  to?: string[]
  from: string
  subject?: string
  count: number
  rate?: number
  size: string
  server?: string
  crlf?: boolean
  wait?: boolean
  timeout: number
}

/** One mail that was sent, as scripts see it. */
interface Sent {
  kind: string
  accepted: boolean
  code: number
  reply: string
  entryId: string | null
  traceId: string | null
  duplicate: boolean
  /** Final dot to reply. */
  durationMs: number
  /** With --wait: what became of it, one for each tenant, and how long after the reply. */
  messages?: { id: string; status: string; reason: string | null }[]
  indexedMs?: number
}

const COLUMNS: readonly Column<Sent>[] = [
  { head: 'KIND', of: (row) => row.kind, width: 13 },
  { head: 'REPLY', of: (row) => `${row.code} ${row.reply}`, paint: (row) => (row.accepted ? 'green' : 'red') },
  { head: 'TOOK', of: (row) => durationText(row.durationMs), width: 6 },
  { head: 'BECAME', of: becameText },
]

function becameText({ messages, indexedMs }: Sent): string {
  if (messages === undefined) return ''
  const states = messages.map(({ status, reason }) => (reason === null ? status : `${status} (${reason})`))
  return indexedMs === undefined ? 'not indexed in time' : `${states.join(', ')} in ${durationText(indexedMs)}`
}

/** One mail to send: made when its turn comes. */
interface Piece {
  kind: string
  make(unique: string, earlier: string): Promise<Sample> | Sample
}

const DEFAULT_TENANT = 'acme'
/** How often a message is looked for while waiting, in milliseconds. */
const LOOK_MS = 50
/** Mail from stdin or a file that is held in memory, in bytes: only to count it or to mend its line ends. */
const HELD_MAX = 256 * 1024 * 1024

export async function send(call: Call<SendOptions>): Promise<Exit | void> {
  const { context, options } = call
  const config = context.config()
  const server =
    options.server === undefined ? { host: config.smtpHost, port: config.smtpPort } : serverOf(options.server)
  const to = options.to ?? [`${config.smtpPlusPrefix}+${DEFAULT_TENANT}@${config.smtpDomain}`]
  const pieces = await piecesOf(call, to)
  const total = pieces.length * options.count
  const pause = options.rate === undefined ? 0 : 1000 / options.rate

  const client = await SmtpClient.open(server, 'client.example.test', context.clock)
  let refused = 0
  let late = 0
  let earlier = messageIdFor(context.ids.entryId())
  try {
    for (let at = 0; at < total && !context.signal.aborted; at += 1) {
      const piece = pieces[at % pieces.length]
      if (piece === undefined) break
      const unique = context.ids.entryId()
      const sample = await piece.make(unique, earlier)
      if (piece.kind === 'text' || piece.kind === 'html') earlier = messageIdFor(unique)
      const sent = await deliver(call, client, { kind: piece.kind, sample, to })
      if (!sent.accepted) refused += 1
      if (sent.messages !== undefined && sent.indexedMs === undefined) late += 1
      await call.output.streamed(sent, COLUMNS)
      if (pause > 0 && at + 1 < total) await context.clock.sleep(pause, context.signal)
    }
  } finally {
    await client.close()
  }
  if (context.signal.aborted) throw new CliError('interrupted', 'interrupted; what was answered 250 is accepted')
  if (refused > 0) throw new CliError('failure', `${refused} of ${total} refused by ${server.host}:${server.port}`)
  if (late > 0) throw new CliError('failure', `${late} of ${total} not indexed in ${options.timeout} s`)
}

async function deliver(
  call: Call<SendOptions>,
  client: SmtpClient,
  mail: { kind: string; sample: Sample; to: string[] },
): Promise<Sent> {
  const { clock } = call.context
  const { body, sizeBytes } = mail.sample
  const began = clock.monotonic()
  const submission = { from: call.options.from === '<>' ? '' : call.options.from, to: mail.to, body }
  const outcome = await client.send(sizeBytes === undefined ? submission : { ...submission, sizeBytes })
  const answered = clock.monotonic()
  for (const { address, reply } of outcome.refused) call.output.note(`${address}: ${reply.code} ${reply.text}`)
  const sent = sentOf(mail.kind, outcome, answered - began)
  if (call.options.wait !== true || sent.entryId === null) return sent
  const messages = await becameOf(call.context, sent.entryId, call.options.timeout * 1000)
  const rows = messages.map(({ id, status, reason }) => ({ id, status, reason }))
  return settled(messages)
    ? { ...sent, messages: rows, indexedMs: Math.round(clock.monotonic() - answered) }
    : { ...sent, messages: rows }
}

function sentOf(kind: string, { accepted, reply, command }: Outcome, durationMs: number): Sent {
  const { id, traceId, duplicate } = idsIn(reply.text)
  const answer = reply.text.replaceAll('\n', ' ')
  return {
    kind,
    accepted,
    code: reply.code,
    reply: accepted ? answer : `${answer} (to ${command === 'content' ? 'the message' : command})`,
    entryId: id ?? null,
    traceId: traceId ?? null,
    duplicate,
    durationMs: Math.round(durationMs),
  }
}

type Found = Awaited<ReturnType<typeof findMessages>>['messages']

const settled = (messages: Found): boolean =>
  messages.length > 0 && messages.every(({ status }) => status !== 'RECEIVED' && status !== 'STORED')

/** The messages of an entry, once all of them are indexed or time is up. */
async function becameOf(context: Context, entryId: string, timeoutMs: number): Promise<Found> {
  const end = context.clock.monotonic() + timeoutMs
  for (;;) {
    const { messages } = await findMessages(context, entryId)
    if (settled(messages) || context.clock.monotonic() >= end) return messages
    await context.clock.sleep(LOOK_MS, context.signal)
  }
}

async function piecesOf(call: Call<SendOptions>, to: readonly string[]): Promise<Piece[]> {
  const { options, context } = call
  const named = [...call.args, ...(options.kind ?? [])]
  if (options.demo === true && named.length > 0)
    throw new CliError('usage', '--demo sends its own five; name no others')
  const names = options.demo === true ? DEMO : named.length === 0 ? ['text'] : named
  const size = sizeBytes(options.size)
  return await Promise.all(
    names.map(async (name): Promise<Piece> => {
      if (name === '-' || name.includes('/') || name.endsWith('.eml')) return await givenBytes(call, name)
      const kind = kindOf(name)
      const facts = {
        from: options.from,
        to,
        sizeBytes: size,
        ...(options.subject === undefined ? {} : { subject: options.subject }),
      }
      const make = (unique: string, earlier: string) =>
        makeSample(kind, { ...facts, unique, earlier, nowMs: context.clock.now() })
      return { kind, make }
    }),
  )
}

function kindOf(name: string): SampleKind {
  if (Object.hasOwn(KINDS, name)) return name as SampleKind
  const near = nearest(name, Object.keys(KINDS))
  const hint =
    near === undefined
      ? `; one of ${Object.keys(KINDS).join(', ')}, a file, or - for stdin`
      : ` (did you mean ${near}?)`
  throw new CliError('usage', `no kind of test mail is called ${JSON.stringify(name)}${hint}`)
}

/** Bytes of a file or of stdin, as they are; streamed unless they are sent more than once or mended. */
async function givenBytes(call: Call<SendOptions>, name: string): Promise<Piece> {
  const { count, crlf = false } = call.options
  if (
    name !== '-' &&
    !(await stat(name).then(
      (found) => found.isFile(),
      () => false,
    ))
  ) {
    throw new CliError('missing', `no file ${name}`)
  }
  if (count === 1 && !crlf) {
    const body = name === '-' ? call.context.streams.input : createReadStream(name)
    return { kind: name, make: () => ({ body }) }
  }
  const bytes = name === '-' ? await held(call.context.streams.input) : await readFile(name)
  const content = crlf ? Buffer.from(bytes.toString('latin1').replace(/\r\n|\r|\n/g, '\r\n'), 'latin1') : bytes
  return { kind: name, make: () => ({ sizeBytes: content.length, body: [content] }) }
}

async function held(input: AsyncIterable<Buffer | string>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > HELD_MAX)
      throw new CliError('usage', `more than ${HELD_MAX} bytes on stdin; send it once and without --crlf`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

function serverOf(text: string): Server {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:\s]+)):(\d{1,5})$/i.exec(text)
  const port = Number(match?.[3])
  if (match === null || !(port > 0 && port <= 65_535)) {
    throw new CliError('usage', `--server must be like 127.0.0.1:2525, not ${JSON.stringify(text)}`)
  }
  return { host: match[1] ?? match[2] ?? '', port }
}
