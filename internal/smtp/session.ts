// What one connection says, step by step, and what becomes of it. No socket here: commands come in as text, replies go out as rows
// of the table.
//
// The steps in order, with the places of what is not there yet:
//   connect   PROXY, sessions           (here: blocklists)
//   hello     name kept
//   STARTTLS  a session of its own follows
//   AUTH      on the submission listener
//   MAIL      syntax, size, space, rate
//   RCPT      syntax, rate, route, blocked senders, size, quotas
//   DATA      space held
//   BDAT      space held by the first chunk
//   content   octets, line ends, hops, who sent it by policy
//   scan      malware, by option
//   commit    durable, then 250

import { isRole } from '../directory/directory.ts'
import { addressKey, parseMailbox, parsePath, traceIdOf, type Mailbox } from '../envelope/envelope.ts'
import type { Evaluation } from '../authentication/authentication.ts'
import { addressArgument, chunkArgument, isAscii, mailParameters, type Chunk } from './arguments.ts'
import { barrier } from './access.ts'
import { Authentication, type Challenge } from './auth.ts'
import { openBody, RUNAWAY_FACTOR, spoolRefusal, type Body, type Committed } from './body.ts'
import { tellOfDiscarded, tellOfEnd, tellOfRecipient, tellOfTimeout, type Speaker } from './concern.ts'
import { extensions } from './extensions.ts'
import { settleFate } from './fate.ts'
import type { Greeted, House, Peer } from './house.ts'
import { scanInline } from './inline-scan.ts'
import { swallow, type Intake } from './intake.ts'
import { refused, type Fate } from './metrics.ts'
import { judge, listed } from './policy.ts'
import { crowded, gotMail } from './receivers.ts'
import { hello, reply, REPLIES, type Reply, type ReplyName } from './replies.ts'
import {
  accepted,
  beginTransaction,
  envelopeOf,
  nobodyLeft,
  refusalBefore,
  refusalOf,
  sizeRefusal,
  step,
  judgesOf,
  tenantsOf,
  type Transaction,
} from './transaction.ts'

/** Why a transaction is given up. */
export type Ending = 'aborted' | 'timeout'

export class Session {
  readonly #house: House
  readonly #peer: Peer
  readonly #authentication: Authentication
  #greeted: Greeted | undefined
  #transaction: Transaction | undefined
  /** A chunk failed: what the chunks after it are told, until RSET (RFC 3030 2). */
  #failed: Reply | undefined

  constructor(house: House, peer: Peer) {
    this.#house = house
    this.#peer = peer
    this.#authentication = new Authentication(house, peer)
  }

  /** A mail is being read. */
  get receiving(): boolean {
    return this.#transaction?.body !== undefined
  }

  get greeted(): boolean {
    return this.#greeted !== undefined
  }

  /** MAIL was accepted, or chunks of a failed mail still come. */
  get inTransaction(): boolean {
    return this.#transaction !== undefined || this.#failed !== undefined
  }

