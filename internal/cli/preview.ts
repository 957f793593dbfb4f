// The diff of a dry run: every message compared, counts by kind, and the first ones that differ field by field.

import { previewReplay, type FieldChange, type Preview, type ReplaySelector } from '../indexer/indexer.ts'
import type { Context } from './context.ts'
import { printable } from './printable.ts'
import { progressLine } from './progress.ts'
import { countText } from './quantity.ts'

/** Fields with few values: each change of them is a kind of its own. */
const NAMED = new Set(['status', 'reason', 'parser'])
/** Characters of one value that are shown to people. */
const VALUE_MAX = 100

const OUTCOMES = ['same', 'changed', 'new', 'kept', 'gone'] as const

/** What a dry run found. Bounded, however many messages were compared. */
export interface Differences extends Record<(typeof OUTCOMES)[number], number> {
  compared: number
  /** Messages by kind of change. */
  kinds: Record<string, number>
  /** The first that would not stay the same. */
  messages: Preview[]
}

const nothing = (): Differences => ({
  compared: 0,
  same: 0,
  changed: 0,
  new: 0,
  kept: 0,
  gone: 0,
  kinds: {},
  messages: [],
})

export interface Comparing {
  source: string
  selector: ReplaySelector
  force?: 'duplicate'
  /** Most messages compared. */
  limit: number
  perSecond: number
  /** Messages shown with their fields. */
  shown: number
}

/** Compares until all are, or until Ctrl-C; what was found so far is told to `report` also when it fails. */
export async function compare(
  context: Context,
  comparing: Comparing,
  report: (found: Differences) => Promise<void>,
): Promise<void> {
  const { engines, clock, signal } = context
  const { source, shown, ...options } = comparing
  const line = progressLine(context)
  const found = nothing()
  // Transactions that write are begun and taken back, which a connection for reading only would refuse.
  const [store, blobs, log] = [await engines.store('write'), await engines.blobs(), await engines.log('read')]
  const scanner = await engines.scanner()
  const parts = {
    store,
    blobs,
    log,
    source,
    clock,
    retries: context.config().indexRetries,
    ...(await engines.parsers()),
    ...(scanner && { scanning: { scanner, down: context.config().scannerDown } }),
  }
  try {
    for await (const preview of previewReplay(parts, { ...options, signal })) {
      count(found, preview, shown)
      line.show({ done: found.compared - found.gone, failed: found.gone, total: options.limit })
    }
  } finally {
    line.end()
    await report(found)
  }
}

function count(found: Differences, preview: Preview, shown: number): void {
  found.compared += 1
  found[preview.outcome] += 1
  for (const kind of preview.changes.map(kindOf)) found.kinds[kind] = (found.kinds[kind] ?? 0) + 1
  if (preview.outcome !== 'same' && found.messages.length < shown) found.messages.push(preview)
}

const kindOf = ({ field, before, after }: FieldChange): string =>
  NAMED.has(field) ? `${field} ${valueText(before)} → ${valueText(after)}` : field

function valueText(value: unknown): string {
  if (value === null || value === undefined) return '-'
  const text = typeof value === 'string' && /^[\w@/.-]+$/.test(value) ? value : JSON.stringify(value)
  return printable(text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text)
}

/** `field: before → after` of one message, or why there is none. */
const changeTexts = ({ changes, why, others }: Preview): string[] => [
  ...(why === undefined ? [] : [printable(why)]),
  ...changes.map(({ field, before, after }) => `${field}: ${valueText(before)} → ${valueText(after)}`),
  ...others.map(({ messageId, becomes }) => `and ${messageId}: ${becomes}`),
]

const kindsOf = ({ kinds }: Differences): [kind: string, count: number][] =>
  Object.entries(kinds).sort(([, one], [, other]) => other - one)

/** For people. */
export function differenceLines(found: Differences): string[] {
  const { compared, messages } = found
  const outcomes = OUTCOMES.filter((outcome) => found[outcome] > 0).map(
    (outcome) => `${found[outcome].toLocaleString('en-US')} ${OUTCOME_TEXTS[outcome]}`,
  )
  const width = Math.max(0, ...Object.values(found.kinds).map((each) => each.toLocaleString('en-US').length))
  const more = compared - found.same - messages.length
  return [
    `${countText(compared, 'message')} compared${outcomes.length === 0 ? '' : `: ${outcomes.join(', ')}`}`,
    ...kindsOf(found).map(([kind, each]) => `  ${each.toLocaleString('en-US').padStart(width)} ${kind}`),
    ...messages.flatMap((preview) => [
      `${preview.messageId}  ${OUTCOME_TEXTS[preview.outcome]}`,
      ...changeTexts(preview).map((text) => `  ${text}`),
    ]),
    ...(more > 0 ? [`and ${countText(more, 'more', 'more')}; --show says how many`] : []),
  ]
}

const OUTCOME_TEXTS = {
  same: 'would stay the same',
  changed: 'would change',
  new: 'would be new',
  kept: 'would fail, and keep their rows',
  gone: 'could not be found',
} as const satisfies Record<Preview['outcome'], string>

/** For scripts that read lines. */
export const differenceFacts = (found: Differences): [name: string, value: string][] => [
  ['compared', String(found.compared)],
  ...OUTCOMES.map((outcome): [string, string] => [outcome, String(found[outcome])]),
  ...kindsOf(found).map(([kind, each]): [string, string] => ['kind', `${each} ${kind}`]),
  ...found.messages.flatMap((preview) =>
    changeTexts(preview).map((text): [string, string] => ['change', `${preview.messageId} ${text}`]),
  ),
]
