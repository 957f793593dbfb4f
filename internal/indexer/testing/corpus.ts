// Generated corpora that contend for header ids, contents and conversations as much as a few mails can.

import * as fc from 'fast-check'
import { mail, type Mail } from './bed.ts'

const TENANTS = [['acme'], ['globex'], ['acme', 'globex']]

/** One accepted transaction. Few choices each, so that they meet. */
const transaction = fc.record({
  tenants: fc.constantFrom(...TENANTS),
  /** Message-ID, or none: then a synthetic one. */
  id: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined, freq: 3 }),
  references: fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { maxLength: 2 }),
  body: fc.integer({ min: 0, max: 2 }),
  attachment: fc.option(fc.integer({ min: 0, max: 1 }), { nil: undefined }),
  /** A delivery report, set aside by a limit of the parser, or with no raw object. */
  fate: fc.constantFrom('whole', 'whole', 'whole', 'whole', 'report', 'poison', 'lost'),
})

export type Transaction = typeof transaction extends fc.Arbitrary<infer T> ? T : never

export interface Corpus {
  mails: Mail[]
  /** Those whose raw object is not there. */
  lost: Mail[]
}

/** From eight to sixteen transactions, the oldest first. */
export const transactions: fc.Arbitrary<Transaction[]> = fc.array(transaction, { minLength: 8, maxLength: 16 })

export function corpusOf(list: readonly Transaction[]): Corpus {
  const made = list.map((each, at) => ({ ...each, mails: mailsOf(each, at + 1) }))
  return {
    mails: made.flatMap(({ mails }) => mails),
    lost: made.flatMap(({ mails, fate }) => (fate === 'lost' ? mails : [])),
  }
}

const mailsOf = (of: Transaction, n: number): Mail[] => of.tenants.map((tenant) => mail(n, textOf(of), { tenant }))

const idOf = (n: number) => `<m${n}@x>`

function textOf({ id, references, body, attachment, fate }: Transaction): string {
  const head = [
    'From: Ann <ann@example.org>',
    'To: orders@mail.localhost',
    `Subject: about ${body}`,
    'Date: Mon, 01 Jan 2024 10:00:00 +0000',
    ...(id === undefined ? [] : [`Message-ID: ${idOf(id)}`]),
    ...(references.length === 0 ? [] : [`References: ${references.map(idOf).join(' ')}`]),
    ...(fate === 'poison' ? [`${'X: y\n'.repeat(20_000)}X: y`] : []),
  ].join('\n')
  if (fate === 'report') return `${head}\n${reportOn(body)}`
  if (attachment === undefined) return `${head}\n\nmark ${body}\n`
  const part = `Content-Type: text/csv\nContent-Disposition: attachment; filename=a${attachment}.csv\n\nrow,${attachment}\n`
  return `${head}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nmark ${body}\n--b\n${part}--b--\n`
}

const reportOn = (n: number) => `MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r

mark
--r
Content-Type: message/delivery-status

Reporting-MTA: dns; mx${n}.example

Final-Recipient: rfc822; bob@example.net
Action: failed
--r
Content-Type: text/rfc822-headers

Message-ID: ${idOf(n)}
--r--
`
