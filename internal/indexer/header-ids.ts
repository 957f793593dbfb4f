// The Message-ID that a message goes by (R16), and the ids that link it to its conversation (R22).

import { createHash } from 'node:crypto'
import type { ParsedMessage } from '../message/message.ts'

/** Ids of our own making. A sender that writes one is taken to have written none: the two kinds never meet. */
const SYNTHETIC = /^<synthetic-[0-9a-f]{16}@[^@]*\.generated>$/i

/** Ids of one message that link conversations; of more, the first and the last count (RFC 5322 3.6.4: oldest first). */
const REFERENCES_FIRST = 10
const REFERENCES_LAST = 40
const IN_REPLY_TO_MAX = 10

export type HeaderId =
  | { kind: 'own'; id: string }
  /** `plain` is hashed from the headers; `exact` from the content as well, for when another content has the plain one. */
  | { kind: 'synthetic'; plain: string; exact: string }

const idOf = (hashed: string, domain: string): string =>
  `<synthetic-${createHash('sha256').update(hashed).digest('hex').slice(0, 16)}@${domain}.generated>`

/** The synthetic id that takes the content hash in as well: `sha256` is that of the raw bytes. */
export function exactId(plain: string, sha256: string): string {
  const domain = plain.slice(plain.indexOf('@') + 1, -'.generated>'.length)
  return idOf(plain + sha256, domain)
}

/** `domain` is the recipient's. */
export function headerIdOf(message: ParsedMessage, facts: { sha256: string; domain: string }): HeaderId {
  const own = message.headerMessageId
  if (own !== undefined && !SYNTHETIC.test(own)) return { kind: 'own', id: own }
  const { fromRaw = '', toRaw = '', subjectRaw = '', dateRaw = '' } = message
  const plain = idOf(fromRaw + toRaw + subjectRaw + dateRaw, facts.domain)
  return { kind: 'synthetic', plain, exact: exactId(plain, facts.sha256) }
}

/** The message's own id first. A synthetic id counts by its exact form, which does not depend on other messages. */
export function linkedIds(message: ParsedMessage, header: HeaderId): string[] {
  const { references } = message
  const kept =
    references.length <= REFERENCES_FIRST + REFERENCES_LAST
      ? references
      : [...references.slice(0, REFERENCES_FIRST), ...references.slice(-REFERENCES_LAST)]
  const own = header.kind === 'own' ? header.id : header.exact
  return [own, ...message.inReplyTo.slice(0, IN_REPLY_TO_MAX), ...kept]
}
