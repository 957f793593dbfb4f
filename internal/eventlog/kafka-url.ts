// Where the brokers are and how to prove who we are: from the URL and the KAFKA_* settings to what the client wants.

export { brokersOf } from '../config/config.ts'

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
