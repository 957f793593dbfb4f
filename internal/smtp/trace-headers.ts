// The header lines that the last hop adds (RFC 5321 4.4), kept beside the bytes and never mixed into them.

import { isIPv4, isIPv6 } from 'node:net'
import { parseMailbox } from '../envelope/envelope.ts'
import type { Secured } from './house.ts'

export interface TraceFacts {
  entryId: string
  /** Our name. */
  hostname: string
  /** The peer's address. */
  address: string
  /** What the peer called itself, as it was given. */
  helo: string
  /** EHLO rather than HELO. */
  extended: boolean
  tls?: Secured
  authenticated: boolean
  smtpUtf8: boolean
  /** Reverse path without brackets. */
  mailFrom: string
  /** Addresses as written. */
  recipients: readonly string[]
  receivedAtMs: number
  /** The peer's name, where it leads back to its address. */
  peerName?: string | undefined
}

/** `returnPath` and `received`, each whole lines that end with CRLF. */
export function traceHeaders(facts: TraceFacts): { returnPath: string; received: string } {
  const lines = [
    `Received: from ${fromClause(facts)}`,
    `\tby ${facts.hostname} with ${protocol(facts)} id ${facts.entryId}`,
    ...forClause(facts.recipients),
    ...tlsClause(facts.tls),
  ]
  const received = `${lines.join('\r\n')}; ${dateTime(facts.receivedAtMs)}\r\n`
  return { returnPath: `Return-Path: <${facts.mailFrom}>\r\n`, received }
}

/** RFC 3848 2 and RFC 6531 3.7.1. HELO has no letters of its own. */
function protocol({ extended, smtpUtf8, tls, authenticated }: TraceFacts): string {
  if (!extended) return 'SMTP'
  return `${smtpUtf8 ? 'UTF8SMTP' : 'ESMTP'}${tls === undefined ? '' : 'S'}${authenticated ? 'A' : ''}`
}

/** RFC 8314 4.3: behind FOR, where further clauses stand (RFC 5321 4.4). */
const tlsClause = (tls: Secured | undefined): string[] =>
  tls === undefined ? [] : [`\ttls ${tls.cipher} (${comment(tls.version)})`]

/** Only with a single recipient: the others' names are nobody's business (RFC 5321 7.2). */
const forClause = ([only, ...others]: readonly string[]): string[] =>
  only === undefined || others.length > 0 ? [] : [`\tfor <${only}>`]

/** What is no domain and no address literal would break the grammar, so it moves into a comment. */
function fromClause({ helo, address, peerName }: TraceFacts): string {
  const literal = peerName === undefined ? addressLiteral(address) : `${peerName} ${addressLiteral(address)}`
  const name = parseMailbox(`x@${helo}`) === undefined || !/^[!-~]+$/.test(helo) ? undefined : helo
  return name === undefined ? `${literal} (helo ${comment(helo)})` : `${name} (${literal})`
}

/** RFC 5321 4.1.3. */
function addressLiteral(address: string): string {
  if (isIPv4(address)) return `[${address}]`
  return isIPv6(address) ? `[IPv6:${address}]` : '[0.0.0.0]'
}

const COMMENT_CHARS_MAX = 100

/** Printable ASCII without what a comment gives a meaning to (RFC 5322 3.2.2). */
const comment = (text: string): string => text.replaceAll(/[^ -~]|[()\\]/g, '?').slice(0, COMMENT_CHARS_MAX)

/** RFC 5322 3.3, always UTC. */
const dateTime = (ms: number): string => new Date(ms).toUTCString().replace('GMT', '+0000')
