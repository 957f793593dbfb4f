// One client's socket. One loop reads tokens, lets the session answer them and writes the replies, so that one thing happens at a time
// and a client is read no faster than its mail is stored. TLS puts another socket, reader and session in their places.

import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Challenge } from './auth.ts'
import { spoken } from './commands.ts'
import { Deadlines, type Expected } from './deadlines.ts'
import { handshake, HANDSHAKE_MS, securedBy } from './handshake.ts'
import type { House, Peer } from './house.ts'
import type { Intake } from './intake.ts'
import type { ListenerName } from './metrics.ts'
import { Misconduct } from './misconduct.ts'
import { clientBehind, peerOf, PROXY_MS } from './peer.ts'
import { AUTH_LINE_BYTES_MAX, Reader, type LineFault, type Token } from './reader.ts'
import { greeting, reply, wireText, type Reply } from './replies.ts'
import { Session, type Ending } from './session.ts'
import type { Doing, Visit } from './throttle.ts'

/** What a connection asks of the listener that it came in by. */
export interface Listening {
  readonly house: House
  readonly draining: boolean
  /** More sessions than allowed are open, this one included. */
  readonly full: boolean
  /** Has had its last reply. */
  closing(connection: Connection): void
}

/** How long a client that was told goodbye may take to close, milliseconds. Until then its octets are read and dropped: a close with
 *  octets unread would reset the connection, and the last reply with it. */
const LINGER_MS = 5000
/** Commands of one client before others have their turn. */
const TOKENS_PER_TURN = 100

export class Connection {
  readonly #listening: Listening
  #socket: Socket
  #peer: Peer
  #session: Session
  readonly #deadlines: Deadlines
  readonly #openedMs: number
  readonly #misconduct = new Misconduct()
  #reader = new Reader()
  readonly #gone = new AbortController()
  #visit: Visit | undefined
  #intake: Intake | undefined
  /** Our question that the next line answers. */
  #challenge: Challenge | undefined
  /** PROXY or TLS is under way, for so long at most: there is nobody yet to say anything to. */
  #unheardUntilMs: number | undefined
  /** Command that waits for its reply; empty while none does. */
  #verb = ''
  #first = true
  #ending: Ending = 'aborted'
  /** When the last reply was said. */
  #closingSinceMs: number | undefined
  /** The peer sends no more. */
  #ended = false
  /** Ends the wait for the peer. */
  #wake = (): void => undefined

  constructor(socket: Socket, listener: ListenerName, listening: Listening) {
    const { house } = listening
    this.#listening = listening
    this.#socket = socket
    this.#openedMs = house.clock.monotonic()
    this.#deadlines = new Deadlines(house.limits, this.#openedMs)
    this.#peer = peerOf(socket, listener)
    this.#session = new Session(house, this.#peer)
  }