  /** What has to come before this command; undefined where nothing has. */
  barred(verb: string): ReplyName | undefined {
    const { requireTls } = this.#house
    return barrier(verb, { peer: this.#peer, requireTls, authenticated: this.#credential !== undefined })
  }

  get #speaker(): Speaker {
    return { peer: this.#peer, greeted: this.#greeted, tenant: this.#credential?.tenant }
  }

  get #credential() {
    return this.#authentication.credential
  }

  /** EHLO or HELO; ends a transaction like RSET (RFC 5321 4.1.4). */
  async hello(name: string, extended: boolean): Promise<Reply> {
    // RFC 5321 4.1.4 forbids to refuse a name that cannot be verified; what only looks like an address is no name.
    if (name.startsWith('[') && parseMailbox(`x@${name}`) === undefined) return reply('bad_literal')
    await this.end('aborted')
    this.#greeted = { name, extended }
    return hello(this.#house.hostname, extended ? extensions(this.#house, this.#peer) : [])
  }

  /** After this reply TLS begins, and a session that knows nothing of this one (RFC 3207 4.2). */
  async startTls(): Promise<Reply> {
    if (this.#house.certificates === undefined) return reply('not_implemented')
    return reply(this.#peer.tls === undefined ? 'ready_for_tls' : 'tls_active')
  }

  /** `argument`: what follows AUTH. */
  async auth(argument: string): Promise<Reply | Challenge> {
    if (this.#peer.listener !== 'submission') return reply('not_implemented')
    if (this.#greeted?.extended !== true) return reply('hello_first')
    return this.inTransaction ? reply('nested_mail') : this.#authentication.begin(argument)
  }

  /** `command` is the whole line. */
  async mail(command: string): Promise<Reply> {
    if (this.#greeted === undefined) return reply('hello_first')
    if (this.#failed !== undefined) return reply('reset_first')
    if (this.#transaction !== undefined) return reply('nested_mail')
    const argument = addressArgument(command)
    if (typeof argument === 'string') return reply(argument)
    const { extended } = this.#greeted
    const authenticated = this.#credential !== undefined
    const parameters = mailParameters(argument.parameters, { extended, authenticated })
    if (typeof parameters === 'string') return reply(parameters)
    const sender = parsePath(argument.path)
    if (sender === undefined || sender?.domain === '') {
      return reply(argument.path.includes('@') ? 'bad_sender' : 'no_sender_domain')
    }
    if (!parameters.smtpUtf8 && !isAscii(argument.path)) return reply('utf8_not_announced')
    const transaction = beginTransaction(sender?.text ?? '', parameters, this.#house)
    const refusal = this.#refuseForeign(sender) ?? (await this.#refuseSender(parameters.size))
    if (refusal !== undefined) return this.#settle(transaction, refusal)
    this.#transaction = transaction
    return reply('sender_ok')
  }

  /** Who logged in sends as itself (RFC 6409 6.1), or as nobody: a report has no sender. */
  #refuseForeign(sender: Mailbox | null): Reply | undefined {
    const name = this.#credential?.name
    if (name === undefined || sender === null) return undefined
    const may = this.#house.directory.maySendAs(name, sender)
    if (may === 'yes') return undefined
    return reply(may === 'no' ? 'sender_not_owned' : 'directory_unavailable')
  }

  /** What can be told before a byte of the body: RFC 1870 6.1 (1), and the state of the disk. */
  async #refuseSender(size: number | undefined): Promise<Reply | undefined> {
    const { limits, spool, log, throttle, clock } = this.#house
    if (size !== undefined && size > limits.messageBytesMax) return reply('too_large')
    try {
      await spool.check(size ?? 0)
    } catch (error) {
      log.warn({ err: error, client: this.#peer.address }, 'spool takes no mail')
      return reply(spoolRefusal(error))
    }
    const tooMuch = throttle.noteMessage(this.#peer.address, clock.monotonic())
    return tooMuch && reply(tooMuch)
  }

  /** `command` is the whole line. */
  async rcpt(command: string): Promise<Reply> {
    const transaction = this.#transaction
    if (this.receiving || this.#failed !== undefined) return reply('reset_first')
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
    tellOfRecipient(this.#house, this.#speaker, { transaction, mailbox, answer })
    return answer
  }

  #addRecipient(transaction: Transaction, mailbox: Mailbox): ReplyName {
    const { limits, directory, metrics, throttle } = this.#house
    const { recipients, discarded } = transaction
    const key = addressKey(mailbox)
    if (recipients.has(key) || discarded.has(key)) return 'recipient_ok'
    // RFC 5321 4.5.5: a bounce answers one sender.
    if (transaction.mailFrom === '' && accepted(transaction) >= 1) return 'one_recipient_only'
    if (accepted(transaction) >= limits.recipientsMax) return 'too_many_recipients'
    const tooFast = throttle.note('recipient', this.#peer.address, this.#house.clock.monotonic())
    if (tooFast !== undefined) return tooFast
    const route = directory.route(this.#local(mailbox))
    if (route.kind === 'not_ours' && mailbox.domain.startsWith('[')) {
      metrics.recipient('unknown')
      return 'not_our_address'
    }
    if (route.kind !== 'mailbox' && route.kind !== 'discard') return refusalOf(route, metrics)
    if (route.tenant !== null && listed(directory, route.tenant, transaction.mailFrom) === 'block') {
      metrics.recipient('blocked')
      return 'sender_blocked'
    }
    const limit = Math.min(route.sizeMax ?? limits.messageBytesMax, limits.messageBytesMax)
    const tooSmall = sizeRefusal(transaction, limit)
    if (tooSmall !== undefined) return tooSmall
    const receiver = { tenant: route.tenant, domain: mailbox.domain }
    const tooMuch = isRole(mailbox) ? undefined : crowded(this.#house, transaction, receiver)
    if (tooMuch !== undefined) return tooMuch
    transaction.sizeLimit = Math.min(transaction.sizeLimit ?? limit, limit)
    const { text: address } = mailbox
    if (route.kind === 'discard') discarded.set(key, { address, tenant: route.tenant })
    else recipients.set(key, { address, tenant: route.tenant, mailbox: route.mailbox })
    metrics.recipient(route.kind === 'discard' ? 'unknown' : 'accepted')
    return 'recipient_ok'
  }

  /** RFC 5321 4.5.1: postmaster is reached at our address as well, which is a bare postmaster then. */
  #local(mailbox: Mailbox): Mailbox {
    const { localAddress } = this.#peer
    const ours = [`[${localAddress}]`, `[ipv6:${localAddress}]`].includes(mailbox.domain)
    return ours && mailbox.local.toLowerCase() === 'postmaster' ? { ...mailbox, domain: '' } : mailbox
  }

  /** Holds the space for a body. A reply means that there is nothing to read. */
  async data(): Promise<Reply | Intake> {
    const transaction = this.#transaction
    if (this.receiving || this.#failed !== undefined) return reply('reset_first')
    if (transaction === undefined) return reply('need_mail')
    if (accepted(transaction) === 0) return reply(nobodyLeft(transaction))
    const body = await this.#openBody(transaction, undefined)
    if ('code' in body) return body
    return {
      invitation: REPLIES.go_ahead,
      write: (chunk) => body.write(chunk),
      get runaway() {
        return body.runaway
      },
      end: (bare) => this.#finish(transaction, body, bare),
    }
  }

  /** RFC 3030 2. Whatever the answer, the octets of the chunk follow and are read: without a size nobody knows where it ends. */
  async bdat(argument: string): Promise<Reply | Intake> {
    const chunk = chunkArgument(argument)
    if (chunk === undefined) return reply('bad_chunk')
    const body = await this.#chunkBody(chunk)
    if ('code' in body) {
      return swallow(chunk.octets, this.#house.limits.messageBytesMax * RUNAWAY_FACTOR, body)
    }
    return {
      octets: chunk.octets,
      write: (octets) => body.write(octets),
      get runaway() {
        return body.runaway
      },
      end: () => this.#endChunk(chunk, body),
    }
  }

  /** Where the chunk goes, or why it goes nowhere. */
  async #chunkBody(chunk: Chunk): Promise<Body | Reply> {
    const transaction = this.#transaction
    if (this.#failed !== undefined) return this.#failed
    if (transaction === undefined) return reply(this.#greeted === undefined ? 'hello_first' : 'need_mail')
    if (accepted(transaction) === 0) return reply(nobodyLeft(transaction))
    if (transaction.body !== undefined) return transaction.body
    if (chunk.octets === 0 && chunk.last) return reply('null_chunk')
    const body = await this.#openBody(transaction, chunk.last ? chunk.octets : undefined)
    return 'code' in body ? this.#failChunk(chunk, body) : body
  }

  async #endChunk(chunk: Chunk, body: Body): Promise<Reply> {
    const transaction = this.#transaction
    if (transaction === undefined) return reply('internal')
    if (chunk.last) return this.#finish(transaction, body, false)
    if (body.failure === undefined) return reply('chunk_ok', `${chunk.octets} octets`)
    return this.#failChunk(chunk, this.#settle(transaction, reply(body.failure)))
  }

  /** What is temporary stays so for the chunks that are on their way already. */
  #failChunk(chunk: Chunk, answer: Reply): Reply {
    if (!chunk.last) this.#failed = answer.code < 500 ? answer : reply('discarded')
    return answer
  }

  async #openBody(transaction: Transaction, knownBytes: number | undefined): Promise<Body | Reply> {
    const { spool, log, ids, limits } = this.#house
    const { headerBytesMax } = limits
    const entryId = ids.entryId()
    const limitBytes = transaction.sizeLimit ?? limits.messageBytesMax
    const expectedBytes = transaction.size ?? knownBytes ?? limitBytes
    const evaluation = this.#evaluate(transaction)
    try {
      transaction.body = await openBody({ spool, log, entryId, limitBytes, headerBytesMax, expectedBytes, evaluation })
      transaction.entryId = entryId
      return transaction.body
    } catch (error) {
      evaluation?.abort()
      log.warn({ err: error, client: this.#peer.address }, 'no space for a message')
      return this.#settle(transaction, reply(spoolRefusal(error)))
    }
  }

  /** Begins to find out who sends it. */
  #evaluate({ mailFrom }: Transaction): Evaluation | undefined {
    const helo = this.#greeted?.name ?? ''
    // Who logged in has proved more than the DNS could.
    if (this.#credential !== undefined) return undefined
    return this.#house.authenticator?.begin({ address: this.#peer.address, helo, mailFrom })
  }

  /** What the tenants make of who sent it; a reply where all of them refuse. */
  async #judge(transaction: Transaction, body: Body): Promise<ReplyName | undefined> {
    transaction.findings = await step(this.#house, 'authenticate', transaction, () => body.findings())
    if (transaction.findings === undefined) return undefined
    const about = { mailFrom: transaction.mailFrom, tenants: judgesOf(transaction) }
    const judged = judge(this.#house.directory, about, transaction.findings.results)
    if ('refused' in judged) return judged.refused
    transaction.verdicts = judged.verdicts
    return undefined
  }

  /** The body is complete: makes it durable. The reply is true when it is returned. Rejects on bugs, and then nothing is held. */
  async #finish(transaction: Transaction, body: Body, bare: boolean): Promise<Reply> {
    try {
      const fault =
        body.failure ??
        (bare ? 'bare_line_end' : body.looping ? 'loop' : undefined) ??
        (await this.#judge(transaction, body))
      if (fault === undefined) return await this.#commit(transaction, body, transaction.entryId ?? '')
      await body.abort()
      return this.#settle(transaction, reply(fault))
    } catch (error) {
      await body.abort()
      this.#settle(transaction, reply('internal'))
      throw error
    }
  }

  async #commit(transaction: Transaction, body: Body, entryId: string): Promise<Reply> {
    const { clock, hostname, metrics } = this.#house
    const startedMs = clock.monotonic()
    const [peer, greeted, authenticated] = [this.#peer, this.#greeted, this.#credential !== undefined]
    const received = { hostname, peer, greeted, entryId, authenticated, receivedAtMs: clock.now() }
    const scan = () => scanInline(this.#house, { entryId, content: body.content() })
    const scanned = await (this.#house.inlineScan === undefined ? scan() : step(this.#house, 'scan', transaction, scan))
    if ('refusal' in scanned) {
      await body.abort()
      return this.#settle(transaction, reply(scanned.refusal))
    }
    const envelope = { ...envelopeOf(transaction, received), ...scanned }
    const committed = await step(this.#house, 'commit', transaction, () => body.commit(envelope))
    if (typeof committed === 'string') return this.#settle(transaction, reply(committed))
    metrics.accepted((clock.monotonic() - startedMs) / 1000, committed.sizeBytes)
    gotMail(this.#house, transaction, { sizeBytes: committed.sizeBytes, atMs: received.receivedAtMs })
    return this.#accept(transaction, committed)
  }

  #accept(transaction: Transaction, { sizeBytes, sha256, headerMessageId }: Committed): Reply {
    const { recent } = this.#house
    const nobody = transaction.discarded.size > 0 ? [NOBODY] : []
    const duplicate = recent.note({ tenants: [...tenantsOf(transaction), ...nobody], headerMessageId, sha256 })
    tellOfDiscarded(this.#house, this.#speaker, transaction, { sizeBytes, sha256 })
    const fate: Fate =
      transaction.recipients.size > 0 ? { result: 'accepted', reason: 'none' } : refused('unknown_rcpt')
    this.#over(transaction, fate, { sizeBytes, sha256, duplicate })
    const ids = `id=${transaction.entryId ?? ''} trace=${traceIdOf(transaction.traceparent)}`
    return reply('accepted', duplicate ? `${ids} (duplicate)` : ids)
  }

  /** RSET (RFC 5321 4.1.1.5). */
  async reset(): Promise<Reply> {
    await this.end('aborted')
    return reply('ok')
  }

  /** Gives up what is under way. Call it between steps, never during one. */
  async end(ending: Ending): Promise<void> {
    const transaction = this.#transaction
    this.#failed = undefined
    if (transaction === undefined) return
    await transaction.body?.abort()
    const refusal = refusalBefore(transaction)
    // Refused recipients have been told of one by one.
    if (transaction.body?.failure !== undefined && refusal !== undefined)
      tellOfEnd(this.#house, this.#speaker, transaction, refusal)
    else if (ending === 'timeout' && transaction.body !== undefined)
      tellOfTimeout(this.#house, this.#speaker, transaction)
    if (refusal !== undefined) this.#refused(transaction, refusal)
    else this.#over(transaction, { result: ending, reason: 'none' }, {})
  }

  /** A refusal that ends the transaction. */
  #settle(transaction: Transaction, answer: Reply): Reply {
    tellOfEnd(this.#house, this.#speaker, transaction, answer)
    this.#refused(transaction, answer)
    return answer
  }

  #refused(transaction: Transaction, answer: Reply): void {
    this.#over(transaction, refused(answer.reason ?? 'other'), { reply: `${answer.code} ${answer.status}` })
  }

  #over(transaction: Transaction, fate: Fate, more: Record<string, unknown>): void {
    this.#transaction = undefined
    const client = { address: this.#peer.address, credential: this.#credential?.name }
    settleFate(this.#house, client, { transaction, fate, more })
  }
}

/** Whoever gets what is discarded: no slug. */
const NOBODY = ''
