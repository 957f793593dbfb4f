// What the store knows before a message is worked on. All of it is a guess that saves work: the transaction decides.

import type { LoggedEvent } from '../eventlog/eventlog.ts'
import { findKey, findMessage, knownOrErased, type Store } from '../store/store.ts'
import { parsedDraft, type ParsedJudgement, type Received } from './facts.ts'
import { headerIdOf } from './header-ids.ts'

/** Messages of these events that have rows or whose tenant was erased: asked for all of them at once. */
export async function knownAmong(store: Store, batch: readonly LoggedEvent[]): Promise<Set<string>> {
  const received = batch.flatMap(({ event }) => (event.type === 'ingest.received' ? [event.data] : []))
  return knownOrErased(store, received)
}

/** A guess that saves uploading a duplicate's attachments; the transaction decides. */
export async function isFirst(store: Store, event: Received, judged: ParsedJudgement): Promise<boolean> {
  if (judged.message.attachments.length === 0) return true
  const { tenant, mailbox, sha256, source, entryId, id } = parsedDraft(event, judged)
  const header = headerIdOf(judged.message, { sha256, domain: mailbox.slice(mailbox.lastIndexOf('@') + 1) })
  if (event.replay?.force === 'duplicate' || header.kind === 'synthetic') return true
  const key = await findKey(store, { tenant, source, headerMessageId: header.id })
  if (key === undefined || key.messageId === id || key.entryId > entryId) return true
  return (await findMessage(store, id))?.forced === true
}
