// What one connection says, step by step, and what becomes of it. No socket and no library here: commands come in as text,
// replies go out as rows of the table.
//
// The steps in order, with the places of what is not there yet:
//   connect   sessions in total         (here: limits for an address and a prefix, blocklists)
//   hello     name kept                 (here: STARTTLS, AUTH)
//   MAIL      syntax, size, space       (here: limits for a sender, SPF)
//   RCPT      syntax, route, size       (here: quotas, allow-lists, the same answer for known and unknown)
//   DATA      space held                (here: data waiting before the 354)
//   content   octets counted, stored    (here: bare CR or LF 550 5.6.11, hops 554 5.4.6, DKIM, DMARC, scanner)
//   commit    durable, then 250

import { parsePath, traceIdOf, type Envelope, type Mailbox, type Recipient } from '../envelope/envelope.ts'
import type { Directory, Route } from '../directory/directory.ts'
import type { Clock, Ids, Log } from '../ports/ports.ts'
import { addressArgument, commandText, mailParameters, type MailParameters } from './arguments.ts'
import { openBody, spoolRefusal, type Body, type Committed, type Spool } from './body.ts'
import { refused, type Fate, type SmtpMetrics } from './metrics.ts'
import type { RecentMessages } from './recent.ts'
import { reply, type Reply, type ReplyName } from './replies.ts'
import { traceHeaders } from './trace-headers.ts'

export interface Limits {
  /** Octets of one message; a tenant's own limit may be smaller. */
  messageBytesMax: number
  /** Recipients of one transaction. */
  recipientsMax: number
  /** Sessions at one time. */
  sessionsMax: number
  /** Milliseconds that a session may stay silent. */
  idleTimeoutMs: number
}

/** What every session shares. */
export interface House {
  hostname: string
  limits: Limits
  directory: Directory
  spool: Spool
  clock: Pick<Clock, 'now' | 'monotonic'>
  ids: Ids
  log: Log
  metrics: SmtpMetrics
  recent: RecentMessages
}

export interface Peer {
  address: string
  port: number
}

interface Transaction extends MailParameters {
  mailFrom: string
  traceparent: string
  entryId: string | undefined
  recipients: Map<string, Recipient>
  /** Smallest limit of the recipients so far, octets. */
  sizeLimit: number | undefined
  /** Last refusal of a recipient; the transaction's fate when nobody is left to deliver to. */
  refusal: Reply | undefined
  body: Body | undefined
  /** Its fate is told: once, whatever ends at the same time. */
  over: boolean
}

/** Why a transaction is given up. */
export type Ending = 'aborted' | 'timeout'

export class Session {
  readonly #house: House
  readonly #peer: Peer
  #helo = ''
  #extended = false
  #transaction: Transaction | undefined

  constructor(house: House, peer: Peer) {
    this.#house = house
    this.#peer = peer
  }

  /** A mail is being read. */
  get receiving(): boolean {
    return this.#transaction?.body !== undefined
  }

  /** EHLO or HELO; ends a transaction like RSET (RFC 5321 4.1.4). */
  async hello(name: string, extended: boolean): Promise<void> {
    // Before anything asynchronous: the next command may be in the same packet.
    this.#helo = name
    this.#extended = extended
    await this.end('aborted')
  }

