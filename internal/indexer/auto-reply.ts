// What mailboxes answer by themselves (RFC 3834 2 to 4). The decision is a table over facts; its effect, a mail in the queue of the
// outbound channel, is part of the transaction that makes the message's row, so that a message is answered once.

import {
  addressKey,
  isPlainAddress,
  parseMailbox,
  uuidv5,
  type Authentication,
  type MessageMeta,
} from '../envelope/envelope.ts'
import type { AutomaticKind, ParsedMessage } from '../message/message.ts'
import { activeAutoReplies, claimReply, queueOutbound } from '../store/store.ts'
import type { AutoReply, MessageDraft, OutboundMail, Tx } from '../store/store.ts'
import { kindsOf, type Received } from './facts.ts'

/** A message that was received longer ago is not answered: its sender has gone on, or a store is being made again from the log. */
const ANSWERED_WITHIN_MS = 2 * 86_400_000
/** Mailboxes of one message that answer. */
const REPLIES_MAX = 10
/** UTF-16 units of the subject that is answered, and ids of the conversation that are named (RFC 5322 3.6.4). */
const SUBJECT_MAX = 200
const REFERENCES_MAX = 20

/** An id that can stand in our header as it is (RFC 5322 3.6.4); others are not repeated. */
const CLEAN_ID = /^<[!-;=?-~]{1,250}>$/

/** Namespace of the ids of replies, fixed for ever. */
const REPLIES = uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'replies.mail-ingest.invalid')

/** What decides whether anybody may answer a message. */
export interface ReplyFacts {
  /** Reverse path; empty for the null sender. */
  mailFrom: string
  /** The first address of the From header. */
  from: string
  kinds: readonly AutomaticKind[]
  authentication: Authentication | undefined
  submitted: boolean
  replayed: boolean
  ageMs: number
}

/** Local parts of programs (RFC 3834 2, RFC 5230 4.6). */
const PROGRAM =
  /^(mailer-daemon|postmaster|listserv|majordomo|owner-.*|.*-owner|.*-request|.*-relay|.*-outgoing|(.*[-_.+])?bounces?([-_.+=].*)?|(.*[-_.])?(no|not|donot|do-not|do_not|dont)[-_.]?reply([-_.+].*)?)$/i

const localOf = (address: string): string => parseMailbox(address)?.local ?? ''
const domainOf = (address: string): string => parseMailbox(address)?.domain ?? ''

const keyOf = (address: string): string => {
  const mailbox = parseMailbox(address)
  return mailbox === undefined ? address.toLowerCase() : addressKey(mailbox)
}

/** The domain that SPF vouches for, as that of the reverse path (RFC 7208 2.4). */
const ofPath = ({ spf }: Authentication): string[] =>
  spf.result === 'pass' && spf.identity === 'mailfrom' ? [spf.domain] : []

/** Domains that vouch for what is in the mail, its author too: those that sign it (RFC 6376 3.9), and that of DMARC (RFC 9989 5.3). */
const ofContent = ({ dkim, dmarc }: Authentication): string[] => [
  ...dkim.filter(({ result }) => result === 'pass').map(({ domain }) => domain),
  ...(dmarc.result === 'pass' ? [dmarc.domain] : []),
]

/** Whether one of these is the domain of the address, or above it. */
function isWithin(address: string, domains: readonly string[]): boolean {
  const domain = domainOf(address)
  const above = domains.map((each) => each.toLowerCase()).filter((each) => each !== '')
  return domain !== '' && above.some((each) => domain === each || domain.endsWith(`.${each}`))
}

/**
 * The reverse path is vouched for, since that is where the reply goes: who forges it sends our replies to others (backscatter). A
 * signature says nothing of it, also where the domain is the same, unless it is the author's own address.
 */
function isAuthenticated({ mailFrom, from, authentication, submitted }: ReplyFacts): boolean {
  if (submitted || authentication === undefined) return submitted
  const path = ofPath(authentication)
  const all = [...path, ...ofContent(authentication)]
  return isWithin(from, all) && isWithin(mailFrom, keyOf(mailFrom) === keyOf(from) ? all : path)
}

/** Why nobody answers a message, the first reason that holds; documented in docs/automatic-mail.md. */
export const NO_REPLY = {
  replayed: 'it was indexed again',
  old: 'it came too long ago',
  null_sender: 'nobody is to be answered (RFC 5321 4.5.5)',
  program: 'the sender is named like a program (RFC 3834 2)',
  odd_sender: 'the sender’s name is more than plain ASCII',
  automatic: 'a program wrote it, or a list passed it on (RFC 3834 2)',
  unauthenticated: 'nothing shows that it is from its sender',
} as const satisfies Record<string, string>
export type NoReply = keyof typeof NO_REPLY

