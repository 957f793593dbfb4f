// What many messages change, in one transaction. Most have nothing to do with any other message: those are written by a few statements
// for all of them. The others follow one by one.

import {
  addMessages,
  hold,
  messageName,
  saveReport,
  strangersAmong,
  threadIdOf,
  type Stranger,
  type Tx,
} from '../store/store.ts'
import {
  announcement,
  applyJudgement,
  moved,
  namesOf,
  parsedRow,
  readingOf,
  type Applied,
  type Applying,
  type Reading,
} from './apply.ts'
import { answer } from './auto-reply.ts'
import { documentsIn, reportIn, searchTextOf, type ParsedJudgement } from './facts.ts'

/** Applies all or none, as one after the other would. The outcomes are in the order of the messages. */
export async function applyAll(tx: Tx, all: readonly Applying[]): Promise<Applied[]> {
  const readings = all.map((each) => readingIn(each))
  await hold(
    tx,
    all.flatMap(({ event }, at) => [messageName(event.data.messageId), ...namesIn(readings[at])]),
    'ahead',
  )
  const strangers = await strangersAmong(
    tx,
    all.flatMap((each, at) => candidateOf(each, readings[at])),
  )
  const done = new Map(strangers.length === 0 ? [] : await applyStrangers(tx, strangers))
  const applied: Applied[] = []
  for (const each of all) applied.push(done.get(each) ?? (await applyJudgement(tx, each)))
  return applied
}

const readingIn = ({ event, judgement }: Applying): Reading | undefined =>
  judgement.kind === 'parsed' ? readingOf(event, judgement) : undefined

const namesIn = (reading: Reading | undefined): string[] => (reading === undefined ? [] : namesOf(reading))

interface Candidate extends Stranger {
  applying: Applying
  judgement: ParsedJudgement
  reading: Reading
}

/** Who may be a stranger: parsed for the first time, with a header id of its own, its attachments put. */
function candidateOf(applying: Applying, reading: Reading | undefined): Candidate[] {
  const { event, judgement } = applying
  if (reading?.header.kind !== 'own' || judgement.kind !== 'parsed') return []
  if (!judgement.uploaded || event.replay !== undefined) return []
  const { id, tenant, source } = reading.draft
  const { header, linked } = reading
  return [{ id, tenant, source, headerMessageId: header.id, linked, applying, judgement, reading }]
}

async function applyStrangers(tx: Tx, strangers: readonly Candidate[]): Promise<[Applying, Applied][]> {
  const written = strangers.map(newMessageOf)
  await addMessages(tx, written, Math.max(...strangers.map(({ applying }) => applying.now)))
  for (const { applying, judgement, row, report } of written) {
    const { event, now, answers } = applying
    const { meta, message } = judgement
    if (report !== undefined) await saveReport(tx, report)
    if (answers === true) await answer(tx, { event, row, meta, message, now })
  }
  return written.map(({ applying, row, told }) => [applying, { result: 'applied', row, told: [told], was: undefined }])
}

/** It is first with its header id, and alone in its conversation. */
function newMessageOf({ tenant, headerMessageId, linked, applying, judgement, reading }: Candidate) {
  const { message, meta } = judgement
  const threadId = linked.map((headerId) => threadIdOf(tenant, headerId)).sort()[0] ?? ''
  const status = moved(undefined, 'parsed') ?? 'PARSED'
  const role = { headerMessageId, duplicateOf: null, forced: false }
  const row = {
    ...parsedRow(reading, { ...role, status, threadId, indexedAt: applying.now }),
    headerMessageId,
    threadId,
  }
  const documents = documentsIn(tenant, row.id, message)
  const report = reportIn(row, message)
  const told = announcement(applying, { row, documents, reportsOn: report?.originalMessageId ?? null })
  const text = searchTextOf(meta, message)
  return { applying, judgement, linked, row, documents, report, told, text }
}
