// What the front door counts of TLS and of logins.

import type { Registry } from '@prometheus-io/client'
import { counter } from './counter.ts'

const VERSIONS = ['1.2', '1.3', 'none'] as const
const LOGINS = ['ok', 'denied', 'limited', 'unavailable'] as const

export interface TlsMetrics {
  /** `version` as Node names it; undefined: no handshake came to an end. */
  handshake(version: string | undefined): void
  login(result: (typeof LOGINS)[number]): void
}

export function tlsMetrics(registers: Registry[]): TlsMetrics {
  const handshakes = counter(registers, 'smtp_tls_handshakes_total', 'TLS handshakes, by what was agreed.', {
    version: VERSIONS,
    result: ['ok', 'failed'],
  })
  const logins = counter(registers, 'smtp_auth_attempts_total', 'Attempts to log in, by what became of them.', {
    result: LOGINS,
  })
  return {
    handshake(version) {
      const known = VERSIONS.find((each) => version === `TLSv${each}`)
      handshakes.inc({ version: known ?? 'none', result: known === undefined ? 'failed' : 'ok' })
    },
    login: (result) => logins.inc({ result }),
  }
}
