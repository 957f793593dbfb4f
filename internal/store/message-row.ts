// Between a row of `messages` and the Message that the rest of the product sees.

import type { Insertable, Selectable } from 'kysely'
import type { Message } from './rows.ts'
import type { MessageTable } from './schema.ts'

export function fromMessageRow(row: Selectable<MessageTable>): Message {
  const {
    seq: _,
    syntheticBase,
    recipients,
    detail,
    forced,
    fromAddresses,
    toAddresses,
    ccAddresses,
    flags,
    ...rest
  } = row
  return {
    ...rest,
    recipients: JSON.parse(recipients) as Message['recipients'],
    detail: detail === null ? null : (JSON.parse(detail) as Message['detail']),
    synthetic: syntheticBase !== null,
    forced: forced === 1,
    from: JSON.parse(fromAddresses) as Message['from'],
    to: JSON.parse(toAddresses) as Message['to'],
    cc: JSON.parse(ccAddresses) as Message['cc'],
    flags: JSON.parse(flags) as string[],
  }
}

/** A message as it is written: `synthetic` says what the plain synthetic id is, `seq` is the database's. */
export type MessageDraft = Omit<Message, 'synthetic'> & { syntheticBase: string | null }

export function toMessageRow(message: MessageDraft): Omit<Insertable<MessageTable>, 'seq'> {
  const { recipients, detail, forced, from, to, cc, flags, ...rest } = message
  return {
    ...rest,
    recipients: JSON.stringify(recipients),
    detail: detail === null ? null : JSON.stringify(detail),
    forced: forced ? 1 : 0,
    fromAddresses: JSON.stringify(from),
    toAddresses: JSON.stringify(to),
    ccAddresses: JSON.stringify(cc),
    flags: JSON.stringify(flags),
  }
}
