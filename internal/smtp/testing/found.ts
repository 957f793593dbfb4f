// An authenticator whose findings a dialog gives: `spf=fail dkim=none dmarc=fail/reject sender=null_mx`, and what is not given passes.

import type { Authenticator } from '../../authentication/authentication.ts'
import type { Authentication } from '../../envelope/envelope.ts'

export function authenticatorThatFinds(text: string): Authenticator {
  const given = Object.fromEntries(text.split(' ').map((pair) => pair.split('=')))
  const [dmarc = 'pass', policy = 'none'] = (given['dmarc'] ?? '').split('/').filter(Boolean)
  const results = {
    spf: { result: given['spf'] ?? 'pass', identity: 'mailfrom', domain: 'relay.example' },
    dkim: [{ result: given['dkim'] ?? 'pass', domain: 'relay.example', selector: 's' }],
    arc: { result: 'none' },
    dmarc: { result: dmarc, domain: 'relay.example', policy },
    iprev: { result: 'pass', name: 'mx.relay.example' },
    senderDomain: { result: given['sender'] ?? 'reachable', domain: 'relay.example' },
  } as Authentication
  return {
    begin({ mailFrom }) {
      let bytes = 0
      return {
        write: async (chunk) => void (bytes += chunk.length),
        end: async () => ({
          results,
          header: `Authentication-Results: mx.example; x-read=${bytes} from=<${mailFrom}>\r\n`,
        }),
        abort: () => undefined,
      }
    },
  }
}
