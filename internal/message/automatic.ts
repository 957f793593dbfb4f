// Which mail no person wrote: marks in the header, as a table. Nobody may answer such mail by a program (RFC 3834 2).

import type { Field } from './fields.ts'
import { parameter, structured } from './parameters.ts'

/** What the flags of a message say of it. Mail with the null sender (RFC 5321 4.5.5) is a `bounce` too; its envelope tells. */
export const AUTOMATIC_KINDS = {
  bounce: 'a report on mail that could not be delivered (RFC 3464 2), or mail with the null sender',
  auto_reply: 'an answer or a notice that a program sent (RFC 3834 5)',
  list: 'mail of a mailing list (RFC 2919 3, RFC 2369 3), or in bulk',
} as const satisfies Record<string, string>
export type AutomaticKind = keyof typeof AUTOMATIC_KINDS

type Says = (value: string) => boolean

const there: Says = () => true
const notNo: Says = (value) => structured(value).value !== 'no'
const oneOf =
  (...words: readonly string[]): Says =>
  (value) =>
    words.includes(structured(value).value)
/** A list of words with commas. */
const anyOf =
  (...words: readonly string[]): Says =>
  (value) =>
    value.split(/[\s,;]+/).some((word) => words.includes(word.toLowerCase()))

const REPORT = 'multipart/report'
/** RFC 6522 3: the type of the report says what it is about. */
const report =
  (isDelivery: boolean): Says =>
  (value) => {
    const type = structured(value)
    const about = parameter(type, 'report-type')?.trim().toLowerCase()
    return type.value === REPORT && (about === 'delivery-status') === isDelivery
  }

const MARKS: readonly [kind: AutomaticKind, field: string, says: Says][] = [
  ['bounce', 'content-type', report(true)],
  ['bounce', 'x-failed-recipients', there],
  ['auto_reply', 'content-type', report(false)],
  ['auto_reply', 'auto-submitted', notNo],
  ['auto_reply', 'precedence', oneOf('auto_reply', 'auto-reply')],
  // MS-OXCMAIL 2.2.3.2.14: what the sender wants no answer to.
  ['auto_reply', 'x-auto-response-suppress', anyOf('all', 'oof', 'autoreply')],
  ['auto_reply', 'x-autoreply', notNo],
  ['auto_reply', 'x-autorespond', there],
  ['auto_reply', 'x-autoresponder', there],
  ['auto_reply', 'x-auto-reply', notNo],
  ['auto_reply', 'x-mail-autoreply', there],
  ['auto_reply', 'x-loop', there],
  ['list', 'precedence', oneOf('list', 'bulk', 'junk')],
  ['list', 'list-id', there],
  ['list', 'list-help', there],
  ['list', 'list-unsubscribe', there],
  ['list', 'list-subscribe', there],
  ['list', 'list-post', there],
  ['list', 'list-owner', there],
  ['list', 'list-archive', there],
  ['list', 'mailing-list', there],
  ['list', 'x-mailing-list', there],
]

const FIELDS = new Set(MARKS.map(([, field]) => field))

/** Whether a field says something of this. */
export const isMark = (name: string): boolean => FIELDS.has(name)

/** Every such field counts, also one that is there twice: a second one hides nothing. */
export function automaticKinds(fields: readonly Field[]): AutomaticKind[] {
  const marked = new Set(
    MARKS.filter(([, name, says]) => fields.some((field) => field.name === name && says(field.value))).map(
      ([kind]) => kind,
    ),
  )
  return (Object.keys(AUTOMATIC_KINDS) as AutomaticKind[]).filter((kind) => marked.has(kind))
}
