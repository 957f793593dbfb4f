// Who is first with a header id (R16). The outcome depends on the messages alone, never on the order in which they come: the
// smallest entry id is first, and when it comes later the roles swap, all within the caller's transaction.

import {
  claimKey,
  dropDerived,
  dropKey,
  findKey,
  getMessage,
  hold,
  holdKeyOf,
  keyHeldBy,
  keyName,
  nextDuplicate,
  nextStatus,
  nextSynthetic,
  patchMessage,
  renameDuplicates,
  repointDuplicates,
  type Message,
  type Tx,
} from '../store/store.ts'
import { exactId, type HeaderId } from './header-ids.ts'

export interface Claimant {
  id: string
  entryId: string
  tenant: string
  source: string
  sha256: string
  /** There was no row of it, so it holds no key. */
  isNew?: boolean
}

export interface Role {
  headerMessageId: string
  /** The first with this header id; null for the first itself. */
  duplicateOf: string | null
}

/** What the caller must tell the world of. */
export interface RoleChanges {
  /** Was first, is a duplicate of `first` now. */
  demoted: { message: Message; first: string }[]
  /** Is to be processed, since the first went away. */
  promoted: Message[]
}

export const noChanges = (): RoleChanges => ({ demoted: [], promoted: [] })

/** Finds the role of a parsed message, and changes those of others where it comes before them. */
export async function takeRole(tx: Tx, me: Claimant, header: HeaderId, changes: RoleChanges): Promise<Role> {
  const wanted = idsOf(header)
  await hold(tx, roleNames(me, header))
  const held = me.isNew === true ? undefined : await keyHeldBy(tx, me.id)
  if (held !== undefined && !wanted.includes(held.headerMessageId)) await leave(tx, me, changes)
  if (header.kind === 'own') return contend(tx, me, header.id, changes)

  const holder = await holderOf(tx, me, header.plain)
  if (holder === undefined || holder.id === me.id || holder.sha256 === me.sha256) {
    return contend(tx, me, header.plain, changes)
  }
  if (holder.entryId < me.entryId) return contend(tx, me, header.exact, changes)
  await yieldPlain(tx, { holder, me, header, changes })
  return { headerMessageId: header.plain, duplicateOf: null }
}

/** What decides about the role: names to hold. */
export const roleNames = ({ tenant, source }: Pick<Claimant, 'tenant' | 'source'>, header: HeaderId): string[] =>
  idsOf(header).map((headerMessageId) => keyName({ tenant, source, headerMessageId }))

const idsOf = (header: HeaderId): string[] => (header.kind === 'own' ? [header.id] : [header.plain, header.exact])

/** The rule for one key: nobody has it, or I have it, or the older of two is first. */
async function contend(tx: Tx, me: Claimant, id: string, changes: RoleChanges): Promise<Role> {
  const key = await findKey(tx, { tenant: me.tenant, source: me.source, headerMessageId: id })
  if (key !== undefined && key.messageId !== me.id && key.entryId < me.entryId) {
    if (me.isNew !== true) await dropKey(tx, me.id)
    return { headerMessageId: id, duplicateOf: key.messageId }
  }
  if (key !== undefined && key.messageId !== me.id) await demote(tx, key.messageId, me.id, changes)
  await claim(tx, me, id)
  return { headerMessageId: id, duplicateOf: null }
}

/** An older message with other bytes takes the plain id: its holder and that one's duplicates go by the exact id from now on. */
async function yieldPlain(
  tx: Tx,
  swap: { holder: Message; me: Claimant; header: Extract<HeaderId, { kind: 'synthetic' }>; changes: RoleChanges },
): Promise<void> {
  const { holder, me, header, changes } = swap
  await rename(tx, holder, exactId(header.plain, holder.sha256))
  // Those with my bytes had the exact id while the plain one was taken; they are mine now.
  const fellow = await holderOf(tx, me, header.exact)
  if (fellow !== undefined && fellow.id !== me.id) {
    await demote(tx, fellow.id, me.id, changes)
    await renameDuplicates(tx, me.id, header.plain)
    await dropKey(tx, fellow.id)
  }
  await claim(tx, me, header.plain)
}

/** A first that goes away (quarantined by a newer parser, or with another id) leaves its key to the oldest that is left. */
export async function leave(tx: Tx, me: Claimant, changes: RoleChanges): Promise<void> {
  const key = await holdKeyOf(tx, me.id)
  if (key === undefined) return
  await dropKey(tx, me.id)
  const { tenant, source, headerMessageId: plain } = key
  const heir = await nextDuplicate(tx, me.id)
  const oldest = await nextSynthetic(tx, { tenant, source, plain, except: me.id })
  const passesOn = oldest !== undefined && oldest.sha256 !== me.sha256
  if (passesOn) await rename(tx, oldest, plain)
  if (heir === undefined) return
  const id = passesOn ? exactId(plain, heir.sha256) : plain
  const status = heir.forced ? heir.status : (nextStatus(heir.status, 'promoted') ?? heir.status)
  await patchMessage(tx, heir.id, { status, duplicateOf: null, headerMessageId: id })
  await repointDuplicates(tx, { from: me.id, to: heir.id, headerMessageId: id })
  await claim(tx, heir, id)
  if (!heir.forced) changes.promoted.push(heir)
}

async function claim(tx: Tx, claimant: Claimant, headerMessageId: string): Promise<void> {
  const { id, entryId, tenant, source, isNew } = claimant
  if (isNew !== true) await dropKey(tx, id)
  await claimKey(tx, { tenant, source, headerMessageId, messageId: id, entryId })
}

/** Gives a first another header id, with everything that points to it. */
async function rename(tx: Tx, first: Message, headerMessageId: string): Promise<void> {
  await patchMessage(tx, first.id, { headerMessageId })
  await renameDuplicates(tx, first.id, headerMessageId)
  await claim(tx, first, headerMessageId)
}

async function demote(tx: Tx, id: string, first: string, changes: RoleChanges): Promise<void> {
  const message = await getMessage(tx, id)
  await repointDuplicates(tx, { from: id, to: first })
  if (message.forced) await patchMessage(tx, id, { duplicateOf: first })
  else {
    const status = nextStatus(message.status, 'demoted') ?? message.status
    const place = await patchMessage(tx, id, { status, duplicateOf: first, threadId: null })
    if (place !== undefined) await dropDerived(tx, id, place)
  }
  changes.demoted.push({ message, first })
}

async function holderOf(tx: Tx, me: Claimant, headerMessageId: string): Promise<Message | undefined> {
  const key = await findKey(tx, { tenant: me.tenant, source: me.source, headerMessageId })
  return key === undefined ? undefined : getMessage(tx, key.messageId)
}
