// Parsers of setting values. Each returns the value or throws a TypeError whose message completes "SMTP_PORT: ...".
// A bad limit is refused, never replaced by a default: NaN would turn a guard off.

import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import { isAbsolute, resolve } from 'node:path'

const refuse = (what: string, text: string): never => {
  throw new TypeError(`must be ${what}, got ${JSON.stringify(text)}`)
}

/** A whole number within bounds, in the unit that the setting names. */
export const whole =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : refuse(`a whole number from ${min} to ${max}`, text)
  }

export const oneOf =
  <T extends string>(...values: readonly T[]) =>
  (text: string): T =>
    values.find((value) => value === text) ?? refuse(`one of ${values.join(', ')}`, text)

export const text = (value: string): string => (value.trim() === '' ? refuse('set', value) : value)

/** A text that may be empty; whoever uses it checks it. */
export const anything = (value: string): string => value

/** A directory or file; relative ones are taken from where the process was started. */
export const path = (value: string): string => (isAbsolute(text(value)) ? value : resolve(value))

/** Several files, with commas between them; empty for none. */
export const paths = (value: string): readonly string[] => listed(value).map(path)

const listed = (value: string): string[] => (value.trim() === '' ? [] : value.split(',').map((each) => each.trim()))

export const flag = (value: string): boolean => oneOf('true', 'false')(value) === 'true'

/** A port, or `off` for no such listener. */
export const port = (value: string): number | undefined => (value === 'off' ? undefined : whole(0, 65_535)(value))

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const DOMAIN = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})*$`)

/** A domain name in A-labels (RFC 5890 2.3.2.1), made lower-case. */
export const domain = (value: string): string =>
  DOMAIN.test(value.toLowerCase()) ? value.toLowerCase() : refuse('a domain name', value)

/** `local@domain`. */
export const address = (value: string): string => {
  const at = value.lastIndexOf('@')
  if (at < 1) return refuse('an address like postmaster@example.org', value)
  return `${value.slice(0, at)}@${domain(value.slice(at + 1))}`
}

/** The local part before the plus: letters, digits and dashes. */
export const localPart = (value: string): string =>
  /^[a-z0-9-]{1,32}$/i.test(value) ? value.toLowerCase() : refuse('1 to 32 letters, digits or dashes', value)

/** An IP address to bind. */
export const host = (value: string): string =>
  /^[0-9a-f.:]+$/i.test(value) || value === 'localhost' ? value : refuse('an IP address', value)

/** Addresses and networks in CIDR notation (RFC 4632 3.1, RFC 4291 2.3), divided by commas; may be empty. */
export const networks = (value: string): BlockList => {
  const list = new BlockList()
  for (const each of value
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)) {
    const [, address = '', bits] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(each) ?? []
    const width = isIPv4(address) ? 32 : isIPv6(address) ? 128 : 0
    const length = Number(bits ?? width)
    if (width === 0 || length > width) return refuse('addresses and networks like 192.0.2.0/24, 2001:db8::/32', value)
    list.addSubnet(address, length, width === 32 ? 'ipv4' : 'ipv6')
  }
  return list
}

/** Addresses of servers, each with or without a port, separated by commas; or nothing. */
export const ipAddresses = (value: string): string[] =>
  value === '' ? [] : value.split(',').map((each) => ipAddress(each.trim(), value))

function ipAddress(each: string, all: string): string {
  const [, address = each, port = '53'] =
    /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(each) ?? /^([\d.]+):(\d{1,5})$/.exec(each) ?? []
  const valid = isIP(address) !== 0 && Number(port) >= 1 && Number(port) <= 65_535
  return valid ? each : refuse('addresses like 192.0.2.53 or [2001:db8::53]:53, separated by commas', all)
}

export interface Listen {
  host: string
  port: number
}

/** `host:port`. */
export const listen = (value: string): Listen => {
  const match = /^(?:\[([0-9a-f:]+)\]|([0-9a-z.-]+)):(\d{1,5})$/i.exec(value)
  const port = Number(match?.[3] ?? Number.NaN)
  if (match === null || !(port <= 65_535)) return refuse('like 127.0.0.1:9090', value)
  return { host: match[1] ?? match[2] ?? '', port }
}

/** Several `host:port`, with commas between them; empty for none. */
export const places = (value: string): readonly Listen[] => listed(value).map(listen)

/** `host:port` on this machine only (R29): metrics tell strangers too much. */
export const loopbackListen = (value: string): Listen => {
  const place = listen(value)
  const loopback = place.host === 'localhost' || place.host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(place.host)
  return loopback ? place : refuse('a loopback address such as 127.0.0.1:9090', value)
}

/** The relay that mail of ours goes out by. */
export interface OutboundPlace {
  host: string
  port: number
  /** TLS from the first octet. */
  secure: boolean
  credentials?: { user: string; pass: string }
}

/** `smtp://USER:PASSWORD@HOST:PORT` or `smtps://…`; empty for none. What is wrong is told without the URL: it holds a password. */
export const outboundUrl = (value: string): OutboundPlace | undefined => {
  if (value === '') return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  const bare = url !== undefined && /^\/?$/.test(url.pathname) && url.search === '' && url.hash === ''
  if (url === undefined || !bare || !/^smtps?:$/.test(url.protocol) || url.hostname === '' || url.port === '0') {
    const escaped = 'in a password / ? # @ % are written as %2F %3F %23 %40 %25'
    throw new TypeError(`must be like smtp://USER:PASSWORD@HOST:587 or smtps://HOST; ${escaped}`)
  }
  const secure = url.protocol === 'smtps:'
  const credentials = credentialsIn(url)
  const usual = secure ? 465 : credentials === undefined ? 25 : 587
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? usual : Number(url.port),
    secure,
    ...(credentials && { credentials }),
  }
}

function credentialsIn({ username, password }: URL): { user: string; pass: string } | undefined {
  if (username === '' && password === '') return undefined
  if (username === '' || password === '') throw new TypeError('must have both a user and a password, or none')
  try {
    return { user: decodeURIComponent(username), pass: decodeURIComponent(password) }
  } catch {
    throw new TypeError('must have two hex digits after each % of its user and password')
  }
}

/** Where a malware scanner listens. */
export type ScannerPlace = { host: string; port: number } | { path: string }

/** `clamd://host:port` or `clamd:///path`; empty for none. */
export const scannerUrl = (value: string): ScannerPlace | undefined => {
  if (value === '') return undefined
  const [, path, place] = /^clamd:\/\/(?:(\/.+)|([^/]+))$/.exec(value) ?? []
  if (path !== undefined) return { path }
  if (place === undefined) return refuse('like clamd://127.0.0.1:3310 or clamd:///run/clamav/clamd.ctl', value)
  return listen(place)
}
