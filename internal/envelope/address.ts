// Addresses as SMTP writes them: paths, mailboxes, quoted strings (RFC 5321 4.1.2, with RFC 6531 3.3 for UTF-8).

import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'

/** One address, in the form that two spellings of the same mailbox share. */
export interface Mailbox {
  /** Local part without quoting, case kept (RFC 5321 2.4). */
  local: string
  /** Lower-case A-labels or an address literal with its brackets; empty only for a bare `postmaster`. */
  domain: string
  /** As the client wrote it, without source route. */
  text: string
}

/** Octets, RFC 5321 4.5.3.1.1 to 4.5.3.1.3. The path's limit counts its angle brackets. */
export const ADDRESS_LIMITS = { localBytesMax: 64, domainBytesMax: 255, pathBytesMax: 256 } as const

// Atext and qtext grow by UTF8-non-ascii in RFC 6531 3.3. C1 controls and the replacement character are never part of an
// address: the first is invisible, the second is what broken input was turned into.
const UTF8 = '\\u{a0}-\\u{fffc}\\u{10000}-\\u{10ffff}'
const ATOM = `[A-Za-z0-9!#$%&'*+\\-/=?^_\`{|}~${UTF8}]+`
const DOT_STRING = new RegExp(`^${ATOM}(\\.${ATOM})*$`, 'u')
const QUOTED_STRING = new RegExp(`^"((?:[ !#-\\[\\]-~${UTF8}]|\\\\[ -~])*)"$`, 'u')
const LDH_LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const DOMAIN = new RegExp(`^${LDH_LABEL}(\\.${LDH_LABEL})*$`)
/** RFC 6531 3.3 adds nothing in ASCII; the host parser would drop what follows a slash and undo percent signs. */
const U_LABELS = new RegExp(`^[-A-Za-z0-9.${UTF8}]+$`, 'u')
const SOURCE_ROUTE = /^@[^\s,:@"]+(,@[^\s,:@"]+)*:/

/**
 * The path between the angle brackets of MAIL or RCPT. `null` is the null reverse-path (RFC 5321 4.5.5), which RCPT does not
 * allow; `undefined` is a syntax error. A bare `postmaster` has an empty domain (RFC 5321 4.1.1.3).
 */
export function parsePath(text: string): Mailbox | null | undefined {
  if (text === '') return null
  if (Buffer.byteLength(text) + 2 > ADDRESS_LIMITS.pathBytesMax) return undefined
  if (text.toLowerCase() === 'postmaster') return { local: text, domain: '', text }
  // RFC 5321 4.1.2 and F.2: a source route must be taken and should be ignored.
  return parseMailbox(text.replace(SOURCE_ROUTE, ''))
}

/** `local@domain`, or undefined where that breaks the grammar or a limit of RFC 5321 4.1.2 and 4.5.3.1. */
export function parseMailbox(text: string): Mailbox | undefined {
  const at = text.lastIndexOf('@')
  if (at < 1) return undefined
  const local = unquoted(text.slice(0, at))
  const domain = canonicalDomain(text.slice(at + 1))
  return local === undefined || domain === undefined ? undefined : { local, domain, text }
}

/** What two spellings of one mailbox share: no case (RFC 5321 2.4 leaves that to us), one form of each letter (RFC 6530 10.1). */
export const addressKey = ({ local, domain }: Pick<Mailbox, 'local' | 'domain'>): string =>
  `${local.normalize('NFC').toLowerCase()}@${domain}`

/** Whether an address needs neither quotes nor SMTPUTF8 to be written to: an ASCII Dot-string (RFC 5321 4.1.2), and a domain. */
export function isPlainAddress(text: string): boolean {
  const local = parseMailbox(text)?.local ?? ''
  return DOT_STRING.test(local) && /^[!-~]+$/.test(local)
}

/** Quoting is only a way to write: `"abc"` and `abc` are one local part (RFC 5321 4.1.2). */
function unquoted(text: string): string | undefined {
  if (Buffer.byteLength(text) > ADDRESS_LIMITS.localBytesMax) return undefined
  if (DOT_STRING.test(text)) return text
  return QUOTED_STRING.exec(text)?.[1]?.replaceAll(/\\(.)/g, '$1')
}

/** Lower-case A-labels of a name in A- or U-labels (RFC 5890 2.3.2.1), or an address literal; undefined where it is neither. */
export function canonicalDomain(text: string): string | undefined {
  if (Buffer.byteLength(text) > ADDRESS_LIMITS.domainBytesMax) return undefined
  if (text.startsWith('[')) return addressLiteral(text)
  // Only U-labels go through the URL host parser: on ASCII names it would also turn `1.2.3` into an address.
  const ascii = /^[\u0021-\u007e]*$/.test(text) ? text.toLowerCase() : U_LABELS.test(text) ? domainToASCII(text) : ''
  return DOMAIN.test(ascii) && !isIPv4(ascii) ? ascii : undefined
}

/** RFC 5321 4.1.3. */
function addressLiteral(text: string): string | undefined {
  const inner = /^\[(.*)\]$/.exec(text)?.[1]
  if (inner === undefined) return undefined
  const v6 = /^IPv6:(.*)$/i.exec(inner)?.[1]
  return isIPv4(inner) || (v6 !== undefined && isIPv6(v6)) ? text.toLowerCase() : undefined
}
