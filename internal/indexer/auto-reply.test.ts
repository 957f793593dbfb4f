// Who is answered: the decision as a table, and its effect within the indexer.

import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Authentication } from '../envelope/envelope.ts'
import {
  addMailbox,
  findOutbound,
  getMessage,
  listEvents,
  listOutbound,
  reportOf,
  reportsOn,
  seedFirstStart,
  setAutoReply,
  StoreError,
  type Store,
} from '../store/store.ts'
import { namedMailboxes, whyNoReply, type ReplyFacts } from './auto-reply.ts'
import { replay } from './indexer.ts'
import { Bed, fastClock, mail, testParsers, type Mail } from './testing/bed.ts'

const DAY_MS = 86_400_000

const NOTHING: Authentication = {
  spf: { result: 'none', identity: 'mailfrom', domain: 'example.org' },
  dkim: [{ result: 'none', domain: '', selector: '' }],
  arc: { result: 'none' },
  dmarc: { result: 'none', domain: '' },
  iprev: { result: 'fail' },
}
const spf = (domain: string, identity: 'mailfrom' | 'helo' = 'mailfrom'): Authentication => ({
  ...NOTHING,
  spf: { result: 'pass', identity, domain },
})
const dkim = (domain: string, result: 'pass' | 'fail' = 'pass'): Authentication => ({
  ...NOTHING,
  dkim: [
    { result: 'fail', domain: 'example.org', selector: 's' },
    { result, domain, selector: 's' },
  ],
})
const dmarc = (domain: string, result: 'pass' | 'fail' = 'pass'): Authentication => ({
  ...NOTHING,
  dmarc: { result, domain },
})

/** Two users of one domain. */
const NEIGHBOURS = { mailFrom: 'victim@big.example', from: 'attacker@big.example' }

const GOOD: ReplyFacts = {
  mailFrom: 'ann@example.org',
  from: 'ann@example.org',
  kinds: [],
  authentication: spf('example.org'),
  submitted: false,
  replayed: false,
  ageMs: 1000,
}

describe('who is answered', () => {
  test.each([
    [{}, undefined, 'a person whose domain says so'],
    [{ replayed: true }, 'replayed', 'indexed again'],
    [{ ageMs: 2 * DAY_MS }, 'old', 'too long ago'],
    [{ ageMs: Number.NaN }, 'old', 'nobody knows when'],
    [{ mailFrom: '' }, 'null_sender', '3834 2: the null sender'],
    [{ mailFrom: 'MAILER-DAEMON@example.org' }, 'program', '3834 2'],
    [{ mailFrom: 'owner-list@example.org' }, 'program', '3834 2'],
    [{ mailFrom: 'list-owner@example.org' }, 'program', '5230 4.6'],
    [{ mailFrom: 'list-request@example.org' }, 'program', '3834 2'],
    [{ mailFrom: 'LISTSERV@example.org' }, 'program', '5230 4.6'],
    [{ mailFrom: 'majordomo@example.org' }, 'program', '5230 4.6'],
    [{ mailFrom: 'bounces+123=ann@example.org' }, 'program', 'a return path for reports'],
    [{ mailFrom: 'list-bounces@example.org' }, 'program', 'a return path for reports'],
    [{ mailFrom: 'no-reply@example.org' }, 'program', 'says so itself'],
    [{ from: 'DoNotReply@example.org' }, 'program', 'says so itself'],
    [{ mailFrom: 'shop.noreply+1@example.org' }, 'program', 'says so itself'],
    [{ mailFrom: 'requester@example.org' }, undefined, 'only looks like one'],
    [{ mailFrom: 'bouncer@example.org' }, undefined, 'only looks like one'],
    [{ mailFrom: '"a b"@example.org' }, 'odd_sender', 'needs quotes'],
    [{ mailFrom: 'jörg@example.org' }, 'odd_sender', '6531 3.3'],
    [{ kinds: ['bounce'] }, 'automatic', '3834 2'],
    [{ kinds: ['auto_reply'] }, 'automatic', '3834 2'],
    [{ kinds: ['list'] }, 'automatic', '3834 2'],
    [{ authentication: undefined }, 'unauthenticated', 'nobody looked'],
    [{ authentication: NOTHING }, 'unauthenticated', 'nothing passes'],
    [{ authentication: undefined, submitted: true }, undefined, 'the client logged in'],
    [{ authentication: spf('example.org', 'helo') }, 'unauthenticated', '7208 2.4: of HELO only'],
    [{ authentication: spf('example.net') }, 'unauthenticated', 'SPF of another domain'],
    [{ authentication: dkim('example.org') }, undefined, 'signed by the domain'],
    [{ authentication: dkim('Example.ORG') }, undefined, 'in any case'],
    [{ authentication: dkim('example.org', 'fail') }, 'unauthenticated', 'a signature that fails'],
    [{ authentication: dkim('') }, 'unauthenticated', 'a signature of nobody'],
    [{ authentication: dkim('ample.org') }, 'unauthenticated', 'a name that only ends alike'],
    [{ authentication: dmarc('example.org') }, undefined, '9989 5.3'],
    [{ authentication: dmarc('example.org', 'fail') }, 'unauthenticated', '9989 5.3'],
    [
      { authentication: dkim('example.org'), mailFrom: 'ann@mail.example.org', from: 'Ann@mail.example.org' },
      undefined,
      'an author below the domain that signs, to whom it goes back',
    ],
    [
      { authentication: dkim('example.org'), mailFrom: 'ann@mail.example.org' },
      'unauthenticated',
      'backscatter: a signature is of the author, not of the return path',
    ],
    [
      { authentication: { ...dkim('big.example'), dmarc: { result: 'pass', domain: 'big.example' } }, ...NEIGHBOURS },
      'unauthenticated',
      'backscatter: the return path is another user of the domain that signs',
    ],
    [{ authentication: dmarc('big.example'), ...NEIGHBOURS }, 'unauthenticated', 'backscatter: the same by DMARC'],
    [{ authentication: spf('big.example'), ...NEIGHBOURS }, undefined, '7208 2.4: SPF is of the return path'],
    [{ submitted: true, authentication: undefined, ...NEIGHBOURS }, undefined, 'the client logged in'],
    [
      { authentication: dmarc('evil.example'), from: 'eve@evil.example' },
      'unauthenticated',
      'backscatter: the return path is somebody else',
    ],
    [
      { authentication: spf('evil.example'), mailFrom: 'eve@evil.example' },
      'unauthenticated',
      'SPF of the return path, From is somebody else',
    ],
    [{ from: '' }, 'unauthenticated', 'no author'],
  ] as [Partial<ReplyFacts>, string | undefined, string][])('%j: %s (%s)', (change, why, _why) => {
    expect(whyNoReply({ ...GOOD, ...change })).toBe(why)
  })
})

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
  await seedFirstStart(bed.store, { domain: 'mail.localhost', now: 1 })
  for (const name of ['sales', 'info']) {
    await addMailbox(bed.store, { address: `${name}@mail.localhost`, tenant: 'acme', now: 1 })
    await setAutoReply(bed.store, { address: `${name}@mail.localhost`, body: `away, ${name}`, now: 1 })
  }
})
afterEach(() => bed.close())
afterAll(() => pool.close())