const HOLDS: Record<NoReply, (facts: ReplyFacts) => boolean> = {
  replayed: ({ replayed }) => replayed,
  old: ({ ageMs }) => !(ageMs < ANSWERED_WITHIN_MS),
  null_sender: ({ mailFrom }) => mailFrom === '',
  program: ({ mailFrom, from }) => [mailFrom, from].some((each) => PROGRAM.test(localOf(each))),
  odd_sender: ({ mailFrom }) => !isPlainAddress(mailFrom),
  automatic: ({ kinds }) => kinds.length > 0,
  unauthenticated: (facts) => !isAuthenticated(facts),
}

/** Undefined where its mailboxes may answer. */
export const whyNoReply = (facts: ReplyFacts): NoReply | undefined =>
  (Object.keys(NO_REPLY) as NoReply[]).find((reason) => HOLDS[reason](facts))

export function replyFacts(
  { replay }: Pick<Received, 'replay'>,
  { meta, message, now }: { meta: MessageMeta; message: ParsedMessage; now: number },
): ReplyFacts {
  const { mailFrom, authentication, submitted, receivedAt } = meta.envelope
  return {
    mailFrom,
    from: message.from[0]?.address ?? '',
    kinds: kindsOf(meta, message),
    authentication,
    submitted: submitted === true,
    replayed: replay !== undefined,
    ageMs: now - Date.parse(receivedAt),
  }
}

/** Mailboxes of the message that its header names, as they are or as they were written to (RFC 3834 2); never the sender itself. */
export function namedMailboxes(
  { envelope }: MessageMeta,
  { to, cc, bcc }: Pick<ParsedMessage, 'to' | 'cc' | 'bcc'>,
): string[] {
  const named = new Set([...to, ...cc, ...bcc].map(({ address }) => keyOf(address)))
  const sender = keyOf(envelope.mailFrom)
  const mailboxes = envelope.recipients
    .filter(({ address, mailbox }) => named.has(keyOf(address)) || named.has(keyOf(mailbox)))
    .map(({ mailbox }) => keyOf(mailbox))
    .filter((mailbox) => mailbox !== sender)
  return [...new Set(mailboxes)].slice(0, REPLIES_MAX)
}

/** What goes out, before it is composed (RFC 3834 3.1, 4). */
export function replyMail(
  { address, subject, body }: Pick<AutoReply, 'address' | 'subject' | 'body'>,
  about: Pick<MessageDraft, 'mailFrom' | 'subject'> & { message: ParsedMessage; now: number },
): OutboundMail {
  const { mailFrom, message, now } = about
  const original = (subject ?? about.subject ?? '').slice(0, SUBJECT_MAX).toWellFormed()
  const [inReplyTo = null] = [message.headerMessageId ?? ''].filter((id) => CLEAN_ID.test(id))
  const earlier = (message.references.length > 0 ? message.references : message.inReplyTo).filter((id) =>
    CLEAN_ID.test(id),
  )
  return {
    from: address,
    to: mailFrom,
    subject: `Auto: ${original === '' ? 'your message' : original}`,
    text: body,
    date: now,
    inReplyTo,
    references: inReplyTo === null ? [] : [...earlier.slice(-REFERENCES_MAX), inReplyTo],
    autoSubmitted: 'auto-replied',
  }
}

export interface Answering {
  event: Pick<Received, 'replay'>
  row: MessageDraft
  meta: MessageMeta
  message: ParsedMessage
  now: number
}

/** Queues the replies of the message's mailboxes. Done twice it queues none again. */
export async function answer(tx: Tx, { event, row, meta, message, now }: Answering): Promise<void> {
  if (whyNoReply(replyFacts(event, { meta, message, now })) !== undefined) return
  const { id, tenant, mailFrom } = row
  const addresses = namedMailboxes(meta, message)
  for (const reply of await activeAutoReplies(tx, { tenant, addresses, now })) {
    const { address, everyMs } = reply
    if (!(await claimReply(tx, { address, sender: keyOf(mailFrom), everyMs, now }))) continue
    const replyId = uuidv5(REPLIES, `${id}\n${address}`)
    await queueOutbound(tx, {
      id: replyId,
      tenant,
      purpose: 'auto_reply',
      aboutMessageId: id,
      headerMessageId: `<auto-${replyId}@${domainOf(address)}>`,
      mail: replyMail(reply, { ...row, message, now }),
      now,
    })
  }
}
