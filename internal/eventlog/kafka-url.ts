// Where the brokers are and how to prove who we are: from the URL and the KAFKA_* settings to what the client wants.

/** `kafka://host:port,host:port`; the port may be missing. */
const URL_SHAPE = /^kafka:\/\/([^/?#]+)\/?$/
const BROKER_SHAPE = /^(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(\d{1,5}))?$/i
const PORT = 9092

/** `host:port` of each broker that the URL names. Throws TypeError with what is wrong. */
export function brokersOf(url: string): string[] {
  const list = URL_SHAPE.exec(url)?.[1]
  if (list === undefined) throw new TypeError(`must be like kafka://host:9092,host:9092, got ${JSON.stringify(url)}`)
  return list.split(',').map((broker) => {
    const [, host = '', port = String(PORT)] = BROKER_SHAPE.exec(broker) ?? []
    if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
      throw new TypeError(`must name brokers like host:9092, got ${JSON.stringify(broker)}`)
    }
    return `${host}:${port}`
  })
}

export const SASL_MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
export type SaslMechanism = (typeof SASL_MECHANISMS)[number]

export interface KafkaSecurity {
  /** TLS; `ca` is PEM, and without it the CAs that Node knows are trusted. Undefined: plain text. */
  tls?: { ca?: string }
  sasl?: { mechanism: SaslMechanism; username: string; password: string }
}

/** What the settings give, each empty if it is not set. */
export interface SecurityTexts {
  /** PEM of the CA, `system` for the CAs that Node knows, or empty for no TLS. */
  tlsCa: string
  saslMechanism: string
  saslUsername: string
  saslPassword: string
}

/** Throws TypeError, in words that follow the setting's name, for half a login and for a password in plain text. */
export function securityOf(texts: SecurityTexts): KafkaSecurity {
  const { tlsCa, saslMechanism, saslUsername: username, saslPassword: password } = texts
  const tls = tlsCa === '' ? {} : { tls: tlsCa === 'system' ? {} : { ca: tlsCa } }
  const given = [saslMechanism, username, password].filter((text) => text !== '').length
  if (given === 0) return tls
  if (given < 3) throw new TypeError('KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD must be set together')
  const mechanism = SASL_MECHANISMS.find((each) => each === saslMechanism.toLowerCase())
  if (mechanism === undefined) throw new TypeError(`KAFKA_SASL_MECHANISM must be one of ${SASL_MECHANISMS.join(', ')}`)
  if (mechanism === 'plain' && tlsCa === '') {
    throw new TypeError('KAFKA_SASL_MECHANISM plain sends the password as it is and needs KAFKA_TLS_CA')
  }
  return { ...tls, sasl: { mechanism, username, password } }
}
