import { Registry } from '@prometheus-io/client'
// What was decided at the door about a message is honoured here, and an operator can take it back.

import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import type { PolicyVerdict } from '../envelope/envelope.ts'
import { countByStatus, getMessage, listEvents } from '../store/store.ts'
import { previewReplay, replay } from './indexer.ts'
import { Bed, fastClock, testParsers, withCsv, type Mail } from './testing/bed.ts'

const pool = testParsers()
let bed: Bed
beforeEach(async () => {
  bed = await Bed.open(pool)
})
afterEach(() => bed.close())
afterAll(() => pool.close())

function judged(n: number, policy: PolicyVerdict): Mail {
  const mail = withCsv(n, `${n}@x`)
  for (const recipient of mail.meta.envelope.recipients) recipient.policy = policy
  return mail
}
const never = new AbortController().signal
const parts = () => ({ store: bed.store, blobs: bed.blobs, log: bed.log, clock: fastClock, source: '/ingest/test/ctl' })
const again = (jobId: string, mail: Mail, force?: 'duplicate') =>
  replay(parts(), {
    jobId,
    selector: { by: 'messages', ids: [mail.meta.messageId] },
    ...(force && { force }),
    perSecond: 1000,
    signal: never,
  })

test('quarantined by policy, unread; released and indexed as any other, and so it stays', async () => {
  const forged = judged(1, { rule: 'dmarc_reject', action: 'quarantine' })
  const id = forged.meta.messageId
  await bed.deliver([forged, withCsv(2, 'other@x')])
  await bed.index()
  expect(await getMessage(bed.store, id)).toMatchObject({
    status: 'QUARANTINED',
    reason: 'policy',
    detail: { rule: 'dmarc_reject' },
    attachmentCount: 0,
  })
  expect((await listEvents(bed.store, { types: ['message.quarantined'] }, { limit: 5 })).rows).toHaveLength(1)

  await again('judged-again', forged)
  await bed.index()
  expect(await countByStatus(bed.store)).toMatchObject({ QUARANTINED: 1, PARSED: 1 })

  await again('released', forged, 'duplicate')
  const registry = new Registry()
  await bed.index({ registry })
  expect(await registry.metrics()).toContain('mail_ingest_quarantine_resolved_total{outcome="released"} 1\n')
  expect(await registry.metrics()).toContain('mail_ingest_replay_messages_total{result="parsed"} 1\n')
  expect(await getMessage(bed.store, id)).toMatchObject({ status: 'PARSED', reason: null, attachmentCount: 1 })
  await again('later', forged)
  await bed.index()
  expect(await getMessage(bed.store, id)).toMatchObject({ status: 'PARSED', forced: true })
})

test('a dry run says what a release would do', async () => {
  const forged = judged(1, { rule: 'spf_fail', action: 'quarantine' })
  await bed.deliver([forged])
  await bed.index()
  const preview = previewReplay(
    { ...parts(), parsers: bed.parsers, workDir: `${bed.workRoot}/preview`, retries: 0 },
    { selector: { by: 'messages', ids: [forged.meta.messageId] }, force: 'duplicate', perSecond: 1000, signal: never },
  )
  for await (const { changes } of preview) {
    expect(changes.find(({ field }) => field === 'status')).toMatchObject({ before: 'QUARANTINED', after: 'PARSED' })
  }
})

test('tagged: indexed, with the rule among its flags', async () => {
  const odd = judged(1, { rule: 'unauthenticated', action: 'tag' })
  await bed.deliver([odd])
  await bed.index()
  expect(await getMessage(bed.store, odd.meta.messageId)).toMatchObject({
    status: 'PARSED',
    flags: ['no_date', 'unauthenticated'],
  })
})
