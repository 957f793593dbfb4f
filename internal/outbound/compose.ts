// The octets of a mail of ours (RFC 5322 3.6). Composing is nodemailer's: it encodes what is not ASCII and folds, and no value can
// begin a field of its own.

import MailComposer from 'nodemailer/lib/mail-composer'
import type { OutboundMail } from '../store/store.ts'

/** The same octets on every try. */
export async function composed(mail: OutboundMail, headerMessageId: string): Promise<Buffer> {
  const { from, to, subject, text, date, inReplyTo, references, autoSubmitted } = mail
  const node = new MailComposer({
    from: { name: '', address: from },
    to: { name: '', address: to },
    subject,
    text,
    textEncoding: 'quoted-printable',
    date: new Date(date),
    messageId: headerMessageId,
    ...(inReplyTo !== null && { inReplyTo }),
    ...(references.length > 0 && { references }),
    headers: { 'Auto-Submitted': autoSubmitted, 'X-Auto-Response-Suppress': 'All' },
    newline: 'windows',
    disableFileAccess: true,
    disableUrlAccess: true,
  }).compile()
  return node.build()
}