const SALES = 'sales@mail.localhost'
interface Letter {
  to?: string[]
  header?: string
  body?: string
  mailFrom?: string
  authentication?: Authentication
  ageMs?: number
}

/** A mail that came just now, of a sender whose domain vouches for it. */
function letter(n: number, about: Letter = {}): Mail {
  const {
    to = [SALES],
    header = `To: ${to.join(', ')}`,
    body = 'hello',
    mailFrom = 'ann@example.org',
    ageMs = 0,
  } = about
  const text = `From: Ann <ann@example.org>\nSubject: Question ${n}\nMessage-ID: <${n}@example.org>\n${header}\n\n${body}\n`
  const made = mail(n, text, { to, receivedAt: new Date(Date.now() - ageMs).toISOString() })
  made.meta.envelope.mailFrom = mailFrom
  made.meta.envelope.authentication = about.authentication ?? spf('example.org')
  return made
}
const queued = async () =>
  (await listOutbound(bed.store, {}, { limit: 50 })).rows.map(({ mail: out }) => ({ from: out.from, to: out.to }))
const index = async (...mails: Mail[]) => {
  await bed.deliver(mails)
  await bed.index({ answers: true })
}

test('a mailbox answers the return path, once for a sender, with what RFC 3834 3.1 asks for', async () => {
  const first = letter(1, { header: `To: ${SALES}\nReferences: <0@example.org> <ö bad>` })
  await index(first)
  await index(letter(2))
  const about = { tenant: 'acme', messageId: first.meta.messageId }
  const [reply] = await findOutbound(bed.store, about)
  expect(await queued()).toHaveLength(1)
  expect(reply).toMatchObject({ state: 'pending', purpose: 'auto_reply' })
  expect(reply?.headerMessageId).toMatch(/^<auto-[0-9a-f-]{36}@mail\.localhost>$/)
  expect(reply?.mail).toMatchObject({
    from: SALES,
    to: 'ann@example.org',
    subject: 'Auto: Question 1',
    text: 'away, sales',
    inReplyTo: '<1@example.org>',
    references: ['<0@example.org>', '<1@example.org>'],
    autoSubmitted: 'auto-replied',
  })
})

test('every mailbox that the header names answers, others do not, and nobody answers itself', async () => {
  const to = [SALES, 'info@mail.localhost', 'sales+tag@mail.localhost']
  const named = letter(1, { to, header: `Cc: Info <INFO@mail.localhost>, sales+tag@mail.localhost` })
  for (const recipient of named.meta.envelope.recipients) if (recipient.address !== to[1]) recipient.mailbox = SALES
  await index(
    named,
    letter(2, { header: 'To: list@example.net', mailFrom: 'bob@example.org' }),
    letter(3, { header: `Bcc: ${SALES}`, mailFrom: 'carol@example.org' }),
    letter(4, { mailFrom: SALES, authentication: spf('mail.localhost') }),
  )
  expect(new Set((await queued()).map(({ from, to: sender }) => `${from} to ${sender}`))).toEqual(
    new Set(['info@mail.localhost to ann@example.org', `${SALES} to ann@example.org`, `${SALES} to carol@example.org`]),
  )
  expect(await queued()).toHaveLength(3)
  const many = Array.from({ length: 50 }, (_, n) => `box${n}@mail.localhost`)
  const { meta } = letter(9, { to: many })
  const addresses = many.map((address) => ({ name: '', address }))
  expect(namedMailboxes(meta, { to: addresses, cc: [], bcc: [] })).toHaveLength(10)
})

