// What EHLO announces; nothing is announced that is not honoured on the whole way behind (DSN, REQUIRETLS, BINARYMIME are not).

import { AUTH_KEYWORD } from './auth.ts'
import type { House, Peer } from './house.ts'

export function extensions({ limits, certificates }: House, { listener, tls }: Peer): string[] {
  return [
    'PIPELINING', // RFC 2920 3
    `SIZE ${limits.messageBytesMax}`, // RFC 1870 4
    '8BITMIME', // RFC 6152 2
    'SMTPUTF8', // RFC 6531 3.1
    'ENHANCEDSTATUSCODES', // RFC 2034 3
    'CHUNKING', // RFC 3030 2
    ...(certificates !== undefined && tls === undefined ? ['STARTTLS'] : []), // RFC 3207 4.2: no more inside TLS
    ...(listener === 'submission' && tls !== undefined ? [AUTH_KEYWORD] : []), // RFC 4954 3
    `LIMITS RCPTMAX=${limits.recipientsMax}`, // RFC 9422 4
  ]
}
