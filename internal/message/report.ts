// What a delivery report says (RFC 3464 2): of each recipient, and of the mail that it reports on. Everything is bounded; what is
// missing or odd is left out, since most reports in the world are odd in some way.

import { cut, oneLine } from './clean.ts'
import { isoDate } from './date.ts'
import { decodeText, type Range } from './decode.ts'
import { FieldCollector, type Field } from './fields.ts'
import { firstId } from './headers.ts'
import { LIMITS } from './limits.ts'
import type { DeliveryReport, ReportedRecipient } from './message.ts'
import type { Flag } from './reasons.ts'
import type { Part } from './structure.ts'
import { isFileSystemError } from './trouble.ts'

/** RFC 3464 2.1, RFC 6533 4.1. */
const STATUS = new Set(['message/delivery-status', 'message/global-delivery-status'])
/** What is returned of the mail: all of it or its header (RFC 6522 3 and 4, RFC 6533 4.2). */
const RETURNED = new Set([
  'message/rfc822',
  'text/rfc822-headers',
  'message/rfc822-headers',
  'message/global',
  'message/global-headers',
])

/** The part that says what became of the mail. It stands beside the others, also where the whole is not said to be a report. */
export const statusPart = (root: Part): Part | undefined => root.children.find((part) => STATUS.has(part.type.value))

export interface ReportSource {
  root: Part
  /** Of the report's own header. */
  fields: readonly Field[]
  inReplyTo: readonly string[]
  flags: Set<Flag>
  range: (part: Part) => Range
}

/** Reads the report. Rejects with file system errors only. */
export async function readReport(source: ReportSource): Promise<DeliveryReport> {
  const status = statusPart(source.root)
  const returned = source.root.children.find((part) => RETURNED.has(part.type.value))
  const groups = status === undefined ? [] : groupsOf(await textOf(status, source))
  const header = returned === undefined ? [] : (groupsOf(await textOf(returned, source))[0] ?? [])
  const about = groups[0] ?? []
  const recipients = groups.filter((group) => valueOf(group, 'final-recipient', 'action') !== undefined)
  const said = recipients.length > 0 ? recipients.map(recipientOf) : failedIn(source.fields)
  if (said.length > LIMITS.reportedRecipientsMax) source.flags.add('header_cut')
  // Of those that return nothing some say in their own header what they answer.
  const original = firstId(valueOf(header, 'message-id') ?? '') ?? source.inReplyTo[0]
  const arrival = isoDate(valueOf(about, 'arrival-date') ?? '')
  return {
    ...present({
      originalMessageId: original,
      originalEnvelopeId: kept(valueOf(about, 'original-envelope-id')),
      reportingMta: untyped(valueOf(about, 'reporting-mta')),
      arrivalDate: arrival,
    }),
    recipients: said.slice(0, LIMITS.reportedRecipientsMax),
  }
}

function recipientOf(group: readonly Field[]): ReportedRecipient {
  return present({
    finalRecipient: untyped(valueOf(group, 'final-recipient')),
    originalRecipient: untyped(valueOf(group, 'original-recipient')),
    action: kept(valueOf(group, 'action'))?.toLowerCase(),
    // RFC 3464 2.3.4: a comment may follow.
    status: /^\d\.\d{1,3}\.\d{1,3}/.exec(valueOf(group, 'status')?.trim() ?? '')?.[0],
    diagnostic: kept(valueOf(group, 'diagnostic-code')),
    remoteMta: untyped(valueOf(group, 'remote-mta')),
  })
}

/** What some mail systems say instead of a report. */
const failedIn = (fields: readonly Field[]): ReportedRecipient[] =>
  fields
    .filter(({ name }) => name === 'x-failed-recipients')
    .flatMap(({ value }) => value.split(','))
    .map((address) => kept(address) ?? '')
    .filter((address) => address !== '')
    .map((finalRecipient) => ({ finalRecipient, action: 'failed' }))

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

const present = <T extends object>(values: T): Present<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>

const kept = (value: string | undefined): string | undefined => {
  const text = cut(oneLine(value ?? ''), LIMITS.reportValueMax)
  return text === '' ? undefined : text
}

/** `rfc822; ann@example.org`: the kind of name, and the name (RFC 3464 2.1.2). */
const untyped = (value: string | undefined): string | undefined => kept(value?.replace(/^[\w-]{1,40}\s*;\s*/, ''))

/** The first field with the first of these names that is there. */
const valueOf = (group: readonly Field[], ...names: readonly string[]): string | undefined =>
  names.flatMap((name) => group.find((field) => field.name === name) ?? [])[0]?.value

/** Groups of fields with blank lines between them (RFC 3464 2.1). */
function groupsOf(text: string): Field[][] {
  const groups: Field[][] = []
  let collector: FieldCollector | undefined
  const end = () => {
    collector?.end()
    if (collector !== undefined && collector.fields.length > 0) groups.push(collector.fields)
    collector = undefined
  }
  for (const line of text.split(/\r\n|\n/)) {
    if (line.trim() === '') end()
    else {
      collector ??= new FieldCollector(() => true, LIMITS.partFieldBytesMax)
      collector.add(Buffer.from(line), true)
    }
  }
  end()
  return groups
}

async function textOf(part: Part, { range, flags }: ReportSource): Promise<string> {
  const { start, end, ...rest } = range(part)
  const within = { ...rest, start, end: Math.min(end, start + LIMITS.reportBytesMax) }
  // Of what is returned the beginning is enough.
  if (STATUS.has(part.type.value) && within.end < end) flags.add('header_cut')
  try {
    return (await decodeText(part, within)).text
  } catch (thrown) {
    if (isFileSystemError(thrown)) throw thrown
    flags.add('parse_failed')
    return ''
  }
}
