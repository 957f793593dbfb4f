// AUTH (RFC 4954 4) by PLAIN (RFC 4616 2) and LOGIN, on the submission listener and inside TLS only. Who fails is told the same after
// the same work, whether the name is known or not.

import { checkSecret, type CredentialRow, type Login } from '../directory/directory.ts'
import type { Attempts, Turns } from './attempts.ts'
import type { House, Peer } from './house.ts'
import { reply, REPLIES, type Reply, type ReplyName } from './replies.ts'

/** A question of ours; the next line is the client's answer, whatever it looks like. */
export interface Challenge {
  readonly challenge: Reply
  /** `undefined`: the line was longer than any answer is. */
  answer(line: Buffer | undefined): Promise<Reply | Challenge>
}

/** What all sessions share. */
export interface Authority {
  attempts: Attempts
  turns: Turns
  /** Counted in tests. */
  checkSecret: typeof checkSecret
}

/** Failures of one session; then it ends. */
const FAILURES_MAX = 3
const MECHANISMS = ['PLAIN', 'LOGIN'] as const
/** Announced by EHLO. */
export const AUTH_KEYWORD = `AUTH ${MECHANISMS.join(' ')}`

/** Who the client of one session is. */
export class Authentication {
  readonly #house: House
  readonly #peer: Peer
  #failures = 0
  #credential: CredentialRow | undefined

  constructor(house: House, peer: Peer) {
    this.#house = house
    this.#peer = peer
  }

  /** Undefined until the client proved who it is. */
  get credential(): CredentialRow | undefined {
    return this.#credential
  }

  /** `argument`: mechanism and, perhaps, the first answer (RFC 4954 4). */
  async begin(argument: string): Promise<Reply | Challenge> {
    if (this.#credential !== undefined) return reply('auth_done')
    const [, mechanism = '', initial] = /^(\S+)(?: +(\S+))?$/.exec(argument) ?? []
    if (mechanism === '') return reply('bad_argument')
    switch (mechanism.toUpperCase()) {
      case 'PLAIN':
        return this.#ask('', initial, (text) => this.#plain(text))
      case 'LOGIN':
        return this.#ask('Username:', initial, (name) =>
          this.#ask('Password:', undefined, (secret) => this.#verify(name, secret)),
        )
      default:
        return reply('unknown_mechanism')
    }
  }

  /** Asks, unless the answer is here already. */
  #ask(
    question: string,
    initial: string | undefined,
    next: (text: string) => Promise<Reply | Challenge> | Challenge | Reply,
  ): Promise<Reply | Challenge> | Challenge | Reply {
    const take = async (given: string): Promise<Reply | Challenge> => {
      const text = given === '*' ? 'auth_cancelled' : decoded(given)
      return typeof text === 'string' ? reply(text) : next(text.text)
    }
    // RFC 4954 4: an equal sign alone is an answer of no octets.
    if (initial !== undefined) return take(initial === '=' ? '' : initial)
    return {
      challenge: { ...REPLIES.auth_challenge, text: Buffer.from(question).toString('base64') },
      answer: async (line) => (line === undefined ? reply('auth_line_too_long') : take(line.toString('latin1'))),
    }
  }

  #plain(text: string): Promise<Reply> | Reply {
    const [authzid, name, secret, ...more] = text.split('\0')
    if (authzid === undefined || name === undefined || secret === undefined || more.length > 0) {
      return reply('bad_base64')
    }
    // Nobody acts for somebody else.
    return this.#verify(authzid === '' || authzid === name ? name : '', secret)
  }

  async #verify(name: string, secret: string): Promise<Reply> {
    const { authority, metrics, log } = this.#house
    const { address } = this.#peer
    if (!authority.attempts.begin(address)) return this.#told('limited', 'auth_limited', name)
    const login = this.#house.directory.credential(name.toLowerCase())
    const right = login.kind === 'unavailable' ? undefined : await this.#check(login, secret)
    if (right === undefined) {
      authority.attempts.forgive(address)
      return this.#told('unavailable', 'auth_unavailable', name)
    }
    if (!right || login.kind !== 'credential') {
      this.#failures += 1
      const answer = this.#told('denied', 'auth_failed', name)
      return this.#failures >= FAILURES_MAX ? { ...answer, closes: true } : answer
    }
    authority.attempts.forgive(address)
    if (!login.enabled) return this.#told('denied', 'auth_disabled', name)
    this.#credential = login.credential
    metrics.login('ok')
    log.info(
      { client: address, credential: login.credential.name, tenant: login.credential.tenant },
      'client logged in',
    )
    return reply('auth_ok')
  }

  /** Undefined: it cannot be said now. The work is the same whoever is asked for. */
  async #check(login: Login, secret: string): Promise<boolean | undefined> {
    const { turns, checkSecret: check } = this.#house.authority
    const hash = login.kind === 'credential' ? login.credential.secretHash : undefined
    try {
      return await turns.take(() => check(secret, hash))
    } catch (error) {
      this.#house.log.error({ err: error }, 'a secret could not be checked')
      return undefined
    }
  }

  #told(result: 'denied' | 'limited' | 'unavailable', name: ReplyName, credential: string): Reply {
    this.#house.metrics.login(result)
    this.#house.log.info({ client: this.#peer.address, credential: credential.slice(0, 100), result }, 'login refused')
    return reply(name)
  }
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** RFC 4648 4, and UTF-8 inside (RFC 4616 2). */
function decoded(base64: string): { text: string } | 'bad_base64' {
  if (!BASE64.test(base64)) return 'bad_base64'
  try {
    return { text: strict.decode(Buffer.from(base64, 'base64')) }
  } catch {
    return 'bad_base64'
  }
}
