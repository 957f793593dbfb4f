// What the checks came to (row 33 of the metric catalogue). Labels are closed sets that begin at zero.

import { Counter, type Registry } from '@prometheus-io/client'
import {
  ARC_RESULTS,
  DKIM_RESULTS,
  DMARC_RESULTS,
  IPREV_RESULTS,
  SENDER_DOMAIN_RESULTS,
  SPF_RESULTS,
  type Authentication,
} from '../envelope/envelope.ts'

const METHODS = {
  spf: SPF_RESULTS,
  dkim: DKIM_RESULTS,
  dmarc: DMARC_RESULTS,
  arc: ARC_RESULTS,
  iprev: IPREV_RESULTS,
  sender_domain: SENDER_DOMAIN_RESULTS,
} as const

export interface AuthenticationMetrics {
  found(results: Authentication): void
}

/** Declares the metric in `registry`; once for each registry. */
export function authenticationMetrics(registry: Registry): AuthenticationMetrics {
  const results = new Counter({
    name: 'mail_ingest_auth_results_total',
    help: 'What the checks of senders came to; DKIM counts each signature.',
    labelNames: ['method', 'result'] as const,
    registers: [registry],
  })
  for (const [method, values] of Object.entries(METHODS)) {
    for (const result of values) results.inc({ method, result }, 0)
  }
  return {
    found({ spf, dkim, dmarc, arc, iprev, senderDomain }) {
      for (const { result } of dkim) results.inc({ method: 'dkim', result })
      for (const [method, { result }] of Object.entries({ spf, dmarc, arc, iprev })) results.inc({ method, result })
      if (senderDomain !== undefined) results.inc({ method: 'sender_domain', result: senderDomain.result })
    },
  }
}
