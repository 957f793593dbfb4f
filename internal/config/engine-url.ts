// URLs that choose the engines. Their shape is checked here, so that a slip of the keyboard is told at the start and not by an
// engine that cannot be found. No message repeats a URL: somebody may have put a password into it.

import { resolve } from 'node:path'
import { s3Place } from './s3-place.ts'

/** Where an embedded engine keeps its data: the path of `file:` and `sqlite:` URLs. */
export const enginePath = (url: string): string => url.slice(url.indexOf(':') + 1)

/** The part of an engine's URL that says which engine. */
export const engineOf = (url: string): string => url.slice(0, url.indexOf(':'))

/** An engine's URL with one of the schemes that have an adapter; a relative path is taken from where the process was started. */
export const engineUrl =
  (...schemes: readonly Scheme[]) =>
  (value: string): string => {
    const scheme = schemes.find((each) => value.startsWith(`${each}:`))
    if (scheme !== undefined) return READ[scheme](value)
    const given = /^[a-z0-9+.-]{1,20}:/i.exec(value)?.[0]
    const got = given === undefined ? '' : `, got ${JSON.stringify(given)}`
    throw new TypeError(`must be a URL that begins with ${schemes.map((each) => `${each}:`).join(' or ')}${got}`)
  }

/** What is wrong throws TypeError, in words that follow the setting's name. */
const READ = {
  file: embedded,
  sqlite: embedded,
  s3: (url: string) => (s3Place(url), url),
  kafka: (url: string) => (brokersOf(url), url),
  postgresql: databaseUrl,
  postgres: databaseUrl,
} as const
type Scheme = keyof typeof READ

function embedded(url: string): string {
  if (enginePath(url) === '') throw new TypeError(`must name a path after ${engineOf(url)}:`)
  return `${engineOf(url)}:${resolve(enginePath(url))}`
}

const KAFKA_SHAPE = /^kafka:\/\/([^/?#]+)\/?$/
const BROKER_SHAPE = /^(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(\d{1,5}))?$/i
const KAFKA_PORT = 9092

/** `host:port` of each broker of `kafka://host:port,host`. Throws TypeError with what is wrong. */
export function brokersOf(url: string): string[] {
  const list = KAFKA_SHAPE.exec(url)?.[1]
  if (list === undefined) throw new TypeError('must be like kafka://host:9092,host:9092')
  if (list.includes('@')) throw new TypeError('must hold no credentials; KAFKA_SASL_USERNAME and _PASSWORD do')
  return list.split(',').map((broker) => {
    const [, host = '', port = String(KAFKA_PORT)] = BROKER_SHAPE.exec(broker) ?? []
    if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
      throw new TypeError(`must name brokers like host:9092, got ${JSON.stringify(broker)}`)
    }
    return `${host}:${port}`
  })
}

/** Those of PostgreSQL's client library; another word would be taken for none, and the connection be in plain text. */
const SSL_MODES = new Set(['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'])

function databaseUrl(url: string): string {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url) || new URL(url).hash !== '') {
    const escaped = 'in a password # / ? @ % are written as %23 %2F %3F %40 %25'
    throw new TypeError(`must be like postgresql://USER:PASSWORD@HOST:5432/DATABASE; ${escaped}`)
  }
  const mode = new URL(url).searchParams.get('sslmode')
  if (mode !== null && !SSL_MODES.has(mode)) {
    throw new TypeError(`must have one of ${[...SSL_MODES].join(', ')} as sslmode, got ${JSON.stringify(mode)}`)
  }
  return url
}
