// What belongs to a message beside its own row: what it reports, the reports on it, and the mail that answers it.

import {
  findKey,
  findOutbound,
  reportOf,
  reportsOn,
  type DeliveryReport,
  type ReportedRecipient,
  type Store,
} from '../store/store.ts'
import type { MessageJson } from './message-row.ts'
import { outboundJson, type OutboundJson } from './outbound.ts'

export interface Links {
  /** What the message reports, if it is a delivery report. */
  report:
    | (Omit<DeliveryReport, 'messageId' | 'tenant' | 'arrivalDate'> & {
        arrivalDate: string | null
        /** The tenant's message that it is about, and the outbound mail. */
        originalId: string | null
        outboundId: string | null
      })
    | null
  /** Messages that report on this one. */
  reportedBy: { id: string; recipients: ReportedRecipient[] }[]
  /** Mail that answers it. */
  replies: OutboundJson[]
}

export const NO_LINKS: Links = { report: null, reportedBy: [], replies: [] }

/** All of it is the message's tenant's. */
export async function linksOf(store: Store, { id, tenant, messageId }: MessageJson): Promise<Links> {
  const report = await reportOf(store, id)
  const on = messageId === null ? [] : await reportsOn(store, { tenant, headerMessageId: messageId })
  const replies = await findOutbound(store, { tenant, messageId: id })
  return {
    report: report === undefined ? null : await reportJson(store, report),
    reportedBy: on.map((each) => ({ id: each.messageId, recipients: each.recipients })),
    replies: replies.map(outboundJson),
  }
}

async function reportJson(store: Store, report: DeliveryReport): Promise<Links['report']> {
  const { messageId: _, tenant, arrivalDate, ...rest } = report
  const headerMessageId = report.originalMessageId
  const about = headerMessageId === null ? undefined : { tenant, headerMessageId }
  const key = about && (await findKey(store, { ...about, source: 'EMAIL' }))
  const [outbound] = about === undefined ? [] : await findOutbound(store, about)
  return {
    ...rest,
    arrivalDate: arrivalDate === null ? null : new Date(arrivalDate).toISOString(),
    originalId: key?.messageId ?? null,
    outboundId: outbound?.id ?? null,
  }
}

const recipientText = ({
  finalRecipient,
  originalRecipient,
  action,
  status,
  diagnostic,
  remoteMta,
}: ReportedRecipient) =>
  [
    finalRecipient ?? originalRecipient ?? 'somebody',
    action,
    status,
    diagnostic && `(${diagnostic})`,
    remoteMta && `at ${remoteMta}`,
  ]
    .filter((each) => each !== undefined)
    .join(' ')

/** As `name: value` lines. */
export function linkFacts({ report, reportedBy, replies }: Links): [string, string | undefined][] {
  const about = report && [report.originalId, report.outboundId && `outbound ${report.outboundId}`].filter(Boolean)
  return [
    ...(report === null
      ? []
      : [
          ['reports on', [report.originalMessageId ?? 'unknown mail', ...(about ?? [])].join(', ')] as [string, string],
        ]),
    ...(report?.recipients ?? []).map((each): [string, string] => ['recipient', recipientText(each)]),
    ...reportedBy.flatMap(({ id, recipients }) =>
      recipients.map((each): [string, string] => ['reported by', `${id}: ${recipientText(each)}`]),
    ),
    ...replies.map(({ id, from, state, lastResult }): [string, string] => [
      'reply',
      `${id} from ${from} ${state}${lastResult === null ? '' : `: ${lastResult}`}`,
    ]),
  ]
}