test.each([
  [{ header: `To: ${SALES}\nAuto-Submitted: auto-replied` }, 'another responder'],
  [{ header: `To: ${SALES}\nList-Id: <l.example.org>` }, 'a list'],
  [{ header: `To: ${SALES}\nPrecedence: bulk` }, 'bulk'],
  [{ mailFrom: '' }, 'the null sender'],
  [{ authentication: NOTHING }, 'a sender that nothing vouches for'],
  [{ ageMs: 3 * DAY_MS }, 'old'],
] as [Letter, string][])('%j is not answered (%s)', async (about, _why) => {
  await index(letter(1, about))
  expect(await queued()).toEqual([])
})

test('who has no relay answers nothing, and nothing later', async () => {
  await bed.deliver([letter(1)])
  await bed.index()
  await bed.index({ answers: true })
  expect(await queued()).toEqual([])
})

test('neither a duplicate nor a message that is indexed again is answered', async () => {
  const first = letter(1, { header: 'To: list@example.net' })
  const again = letter(1, { header: 'To: list@example.net' })
  await index(first, again)
  const retried = letter(2)
  retried.event.replay = { id: 'rebuilt' }
  await index(retried)
  const parts = { store: bed.store, blobs: bed.blobs, log: bed.log, clock: fastClock, source: '/ingest/test/ctl' }
  const selector = { by: 'messages' as const, ids: [retried.meta.messageId] }
  await replay(parts, { jobId: 'j', selector, perSecond: 1000, signal: new AbortController().signal })
  await bed.index({ answers: true })
  expect(await queued()).toEqual([])
})

test('a transaction that fails leaves neither row nor reply, and the next one makes both', async () => {
  let failures = 0
  const { store } = bed
  const failing: Store = {
    ...store,
    transaction: (work) =>
      store.transaction(async (tx) => {
        const result = await work(tx)
        const { rows } = await listOutbound(tx, {}, { limit: 1 })
        if (rows.length > 0 && failures++ < 2) throw new StoreError('unavailable', 'the disk is full')
        return result
      }),
  }
  await bed.deliver([letter(1)])
  await bed.index({ answers: true, store: failing })
  expect(failures).toBeGreaterThan(2)
  expect(await queued()).toEqual([{ from: SALES, to: 'ann@example.org' }])
})

const REPORT = (original: string) => `Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r

not delivered
--r
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; bob@example.net
Action: failed
Status: 5.1.1
--r
Content-Type: text/rfc822-headers

Message-ID: ${original}
--r--`

test('a report is kept with what it reports, told in its event, and the same whatever came first or again', async () => {
  const report = mail(1, `From: MAILER-DAEMON@example.net\nMessage-ID: <r@x>\n${REPORT('<7@example.org>')}\n`)
  report.meta.envelope.mailFrom = ''
  const original = letter(7)
  await index(report)
  await index(original)
  const id = report.meta.messageId
  const kept = {
    messageId: id,
    tenant: 'acme',
    originalMessageId: '<7@example.org>',
    originalEnvelopeId: null,
    reportingMta: 'mx.example.net',
    arrivalDate: null,
    recipients: [{ finalRecipient: 'bob@example.net', action: 'failed', status: '5.1.1' }],
  }
  expect((await getMessage(bed.store, id)).flags).toContain('bounce')
  expect(await reportOf(bed.store, id)).toEqual(kept)
  const about = { tenant: 'acme', headerMessageId: '<7@example.org>' }
  expect(await reportsOn(bed.store, about)).toEqual([kept])
  const { rows } = await listEvents(bed.store, { types: ['indexer.indexed'], messageId: id }, { limit: 5 })
  expect(rows[0]?.data).toMatchObject({ automatic: ['bounce'], reportsOn: '<7@example.org>' })

  const again = { ...report.event, replay: { id: 'again' } }
  await bed.log.append([again])
  await bed.index({ answers: true })
  expect(await reportOf(bed.store, id)).toEqual(kept)
})

test('a report that is a duplicate says nothing of its own', async () => {
  const report = (n: number) => mail(n, `From: d@example.net\nMessage-ID: <r@x>\n${REPORT('<7@example.org>')}\n`)
  await index(report(2))
  await index(report(1))
  const reports = await reportsOn(bed.store, { tenant: 'acme', headerMessageId: '<7@example.org>' })
  expect(reports.map(({ messageId }) => messageId)).toEqual([report(1).meta.messageId])
})
