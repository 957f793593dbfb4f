// What a client has to do before a command counts: TLS where it is demanded, and on the submission listener to say who it is.

import type { Peer } from './house.ts'
import type { ReplyName } from './replies.ts'

/** What plain text may say where TLS is demanded (RFC 3207 4). BDAT reads its octets and is refused for want of a sender. */
const WITHOUT_TLS = new Set(['EHLO', 'NOOP', 'QUIT', 'STARTTLS', 'BDAT'])

/** Who asks. */
export interface Standing {
  peer: Pick<Peer, 'listener' | 'tls'>
  requireTls: boolean
  authenticated: boolean
}

/** Why `verb` is not for this client now; undefined where it is. */
export function barrier(verb: string, { peer, requireTls, authenticated }: Standing): ReplyName | undefined {
  const submission = peer.listener === 'submission'
  if ((requireTls || submission) && peer.tls === undefined && !WITHOUT_TLS.has(verb)) {
    // RFC 4954 6: a secret is not to be sent in plain text.
    return submission && verb === 'AUTH' ? 'need_tls_for_auth' : 'need_tls'
  }
  // RFC 6409 4.3.
  return submission && verb === 'MAIL' && !authenticated ? 'need_auth' : undefined
}