  async mail(line: Buffer): Promise<Reply> {
    const command = commandText(line)
    if (command === undefined) return reply('bad_encoding')
    if (this.#transaction !== undefined) return reply('nested_mail')
    const argument = addressArgument(command)
    if (typeof argument === 'string') return reply(argument)
    const parameters = mailParameters(argument.parameters, this.#extended)
    if (typeof parameters === 'string') return reply(parameters)
    const sender = parsePath(argument.path)
    if (sender === undefined || sender?.domain === '') return reply('bad_sender')
    if (!parameters.smtpUtf8 && !isAscii(argument.path)) return reply('utf8_not_announced')
    const transaction = this.#begin(sender?.text ?? '', parameters)
    const refusal = await this.#refuseSender(parameters.size)
    if (refusal !== undefined) return this.#settle(transaction, refusal)
    this.#transaction = transaction
    return reply('sender_ok')
  }

  #begin(mailFrom: string, parameters: MailParameters): Transaction {
    return {
      ...parameters,
      mailFrom,
      traceparent: this.#house.ids.traceparent(),
      entryId: undefined,
      recipients: new Map(),
      sizeLimit: undefined,
      refusal: undefined,
      body: undefined,
      over: false,
    }
  }

  /** What can be told before a byte of the body: RFC 1870 6.1 (1), and the state of the disk. */
  async #refuseSender(size: number | undefined): Promise<Reply | undefined> {
    const { limits, spool, log } = this.#house
    if (size !== undefined && size > limits.messageBytesMax) return reply('too_large')
    try {
      await spool.check(size ?? 0)
      return undefined
    } catch (error) {
      log.warn({ err: error, client: this.#peer.address }, 'spool takes no mail')
      return reply(spoolRefusal(error))
    }
  }

  async rcpt(line: Buffer): Promise<Reply> {
    const command = commandText(line)
    const transaction = this.#transaction
    if (command === undefined) return reply('bad_encoding')
    if (transaction === undefined) return reply('need_mail')
    const argument = addressArgument(command)
    if (typeof argument === 'string') return reply(argument)
    // RFC 3461 4: NOTIFY and ORCPT come with DSN, which is not announced.
    if (argument.parameters.size > 0) return reply('unknown_parameter')
    const mailbox = parsePath(argument.path)
    if (mailbox === null || mailbox === undefined) return reply('bad_recipient')
    if (!transaction.smtpUtf8 && !isAscii(argument.path)) return reply('utf8_not_announced')
    const answer = reply(this.#addRecipient(transaction, mailbox))
    if (answer.code >= 400) transaction.refusal = answer
    return answer
  }

  #addRecipient(transaction: Transaction, mailbox: Mailbox): ReplyName {
    const { limits, directory, metrics } = this.#house
    const { recipients } = transaction
    const key = `${mailbox.local.toLowerCase()}@${mailbox.domain}`
    if (recipients.has(key)) return 'recipient_ok'
    // RFC 5321 4.5.5: a bounce answers one sender.
    if (transaction.mailFrom === '' && recipients.size >= 1) return 'one_recipient_only'
    if (recipients.size >= limits.recipientsMax) {
      metrics.limited('recipients')
      return 'too_many_recipients'
    }
    const route = directory.route(mailbox)
    if (route.kind !== 'mailbox') return refusalOf(route, metrics)
    const limit = Math.min(route.sizeMax ?? limits.messageBytesMax, limits.messageBytesMax)
    const tooSmall = sizeRefusal(transaction, limit)
    if (tooSmall !== undefined) return tooSmall
    transaction.sizeLimit = Math.min(transaction.sizeLimit ?? limit, limit)
    recipients.set(key, { address: mailbox.text, tenant: route.tenant, mailbox: route.mailbox })
    metrics.recipient('accepted')
    return 'recipient_ok'
  }

  /** Holds the space for a body, which the caller then feeds. A reply instead means that there is nothing to read. */
  async data(line: Buffer): Promise<Reply | Body> {
    const transaction = this.#transaction
    if (line.toString('latin1').trim().length > 4) return reply('bad_argument')
    if (transaction === undefined) return reply('need_mail')
    if (transaction.recipients.size === 0) {
      return reply(transaction.refusal === undefined ? 'need_recipient' : 'no_valid_recipients')
    }
    const { spool, log, ids } = this.#house
    const entryId = ids.entryId()
    const limitBytes = transaction.sizeLimit ?? this.#house.limits.messageBytesMax
    const expectedBytes = transaction.size ?? limitBytes
    let body: Body
    try {
      body = await openBody({ spool, log, entryId, limitBytes, expectedBytes })
    } catch (error) {
      log.warn({ err: error, client: this.#peer.address }, 'no space for a message')
      return this.#settle(transaction, reply(spoolRefusal(error)))
    }
    if (this.#transaction !== transaction) {
      // The peer has gone while the space was looked for.
      await body.abort()
      return reply('internal')
    }
    transaction.entryId = entryId
    transaction.body = body
    return body
  }

  /** The body is complete: makes it durable. The reply is true when it is returned. Rejects on bugs, and then nothing is held. */
  async finish(): Promise<Reply> {
    const transaction = this.#transaction
    if (transaction?.body === undefined || transaction.entryId === undefined) return reply('internal')
    try {
      return await this.#commit(transaction, transaction.body, transaction.entryId)
    } catch (error) {
      await transaction.body.abort()
      this.#settle(transaction, reply('internal'))
      throw error
    }
  }

  async #commit(transaction: Transaction, body: Body, entryId: string): Promise<Reply> {
    const { clock, metrics } = this.#house
    const startedMs = clock.monotonic()
    const committed = await body.commit(this.#envelope(transaction, entryId))
    if (typeof committed === 'string') return this.#settle(transaction, reply(committed))
    metrics.accepted((clock.monotonic() - startedMs) / 1000, committed.sizeBytes)
    return this.#accept(transaction, committed)
  }

  #accept(transaction: Transaction, { sizeBytes, sha256, headerMessageId }: Committed): Reply {
    const tenants = tenantsOf(transaction)
    const duplicate = this.#house.recent.note({ tenants, headerMessageId, sha256 })
    this.#over(transaction, { result: 'accepted', reason: 'none' }, { sizeBytes, duplicate })
    const ids = `id=${transaction.entryId ?? ''} trace=${traceIdOf(transaction.traceparent)}`
    return reply('accepted', duplicate ? `${ids} (duplicate)` : ids)
  }

  #envelope(transaction: Transaction, entryId: string): Envelope {
    const { mailFrom, smtpUtf8, bodyType, traceparent } = transaction
    const recipients = [...transaction.recipients.values()]
    const receivedAtMs = this.#house.clock.now()
    return {
      entryId,
      source: 'EMAIL',
      receivedAt: new Date(receivedAtMs).toISOString(),
      client: { address: this.#peer.address, port: this.#peer.port, helo: this.#helo },
      mailFrom,
      recipients,
      smtpUtf8,
      body: bodyType,
      traceparent,
      traceHeaders: traceHeaders({
        entryId,
        hostname: this.#house.hostname,
        address: this.#peer.address,
        helo: this.#helo,
        extended: this.#extended,
        smtpUtf8,
        mailFrom,
        recipients: recipients.map((recipient) => recipient.address),
        receivedAtMs,
      }),
    }
  }

  /** RSET. */
  async reset(line: Buffer): Promise<Reply> {
    if (line.toString('latin1').trim().length > 4) return reply('bad_argument')
    await this.end('aborted')
    return reply('ok')
  }

  /** Gives up what is under way, unless its last octet is here already. */
  async end(ending: Ending): Promise<void> {
    const transaction = this.#transaction
    if (transaction === undefined || transaction.body?.committing === true) return
    if (transaction.body !== undefined) await transaction.body.abort()
    const refusal = refusalBefore(transaction)
    if (refusal !== undefined) this.#settle(transaction, refusal)
    else this.#over(transaction, { result: ending, reason: 'none' }, {})
  }

  /** A refusal that ends the transaction. */
  #settle(transaction: Transaction, answer: Reply): Reply {
    this.#over(transaction, refused(answer.reason ?? 'other'), { reply: `${answer.code} ${answer.status}` })
    return answer
  }

  #over(transaction: Transaction, fate: Fate, more: Record<string, unknown>): void {
    if (this.#transaction === transaction) this.#transaction = undefined
    if (transaction.over) return
    transaction.over = true
    this.#house.metrics.transaction(fate)
    const fields = {
      entryId: transaction.entryId,
      tenants: tenantsOf(transaction),
      traceId: traceIdOf(transaction.traceparent),
      client: this.#peer.address,
      recipients: transaction.recipients.size,
      declaredBytes: transaction.size,
      receivedBytes: transaction.body?.bytes,
      reason: fate.reason,
      ...more,
    }
    this.#house.log.info(fields, FATE_MESSAGES[fate.result])
  }
}

const FATE_MESSAGES: Record<Fate['result'], string> = {
  accepted: 'message accepted',
  tempfail: 'message deferred',
  reject: 'message refused',
  aborted: 'transaction given up by the client',
  timeout: 'transaction timed out',
}

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text)

/** What had decided the fate of a transaction before the client gave it up. */
function refusalBefore({ body, recipients, refusal }: Transaction): Reply | undefined {
  if (body?.failure !== undefined) return reply(body.failure)
  return recipients.size === 0 && refusal?.reason !== undefined ? refusal : undefined
}

const tenantsOf = ({ recipients }: Transaction): string[] => [
  ...new Set([...recipients.values()].map((recipient) => recipient.tenant)),
]

/**
 * One transaction has one answer, so it has one limit (R8): with a declared size the recipient who may not get so much is
 * refused; without, a recipient of another limit than those before has to come in a transaction of its own.
 */
function sizeRefusal({ size, sizeLimit }: Transaction, limit: number): ReplyName | undefined {
  if (size !== undefined) return size > limit ? 'too_large' : undefined
  return sizeLimit !== undefined && sizeLimit !== limit ? 'other_size_limit' : undefined
}

function refusalOf(route: Exclude<Route, { kind: 'mailbox' }>, metrics: SmtpMetrics): ReplyName {
  switch (route.kind) {
    case 'unknown_mailbox':
    case 'unknown_tenant':
    case 'not_ours':
      metrics.recipient('unknown')
      return route.kind
    case 'mx_lost':
    case 'suspended':
    case 'disabled':
      metrics.recipient('suspended')
      return route.kind
    case 'unavailable':
      return 'directory_unavailable'
  }
}