  /** Resolves when the socket is closed and every commit is decided. */
  async run(): Promise<void> {
    const { house } = this.#listening
    const closed = this.#watch(this.#socket)
    try {
      if (await this.#introduced()) {
        await this.#greet()
        await this.#talk()
      }
    } catch (error) {
      this.#unforeseen(error)
      this.#socket.destroy()
    }
    this.#close()
    await this.#session.end(this.#ending)
    await closed
    house.metrics.closed(this.#peer.listener, (house.clock.monotonic() - this.#openedMs) / 1000)
  }

  /** Resolves when the socket is closed. */
  #watch(socket: Socket): Promise<void> {
    const wake = () => this.#wake()
    socket.on('readable', wake).on('drain', wake)
    socket.on('error', (error) => this.#listening.house.log.info({ err: error }, 'connection failed'))
    socket.on('end', () => {
      // Inside TLS the end of the plain socket comes before that of the last words.
      this.#ended ||= socket === this.#socket
      wake()
    })
    return new Promise((resolve) => {
      socket.on('close', () => {
        this.#gone.abort()
        wake()
        resolve()
      })
    })
  }

  /** The server shuts down: says so as soon as nothing is under way. */
  drain(): void {
    if (this.#deadlines.waiting && !this.#session.receiving) this.#say(reply('draining'))
  }

  /** Ends the connection at once. */
  cut(): void {
    this.#socket.destroy()
  }

  /** Ends the connection where its time is over. */
  check(nowMs: number): void {
    if (this.#closingSinceMs !== undefined) {
      if (nowMs - this.#closingSinceMs > LINGER_MS) this.cut()
      return
    }
    if (this.#unheardUntilMs !== undefined) {
      if (nowMs > this.#unheardUntilMs) this.cut()
      return
    }
    const late = this.#deadlines.overdue(nowMs)
    if (late === undefined) return
    this.#ending = 'timeout'
    this.#say(reply(late))
  }

  /** What comes before the greeting: for whom a balancer speaks, and TLS where the port knows nothing else. False: nobody is there. */
  async #introduced(): Promise<boolean> {
    const { house, full } = this.#listening
    const { listener } = this.#peer
    const gone = (outcome: 'proxy_error' | 'tls_error' | 'limit'): false => {
      house.metrics.opened(listener, outcome)
      this.cut()
      return false
    }
    if (house.isProxy(this.#peer.address) && !(await this.#proxied())) return gone('proxy_error')
    if (listener !== 'smtps') return true
    if (full) {
      house.metrics.limited('sessions')
      return gone('limit')
    }
    return (await this.#secured()) || gone('tls_error')
  }

  /** Learns whose connection the balancer passes on. */
  async #proxied(): Promise<boolean> {
    const { log, clock } = this.#listening.house
    this.#unheardUntilMs = clock.monotonic() + PROXY_MS
    try {
      const client = await clientBehind(this.#socket)
      if (client !== undefined) this.#known({ ...this.#peer, ...client })
      return true
    } catch (error) {
      log.warn({ err: error, proxy: this.#peer.address }, 'a balancer did not say for whom it speaks')
      return false
    } finally {
      this.#unheardUntilMs = undefined
    }
  }

  /** Who the peer is, or over what it speaks, is known better now; what it said before counts no more. */
  #known(peer: Peer): void {
    this.#peer = peer
    this.#reader = new Reader(
      peer.tls !== undefined && peer.listener === 'submission' ? AUTH_LINE_BYTES_MAX : undefined,
    )
    this.#session = new Session(this.#listening.house, peer)
  }

  /** From here on over TLS. False: the handshake failed, and nothing more can be said. */
  async #secured(): Promise<boolean> {
    const { certificates, metrics, log, clock } = this.#listening.house
    if (certificates === undefined) return false
    this.#unheardUntilMs = clock.monotonic() + HANDSHAKE_MS
    try {
      const socket = await handshake(this.#socket, certificates)
      this.#socket = socket
      void this.#watch(socket)
      const tls = securedBy(socket)
      metrics.handshake(tls.version)
      this.#known({ ...this.#peer, tls })
      return true
    } catch (error) {
      metrics.handshake(undefined)
      log.info({ err: error, client: this.#peer.address }, 'TLS handshake failed')
      return false
    } finally {
      this.#unheardUntilMs = undefined
    }
  }

  /** RFC 3207 4: nothing in plain text after the reply, whatever becomes of the handshake. */
  async #startTls(answer: Reply): Promise<void> {
    const { clock } = this.#listening.house
    this.#unheardUntilMs = clock.monotonic() + HANDSHAKE_MS
    this.#say(answer)
    const plain = this.#socket
    // TLS takes over what the system holds of the socket; what we still held would be lost.
    await new Promise<void>((resolve) => plain.write('', () => resolve()))
    await this.#session.end('aborted')
    if (!(await this.#secured())) this.cut()
  }

  async #greet(): Promise<void> {
    const { house, full } = this.#listening
    this.#visit = house.throttle.enter(this.#peer.address, house.clock.monotonic())
    const refusal = full ? 'too_many_sessions' : this.#visit.refusal
    house.metrics.opened(this.#peer.listener, refusal === undefined ? 'accepted' : 'limit')
    if (refusal !== undefined) return this.#say(reply(refusal))
    // Two turns of the event loop, so that what was sent before the greeting has been read and is seen as such.
    await nextTurn()
    await nextTurn()
    if (house.limits.greetingDelayMs > 0) await this.#pause(house.limits.greetingDelayMs)
    if (this.#listening.draining) this.#say(reply('draining'))
    else if (this.#socket.readableLength > 0) this.#say(reply('early_talker'))
    else this.#say(greeting(house.hostname))
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.#listening.house.clock.sleep(ms, this.#gone.signal)
    } catch (error) {
      if (!this.#gone.signal.aborted) throw error
    }
  }

  async #talk(): Promise<void> {
    for (let count = 1; !this.#over; count += 1) {
      const token = this.#reader.next()
      if (token !== undefined) await this.#take(token)
      else if (!(await this.#more())) return
      if (count % TOKENS_PER_TURN === 0) await nextTurn()
    }
  }

  get #over(): boolean {
    return this.#closingSinceMs !== undefined || this.#gone.signal.aborted
  }

  /** Waits until the peer has taken our replies and has sent something. False: nothing will come any more. */
  async #more(): Promise<boolean> {
    const { clock } = this.#listening.house
    while (!this.#over) {
      if (!this.#socket.writableNeedDrain) {
        const chunk: unknown = this.#socket.read()
        if (Buffer.isBuffer(chunk)) {
          this.#deadlines.heard(chunk.length, clock.monotonic())
          this.#reader.push(chunk)
          return true
        }
        if (this.#ended) return false
      }
      this.#deadlines.wait(clock.monotonic())
      await this.#woken()
    }
    return false
  }

  /** Until something happens on the socket. */
  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  async #take(token: Token): Promise<void> {
    switch (token.kind) {
      case 'line':
        await (this.#challenge === undefined ? this.#command(token.line) : this.#reply(token.line))
        break
      case 'fault':
        await this.#fault(token.fault)
        break
      case 'content':
        await this.#intake?.write(token.octets)
        // Nobody has to take what will be refused anyway (case 67 of the SMTP cases).
        if (this.#intake?.runaway) this.#say({ ...reply('too_large'), closes: true })
        return
      case 'end':
        await this.#endContent(token.bare)
        break
    }
    // A command that content follows is answered when that is here.
    if (this.#intake !== undefined) return
    this.#expect(this.#session.greeted ? 'command' : 'greeting')
    if (this.#listening.draining && !this.#session.receiving) this.#say(reply('draining'))
  }

  async #command(line: Buffer): Promise<void> {
    const followed = this.#reader.waiting > 0 || this.#socket.readableLength > 0
    const { verb, answer } = spoken(line, { first: this.#first, followed })
    this.#first = false
    this.#verb = verb === '' ? 'other' : verb
    // A mail that comes in chunks may end.
    if (this.#listening.draining && !this.#session.receiving) return
    // A relay may send its content in as many chunks as it likes; octets have limits of their own.
    const tooFast = verb === 'BDAT' ? undefined : this.#note('command')
    const step = tooFast ?? (await this.#safely(() => answer(this.#session)))
    if ('write' in step) this.#receive(step)
    else if ('code' in step && step.secures) await this.#startTls(step)
    else this.#answerOrAsk(step)
  }

  /** A line that answers our question. */
  async #reply(line: Buffer | undefined): Promise<void> {
    const challenge = this.#challenge
    this.#challenge = undefined
    this.#verb = 'AUTH'
    if (challenge !== undefined) this.#answerOrAsk(await this.#safely(() => challenge.answer(line)))
  }

  #answerOrAsk(step: Reply | Challenge): void {
    if ('code' in step) return this.#answer(step)
    this.#say(step.challenge)
    this.#challenge = step
  }

  /** What is no line. */
  async #fault(fault: LineFault): Promise<void> {
    if (this.#challenge !== undefined && fault === 'too_long') return this.#reply(undefined)
    this.#first = false
    this.#challenge = undefined
    this.#verb = 'other'
    this.#answer(reply(fault))
  }

  #receive(intake: Intake): void {
    if (intake.invitation !== undefined) this.#say(intake.invitation)
    if (intake.octets === undefined) this.#reader.readMail()
    else this.#reader.readOctets(intake.octets)
    this.#intake = intake
    this.#expect('content')
  }

  async #endContent(bare: boolean): Promise<void> {
    const intake = this.#intake
    this.#intake = undefined
    if (intake === undefined) return
    if (intake.invitation !== undefined) this.#verb = 'DATA'
    const answer = await this.#safely(() => intake.end(bare))
    if (answer.code === 250 && !this.#session.receiving) this.#misconduct.forgive()
    this.#answer(answer)
  }

  #expect(what: Expected): void {
    this.#deadlines.expect(what, this.#listening.house.clock.monotonic())
  }

  /** What was not foreseen is ours, so it is temporary, and its text stays home. */
  async #safely<T>(step: () => Promise<T>): Promise<T | Reply> {
    try {
      return await step()
    } catch (error) {
      this.#unforeseen(error)
      return reply('internal')
    }
  }

  #unforeseen(error: unknown): void {
    this.#listening.house.log.error({ err: error, client: this.#peer.address }, 'unforeseen error in a session')
  }

  /** Replies to a command, unless there were too many like it. */
  #answer(answer: Reply): void {
    const tooMuch = answer.code >= 500 ? this.#note('error') : undefined
    this.#say(tooMuch ?? this.#misconduct.judge(this.#verb, answer))
  }

  /** What to say to a client that does it too often. */
  #note(doing: Doing): Reply | undefined {
    const { throttle, clock } = this.#listening.house
    const refusal = throttle.note(doing, this.#peer.address, clock.monotonic())
    return refusal && reply(refusal)
  }

  #say(answer: Reply): void {
    if (this.#over) return
    if (this.#verb !== '') this.#listening.house.metrics.command(this.#verb, answer.code)
    this.#verb = ''
    if (answer.limiter !== undefined) this.#listening.house.metrics.limited(answer.limiter)
    this.#write(wireText(answer))
    if (answer.closes) this.#close()
  }

  /** Replies that are ready at the same time go out together (RFC 2920 3.2). */
  #write(text: string): void {
    const socket = this.#socket
    if (!socket.writable) return
    if (socket.writableCorked === 0) {
      socket.cork()
      process.nextTick(() => socket.uncork())
    }
    socket.write(text)
  }

  /** Says no more; what still comes is dropped until the peer closes. */
  #close(): void {
    if (this.#closingSinceMs !== undefined) return
    this.#closingSinceMs = this.#listening.house.clock.monotonic()
    this.#listening.closing(this)
    this.#visit?.end()
    this.#wake()
    this.#wake = () => {
      while (this.#socket.read() !== null);
    }
    this.#wake()
    this.#socket.end()
  }
}
