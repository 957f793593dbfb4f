// Parses one message. Runs in a child process: whatever is not caught here ends the child, not the service.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cut, oneLine } from './clean.ts'
import { automaticKinds, type AutomaticKind } from './automatic.ts'
import { decodeFile, type Range } from './decode.ts'
import { Filenames } from './filename.ts'
import { isWanted, readHeaders } from './headers.ts'
import { inlineImages } from './inline.ts'
import { LIMITS, PARSER } from './limits.ts'
import type { ParsedAttachment, ParsedMessage, ParseLimits } from './message.ts'
import { FLAGS, type Flag, type QuarantineReason } from './reasons.ts'
import { readRaw, type Raw } from './raw.ts'
import { readReport, statusPart } from './report.ts'
import { readStructure, Refused, type Part, type Structure } from './structure.ts'
import { isHtml, isText, searchableText } from './text.ts'
import { isFileSystemError } from './trouble.ts'

export interface Job {
  raw: Raw
  sizeBytes: number
  /** Attachments are written here; made when there is one. */
  workDir: string
  limits: ParseLimits
}

export type Parsed = { message: ParsedMessage } | { reason: QuarantineReason; detail: string }

/** Rejects with file system errors, and with errors of the parser that nothing was prepared for. */
export async function parseMessage(job: Job): Promise<Parsed> {
  try {
    return { message: await read(job) }
  } catch (thrown) {
    if (thrown instanceof Refused) return { reason: thrown.reason, detail: thrown.message }
    throw thrown
  }
}

async function read({ raw, sizeBytes, workDir, limits }: Job): Promise<ParsedMessage> {
  const bytes = readRaw(raw, { start: 0, end: sizeBytes })
  const structure = await readStructure(bytes, { sizeBytes, limits, wanted: isWanted })
  const { root, flags, bareCr } = structure
  const leaves = leavesOf(root)
  const range = (part: Part): Range => ({ raw, start: part.bodyStart, end: part.bodyEnd, bareCr })
  const inline = await inlineImages(leaves, range)
  const files = leaves.filter((part) => !isText(part) && !inline.has(part))
  if (files.length > LIMITS.attachmentsMax) {
    throw new Refused('too_many_attachments', `${files.length} attachments, more than ${LIMITS.attachmentsMax}`)
  }
  const headers = readHeaders(structure.fields, structure.receivedCount, flags)
  const { text, snippet } = await searchableText({ root, flags, range })
  const attachments = await writeFiles(files, { range, workDir, flags })
  const automatic = kindsOf(structure)
  const isReport = automatic.includes('bounce')
  const report = isReport ? await readReport({ ...structure, inReplyTo: headers.inReplyTo, range }) : undefined
  return {
    parser: PARSER,
    ...headers,
    snippet,
    text,
    hasHtml: leaves.some(isHtml),
    attachments,
    flags: (Object.keys(FLAGS) as Flag[]).filter((flag) => flags.has(flag)),
    automatic,
    ...(report && { report }),
  }
}

/** A delivery report is one by its parts, also where its header does not say so. */
function kindsOf({ root, fields }: Structure): AutomaticKind[] {
  const kinds = automaticKinds(fields)
  return kinds.includes('bounce') || statusPart(root) === undefined ? kinds : ['bounce', ...kinds]
}

const leavesOf = (part: Part): Part[] => (part.children.length === 0 ? [part] : part.children.flatMap(leavesOf))

interface Writing {
  range(part: Part): Range
  workDir: string
  flags: Set<Flag>
}

/** As media types can be registered, with at most 127 characters on each side (RFC 6838 4.2). */
const MEDIA_TYPE = /^[\w.+-]{1,127}\/[\w.+-]{1,127}$/

/** The same bytes without a name and without decoding. */
const asSent = (part: Part): Part => ({
  ...part,
  type: { value: 'application/octet-stream', params: [] },
  disposition: { value: 'attachment', params: [] },
  encoding: '',
})

/** Writes each part to a numbered file. Rejects with file system errors. */
export async function writeFiles(files: Part[], { workDir, flags, ...writing }: Writing): Promise<ParsedAttachment[]> {
  const names = new Filenames()
  if (files.length > 0) await mkdir(workDir, { recursive: true })
  const attachments: ParsedAttachment[] = []
  for (const [at, part] of files.entries()) {
    const path = join(workDir, `attachment-${at + 1}`)
    const range = writing.range(part)
    const file = await decodeFile(part, range, path).catch((thrown: unknown) => {
      if (isFileSystemError(thrown)) throw thrown
      flags.add('parse_failed')
      return decodeFile(asSent(part), range, path)
    })
    if (file.unknownCharset) flags.add('charset_unknown')
    const contentType = MEDIA_TYPE.test(file.contentType) ? file.contentType : 'application/octet-stream'
    const filename = names.next(file.filename, contentType)
    const sent = file.filename === undefined ? '' : cut(oneLine(file.filename), LIMITS.originalFilenameMax)
    const { sizeBytes, sha256 } = file
    attachments.push({
      filename,
      ...(sent !== '' && sent !== filename && { originalFilename: sent }),
      contentType,
      sizeBytes,
      sha256,
      path,
    })
  }
  return attachments
}
